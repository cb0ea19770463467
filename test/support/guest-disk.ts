/**
 * A vloop process with an image of its own, as a user starts it: what a guest test attaches to QEMU.
 */
import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BoundedProcess, waitFor } from './bounded-process.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 10_000;
/** The state column of /proc/net/unix for a listening socket. */
const LISTENING = '00010000';

export interface DiskOptions {
  /** Creates the image, sparse, when it does not exist. */
  readonly sizeBytes?: number;
  /** Another disk's image instead of its own. */
  readonly image?: string;
  readonly vloop?: readonly string[];
  /** Options of Node's own: modules that break vloop on purpose. */
  readonly nodeFlags?: readonly string[];
}

/** The numbers in vloop's last log line. */
export type Summary = Readonly<Record<string, unknown>>;

export class GuestDisk {
  readonly name: string;
  readonly image: string;
  readonly socket: string;
  readonly process: BoundedProcess;

  private constructor(folder: string, name: string, options: DiskOptions) {
    this.name = name;
    this.image = options.image ?? join(folder, `${name}.img`);
    this.socket = join(folder, `${name}.sock`);
    if (!existsSync(this.image)) {
      const fd = openSync(this.image, 'wx');
      ftruncateSync(fd, options.sizeBytes ?? 0);
      closeSync(fd);
    }
    const locked = join(CHECKOUT, 'node_modules/.bin/node');
    this.process = new BoundedProcess([
      existsSync(locked) ? locked : process.execPath,
      ...(options.nodeFlags ?? []),
      join(CHECKOUT, 'src/cli/vloop.js'),
      'serve',
      this.image,
      `--socket-path=${this.socket}`,
      ...(options.vloop ?? []),
    ]);
  }

  static async serve(folder: string, name: string, options: DiskOptions = {}): Promise<GuestDisk> {
    const disk = new GuestDisk(folder, name, options);
    await waitFor(
      () => `socket of vloop; it said: ${disk.process.output}`,
      START_TIMEOUT_MS,
      () => {
        if (disk.process.ended) throw new Error(`vloop ended at start: ${disk.process.output}`);
        return disk.#listens() || undefined;
      },
    );
    return disk;
  }

  #listens(): boolean {
    return readFileSync('/proc/net/unix', 'latin1')
      .split('\n')
      .some((line) => {
        const fields = line.trim().split(/\s+/);
        return fields[3] === LISTENING && fields[7] === this.socket;
      });
  }

  /** What `-device vhost-user-blk-pci` and its chardev look like for this disk. */
  qemuArguments(deviceOptions = ''): string[] {
    return [
      '-chardev',
      `socket,id=${this.name},path=${this.socket}`,
      '-device',
      `vhost-user-blk-pci,chardev=${this.name}${deviceOptions && `,${deviceOptions}`}`,
    ];
  }

  /** The room the image really takes. */
  get allocatedBytes(): number {
    return statSync(this.image).blocks * 512;
  }

  /** SIGTERM; it must end with status 0. The log's summary. */
  async stop(): Promise<Summary> {
    if (this.process.ended) throw new Error(`vloop had ended before: ${this.process.output}`);
    this.process.signal('SIGTERM');
    const { status, signal, stderr } = await this.process.within(STOP_TIMEOUT_MS);
    if (status !== 0) throw new Error(`vloop ended with ${signal ?? status}: ${stderr}`);
    const line = stderr.split('\n').findLast((text) => text.includes('"msg":"summary"'));
    if (line === undefined) throw new Error(`no summary in vloop's log: ${stderr}`);
    return JSON.parse(line) as Summary;
  }
}
