/**
 * The disks of one guest: sparse images, told apart by serial, each behind a vloop of its own or, for comparison, behind
 * QEMU's own virtio-blk. `VLOOP` in the environment puts another back-end in vloop's place.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BoundedProcess } from '../../test/support/bounded-process.ts';
import { EnvironmentError, type Side } from './cases.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 10;
const STOP_TIMEOUT_MS = 15_000;
const GIB = 2 ** 30;
const LOG_END_CHARACTERS = 400;

/** A test of xfstests wants 9 GiB of scratch; the pool's disks are for btrfs. Roles are the serials that guest/disks.sh knows. */
export const DISK_SIZES_GIB: Readonly<Record<string, number>> = {
  test: 4,
  scratch: 10,
  logwrites: 2,
  pool1: 4,
  pool2: 4,
  pool3: 4,
};

export function vloopCommand(): string[] {
  const other = process.env['VLOOP'];
  if (other !== undefined && other !== '') return other.split(' ');
  return [process.execPath, join(CHECKOUT, 'src/cli/vloop.js')];
}

interface ServedDisk {
  readonly role: string;
  readonly image: string;
  /** Null: QEMU opens the image itself. */
  readonly backEnd: BoundedProcess | null;
}

export class GuestDisks {
  readonly #disks: readonly ServedDisk[];
  readonly #folder: string;

  private constructor(folder: string, disks: readonly ServedDisk[]) {
    this.#folder = folder;
    this.#disks = disks;
  }

  static async start(
    side: Side,
    folder: string,
    roles: readonly string[],
    vloopOptions: readonly string[],
  ): Promise<GuestDisks> {
    const imageOf = (role: string) => join(folder, `${role}.img`);
    // All of them first: what starts below is ended by whoever has the disks.
    for (const role of roles) {
      const fd = openSync(imageOf(role), 'wx');
      ftruncateSync(fd, DISK_SIZES_GIB[role]! * GIB);
      closeSync(fd);
    }
    const disks = roles.map((role) => {
      const image = imageOf(role);
      const command = [
        ...vloopCommand(),
        ...['serve', image, `--socket-path=${join(folder, role)}.sock`, `--serial=${role}`],
        ...vloopOptions,
      ];
      return { role, image, backEnd: side === 'vloop' ? new BoundedProcess(command) : null };
    });
    const started = new GuestDisks(folder, disks);
    try {
      await started.#allListen();
    } catch (error) {
      await started.kill();
      throw error;
    }
    return started;
  }

  async #allListen(): Promise<void> {
    for (const { role, backEnd } of this.#disks) {
      if (backEnd === null) continue;
      const socket = join(this.#folder, `${role}.sock`);
      const deadline = performance.now() + START_TIMEOUT_MS;
      while (!listens(socket)) {
        if (backEnd.ended) {
          throw new EnvironmentError(`vloop ended at its start: ${lastWords(backEnd.output)}`);
        }
        if (performance.now() > deadline) {
          const said = lastWords(backEnd.output) || 'nothing';
          throw new EnvironmentError(
            `vloop does not listen at ${socket} after ${START_TIMEOUT_MS / 1000} s; it said: ${said}`,
          );
        }
        await setTimeout(LOOK_EVERY_MS);
      }
    }
  }

  get qemuArguments(): string[] {
    return this.#disks.flatMap(({ role, image, backEnd }) =>
      backEnd === null
        ? [
            '-blockdev',
            `driver=file,node-name=${role},filename=${image},aio=io_uring,cache.direct=on,discard=unmap`,
            ...['-device', `virtio-blk-pci,drive=${role},serial=${role}`],
          ]
        : [
            ...['-chardev', `socket,id=${role},path=${join(this.#folder, role)}.sock`],
            ...['-device', `vhost-user-blk-pci,chardev=${role}`],
          ],
    );
  }

  /** The back-ends that run, for evidence. */
  get backEnds(): BoundedProcess[] {
    return this.#disks.flatMap(({ backEnd }) => backEnd ?? []);
  }

  /** Settles when a back-end ends, with a sentence; never for QEMU's own disks. */
  async firstDeath(): Promise<string> {
    const deaths = this.#disks.flatMap(({ role, backEnd }) =>
      backEnd === null
        ? []
        : backEnd.finished.then(
            ({ status, signal, stderr }) =>
              `vloop of ${role} ended with ${signal ?? `status ${status}`}: ${lastWords(stderr)}`,
            (error: Error) => `vloop of ${role} cannot be started: ${error.message}`,
          ),
    );
    return deaths.length === 0 ? await new Promise<never>(() => {}) : await Promise.race(deaths);
  }

  /** KiB that the image of a role takes on the host. */
  allocatedKib(role: string): number | null {
    const disk = this.#disks.find((candidate) => candidate.role === role);
    return disk === undefined ? null : statSync(disk.image).blocks / 2;
  }

  /** What the back-ends have logged so far, by role. */
  logs(): Map<string, string> {
    return new Map(
      this.#disks.flatMap(
        ({ role, backEnd }): Array<[string, string]> =>
          backEnd === null ? [] : [[role, backEnd.output]],
      ),
    );
  }

  /** Whether the host had no room for what a guest wrote; QEMU's own disks do not say. */
  get ranOutOfRoom(): boolean {
    return this.backEnds.some(({ output }) => /ENOSPC|EDQUOT/.test(output));
  }

  /** SIGTERM; sentences about back-ends that do not end well. */
  async stop(): Promise<string[]> {
    const ends = await Promise.all(
      this.#disks.map(async ({ role, backEnd }) => {
        if (backEnd === null) return null;
        backEnd.signal('SIGTERM');
        try {
          const { status, signal, stderr } = await backEnd.within(STOP_TIMEOUT_MS);
          if (status === 0) return null;
          return `vloop of ${role} ended with ${signal ?? `status ${status}`}: ${lastWords(stderr)}`;
        } catch {
          return `vloop of ${role} did not end within ${STOP_TIMEOUT_MS} ms of SIGTERM`;
        }
      }),
    );
    this.#removeImages();
    return ends.filter((sentence) => sentence !== null);
  }

  async kill(): Promise<void> {
    await Promise.all(this.backEnds.map((backEnd) => backEnd.kill().catch(() => {})));
    this.#removeImages();
  }

  #removeImages(): void {
    for (const { image } of this.#disks) rmSync(image, { force: true });
  }
}

/** A line of /proc/net/unix in state 1 with the flag of a listening socket. */
function listens(path: string): boolean {
  return readFileSync('/proc/net/unix', 'latin1')
    .split('\n')
    .some((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[3] === '00010000' && fields[7] === path;
    });
}

function lastWords(output: string): string {
  return (output.trim().split('\n').at(-1) ?? '').slice(-LOG_END_CHARACTERS);
}
