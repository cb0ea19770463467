/**
 * blkio-load.c as a client: random offsets, every request timed, little work of its own, so that the back-end and
 * not the client sets the figure. It either sleeps for its completions, as a guest does, or spins on the used ring,
 * which leaves the back-end's own wake-ups alone.
 */
import { join } from 'node:path';
import type { BackEndProcess } from '../support/back-end-process.ts';
import { compileBlkioProgram } from '../support/blkio-program.ts';
import type { TrixieRoot, Workspace } from '../support/trixie-root.ts';
import type { Client, Measurement, Workload } from './client.ts';

const GRACE_MS = 20_000;

export type WaitMode = 'sleep' | 'spin';

/** What blkio-load prints. */
type Answer = { requests: number; seconds: number; p50Us: number; p99Us: number; p999Us: number };

export function compileBlkioLoad(workspace: Workspace): Promise<string> {
  return compileBlkioProgram(workspace, join(import.meta.dirname, 'blkio-load.c'));
}

export class BlkioClient implements Client {
  readonly name: string;
  readonly describe: string;
  readonly #root: TrixieRoot;
  readonly #program: string;
  readonly #mode: WaitMode;

  /** `program` is where compileBlkioLoad put it. */
  constructor(root: TrixieRoot, program: string, mode: WaitMode) {
    this.name = mode === 'sleep' ? 'blkio' : 'blkio-spin';
    const wait = mode === 'sleep' ? 'sleeps for completions' : 'spins on the used ring';
    this.describe = `${this.name}: test/bench/blkio-load.c on libblkio, random blocks, ${wait}`;
    this.#root = root;
    this.#program = program;
    this.#mode = mode;
  }

  async measure(
    backEnd: BackEndProcess,
    workload: Workload,
    seconds: number,
  ): Promise<Measurement> {
    const { write, depth, sizeBytes } = workload;
    const output = await this.#root.mustRun(
      [
        this.#program,
        backEnd.socketInside,
        write ? 'write' : 'read',
        ...[depth, sizeBytes, seconds].map(String),
        this.#mode,
      ],
      seconds * 1000 + GRACE_MS,
    );
    const { requests, seconds: taken, p50Us, p99Us } = JSON.parse(output) as Answer;
    return { requests, seconds: taken, latencyUs: { p50: p50Us, p99: p99Us } };
  }
}
