/**
 * An I/O thread without I/O, for job-board.test.ts: takes jobs, counts each, answers with a number that
 * only this job has, until it is handed one that ends it. Started as a worker thread.
 */
import { workerData } from 'node:worker_threads';
import { JobBoard } from '../../../src/backing/job-board.ts';

export const END_OPERATION = 99;

/** What a consumer answers for a job. */
export function resultOf(tag: number, offsetBytes: number): number {
  return (tag * 7 + offsetBytes) | 0;
}

export interface ConsumerBirth {
  readonly board: SharedArrayBuffer;
  /** Int32: how often each tag was taken. */
  readonly takenOf: SharedArrayBuffer;
  /** Int32: consumers that run, consumers that have ended. */
  readonly alive: SharedArrayBuffer;
}

function consume({ board: memory, takenOf, alive }: ConsumerBirth): void {
  const board = new JobBoard(memory);
  const taken = new Int32Array(takenOf);
  const state = new Int32Array(alive);
  Atomics.add(state, 0, 1);
  for (;;) {
    const slot = board.take();
    const tag = board.tag[slot]!;
    const end = board.operation[slot] === END_OPERATION;
    if (!end) Atomics.add(taken, tag, 1);
    board.result[slot] = resultOf(tag, board.offsetBytes[slot]!);
    board.finish(slot);
    if (end) break;
  }
  Atomics.add(state, 1, 1);
}

if (workerData !== null) consume(workerData as ConsumerBirth);
