/**
 * blkio-load.c as a client: random offsets, every request timed, little work of its own, so that the back-end and
 * not the client sets the figure. Compiled inside the trixie root at each benchmark. It either sleeps for its
 * completions, as a guest does, or spins on the used ring, which leaves the back-end's own wake-ups alone.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackEndProcess } from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { Client, Measurement, Workload } from './client.ts';

const SOURCE = 'blkio-load.c';
const PROGRAM = 'blkio-load';
const COMPILE_TIMEOUT_MS = 60_000;
const GRACE_MS = 20_000;

export type WaitMode = 'sleep' | 'spin';

/** What blkio-load prints. */
type Answer = { requests: number; seconds: number; p50Us: number; p99Us: number; p999Us: number };

export async function compileBlkioLoad(workspace: Workspace): Promise<void> {
  copyFileSync(join(import.meta.dirname, SOURCE), workspace.onHost(SOURCE));
  const files = ['-o', workspace.inside(PROGRAM), workspace.inside(SOURCE)];
  const command = ['gcc', '-O2', '-Wall', '-Wextra', '-Werror', ...files, '-lblkio'];
  await workspace.root.mustRun(command, COMPILE_TIMEOUT_MS);
}

export class BlkioClient implements Client {
  readonly name: string;
  readonly describe: string;
  readonly #workspace: Workspace;
  readonly #mode: WaitMode;

  constructor(workspace: Workspace, mode: WaitMode) {
    this.name = mode === 'sleep' ? 'blkio' : 'blkio-spin';
    const wait = mode === 'sleep' ? 'sleeps for completions' : 'spins on the used ring';
    this.describe = `${this.name}: test/bench/blkio-load.c on libblkio, random blocks, ${wait}`;
    this.#workspace = workspace;
    this.#mode = mode;
  }

  async measure(
    backEnd: BackEndProcess,
    workload: Workload,
    seconds: number,
  ): Promise<Measurement> {
    const { write, depth, sizeBytes } = workload;
    const output = await this.#workspace.root.mustRun(
      [
        this.#workspace.inside(PROGRAM),
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
