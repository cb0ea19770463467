/**
 * An I/O thread: takes operations off a job board, makes the blocking call, puts the result back and
 * signals the loop worker. The main thread ends it.
 */
import { workerData } from 'node:worker_threads';
import { signalEventfd } from '../sys/eventfd.ts';
import { callNow } from './blocking-call.ts';
import { JobBoard } from './job-board.ts';

export interface IoThreadBirth {
  readonly fd: number;
  readonly board: SharedArrayBuffer;
  /** The eventfd that says there are results. */
  readonly resultFd: number;
}

const birth = workerData as IoThreadBirth;
const board = new JobBoard(birth.board);

for (;;) {
  const slot = board.take();
  board.result[slot] = callNow(
    birth.fd,
    board.operation[slot]!,
    board.offsetBytes[slot]!,
    board.address[slot]!,
    board.length[slot]!,
    board.flags[slot]!,
  );
  board.finish(slot);
  signalEventfd(birth.resultFd);
}
