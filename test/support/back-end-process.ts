/**
 * A running vhost-user-blk back-end over an image in a workspace: vloop from this checkout, or qemu-storage-daemon
 * from the trixie root. The second is the benchmark's peer, and tells a fault of vloop from one of a test
 * (VLOOP_STAND_IN=qemu-storage-daemon). Gives the figures the kernel keeps about the process.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BoundedProcess, type Finished, waitFor } from './bounded-process.ts';
import type { Workspace } from './trixie-root.ts';

export const backEndNames = ['vloop', 'qemu-storage-daemon'] as const;
export type BackEndName = (typeof backEndNames)[number];

export type BackEndOptions = {
  /** Tells two back-ends of one kind apart, in reports and in the socket's name. */
  label?: string;
  readOnly?: boolean;
  blockSize?: number;
  numQueues?: number;
  /** vloop serves memory of this size, and no image. */
  memory?: string;
  /** Further options of vloop's; the other back-end has no use for them. */
  vloopArguments?: readonly string[];
  /** How qemu-storage-daemon opens the image: buffered through io_uring unless told otherwise. */
  daemonFile?: { aio: DaemonAio; direct: boolean };
  /** A program that starts the back-end, with its arguments: it puts the command line behind them. */
  through?: readonly string[];
};

export type DaemonAio = 'io_uring' | 'native' | 'threads';

const CHECKOUT = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;
/** USER_HZ, the unit of the times in /proc/PID/stat; 100 on every Linux there is. */
const TICKS_PER_SECOND = 100;
const LISTENING = '00010000';

export class BackEndProcess {
  readonly name: BackEndName;
  readonly label: string;
  readonly socketInside: string;
  readonly socketOnHost: string;
  readonly process: BoundedProcess;

  constructor(name: BackEndName, workspace: Workspace, image: string, options: BackEndOptions) {
    this.name = name;
    this.label = options.label ?? name;
    const socket = `${basename(image)}.${this.label}.sock`;
    this.socketInside = workspace.inside(socket);
    this.socketOnHost = workspace.socketOnHost(socket);
    const argv =
      name === 'vloop'
        ? vloopArgv(workspace.onHost(image), this.socketOnHost, options)
        : workspace.root.argv(daemonArgv(workspace.inside(image), this.socketInside, options));
    this.process = new BoundedProcess([...(options.through ?? []), ...argv]);
  }

  get pid(): number {
    return this.process.pid;
  }

  get alive(): boolean {
    return !this.process.ended;
  }

  /** Waits for the listening socket in the kernel's table: a connection as a probe would be a front-end. */
  async listening(): Promise<void> {
    await waitFor(
      () => `listening socket of ${this.name}; it said: ${this.process.output.trim()}`,
      START_TIMEOUT_MS,
      () => {
        if (this.process.ended)
          throw new Error(`${this.name} ended at start: ${this.process.output.trim()}`);
        return this.#inSocketTable() || undefined;
      },
    );
  }

  #inSocketTable(): boolean {
    return readFileSync('/proc/net/unix', 'latin1')
      .split('\n')
      .some((line) => {
        const fields = line.trim().split(/\s+/);
        const path = fields[7];
        return (
          fields[3] === LISTENING && (path === this.socketOnHost || path === this.socketInside)
        );
      });
  }

  cpuSeconds(): number {
    return processCpuSeconds(this.pid);
  }

  openFds(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  rssBytes(): number {
    return this.#statusBytes('VmRSS');
  }

  /** Without shared memory, which is the guest's. */
  ownRssBytes(): number {
    return this.#statusBytes('VmRSS') - this.#statusBytes('RssShmem');
  }

  #statusBytes(field: string): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    if (kib === undefined) throw new Error(`no ${field} in /proc/${this.pid}/status`);
    return Number(kib) * 1024;
  }

  /** SIGTERM and the wait for the end; `tookMs` is what the back-end needed. */
  async stop(): Promise<Finished & { tookMs: number }> {
    const startMs = performance.now();
    this.process.signal('SIGTERM');
    const finished = await this.process.within(STOP_TIMEOUT_MS);
    return { ...finished, tookMs: performance.now() - startMs };
  }
}

/** User and system time of all threads of a process so far; `withChildren` adds the children that have ended. */
export function processCpuSeconds(pid: number | 'self', { withChildren = false } = {}): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command name, in parentheses, may itself hold blanks; the times are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const times = fields.slice(11, withChildren ? 15 : 13).map(Number);
  return times.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND;
}

export async function startBackEnd(
  name: BackEndName,
  workspace: Workspace,
  image: string,
  options: BackEndOptions = {},
): Promise<BackEndProcess> {
  const backEnd = new BackEndProcess(name, workspace, image, options);
  await backEnd.listening();
  return backEnd;
}

function vloopArgv(image: string, socket: string, options: BackEndOptions): string[] {
  const locked = join(CHECKOUT, 'node_modules/.bin/node');
  return [
    existsSync(locked) ? locked : process.execPath,
    join(CHECKOUT, 'src/cli/vloop.js'),
    'serve',
    options.memory === undefined ? image : `--memory=${options.memory}`,
    `--socket-path=${socket}`,
    ...(options.readOnly ? ['--read-only'] : []),
    ...(options.blockSize === undefined ? [] : [`--block-size=${options.blockSize}`]),
    ...(options.numQueues === undefined ? [] : [`--num-queues=${options.numQueues}`]),
    ...(options.vloopArguments ?? []),
  ];
}

function daemonArgv(image: string, socket: string, options: BackEndOptions): string[] {
  const readOnly = options.readOnly ? 'on' : 'off';
  const { aio, direct } = options.daemonFile ?? { aio: 'io_uring', direct: false };
  return [
    'qemu-storage-daemon',
    // Its main loop would serve the disk too, but only an iothread polls before it sleeps.
    ...['--object', 'iothread,id=iothread'],
    '--blockdev',
    `driver=file,node-name=file,discard=unmap,aio=${aio},cache.direct=${direct ? 'on' : 'off'},` +
      `locking=off,read-only=${readOnly},filename=${image}`,
    '--export',
    'type=vhost-user-blk,id=disk,node-name=file,iothread=iothread,addr.type=unix,' +
      `addr.path=${socket},writable=${options.readOnly ? 'off' : 'on'}` +
      `,logical-block-size=${options.blockSize ?? 512},num-queues=${options.numQueues ?? 1}`,
  ];
}
