/**
 * blkio-load.c as a client: any workload, every request timed, little work of its own, so that the back-end and not
 * the client sets the figure. It can also check every byte, which is done before anything is measured.
 */
import { join } from 'node:path';
import type { BackEndProcess } from '../support/back-end-process.ts';
import { compileBlkioProgram } from '../support/blkio-program.ts';
import type { TrixieRoot, Workspace } from '../support/trixie-root.ts';
import type { Client, Measurement } from './client.ts';
import type { Workload } from './workload.ts';

const GRACE_MS = 20_000;
const VERIFY_SECONDS = 0.3;
/** The first processor is the client's where it polls; a pinned back-end has another. */
const CLIENT_CPU = 0;

/** What blkio-load prints. */
export type BlkioAnswer = {
  requests: number;
  seconds: number;
  busySeconds: number;
  /** Blocks whose bytes were compared. */
  checked: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
};

export function compileBlkioLoad(workspace: Workspace): Promise<string> {
  return compileBlkioProgram(workspace, join(import.meta.dirname, 'blkio-load.c'));
}

export class BlkioClient implements Client {
  readonly name = 'blkio';
  readonly describe =
    'blkio: test/bench/blkio-load.c on libblkio, one thread for all queues, sleeps for completions or polls';
  readonly #root: TrixieRoot;
  readonly #program: string;

  /** `program` is where compileBlkioLoad put it. */
  constructor(root: TrixieRoot, program: string) {
    this.#root = root;
    this.#program = program;
  }

  async run(
    backEnd: BackEndProcess,
    seconds: number,
    settings: Readonly<Record<string, string | number>>,
  ): Promise<BlkioAnswer> {
    const words = Object.entries({ seconds, ...settings }).map(
      ([name, value]) => `${name}=${value}`,
    );
    const command = [this.#program, backEnd.socketInside, ...words];
    const output = await this.#root.mustRun(command, seconds * 1000 + GRACE_MS);
    return JSON.parse(output) as BlkioAnswer;
  }

  async measure(
    backEnd: BackEndProcess,
    workload: Workload,
    seconds: number,
  ): Promise<Measurement> {
    const { operation, sizeBytes, depth, queues, wait, ratePerSecond } = workload;
    const answer = await this.run(backEnd, seconds, {
      op: operation,
      ...{ size: sizeBytes, depth, queues, wait },
      ...(ratePerSecond === null ? {} : { rate: ratePerSecond }),
      ...(wait === 'spin' ? { cpu: CLIENT_CPU } : {}),
    });
    return {
      requests: answer.requests,
      seconds: answer.seconds,
      clientBusy: answer.busySeconds / answer.seconds,
      latencyUs: { p50: answer.p50Us, p99: answer.p99Us, p999: answer.p999Us },
    };
  }

  /** Fails when a read gives other bytes than were written: the speed of a wrong answer is of no interest. */
  async verify(backEnd: BackEndProcess, queues: number): Promise<void> {
    await this.run(backEnd, VERIFY_SECONDS, { op: 'fill', size: 4096, depth: 32 });
    const mixed = { op: 'randrw', verify: 1, size: 4096, depth: 32, queues };
    const { checked } = await this.run(backEnd, VERIFY_SECONDS, mixed);
    if (checked === 0) throw new Error(`${backEnd.label}: nothing was verified`);
  }
}
