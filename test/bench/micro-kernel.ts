/**
 * The io_uring that the micro-benchmark submits to: rings in plain arrays and a kernel of a few lines, which takes
 * every submission and completes it at once. Its own time is counted, so that it can be left out of a figure.
 * Completes reads only, each with the same length.
 */
import { ioUringCqe, ioUringSqe } from '../../protocol/io-uring.ts';
import { UringQueue } from '../../src/uring/uring-queue.ts';
import { PlainUring } from '../support/plain-uring.ts';

const SQE_WORDS = ioUringSqe.sizeBytes / 4;
const SQE_USER_DATA = ioUringSqe.at.user_data / 4;
const CQE_WORDS = ioUringCqe.sizeBytes / 4;
const CQE_RES = ioUringCqe.at.res / 4;

export class MicroKernel {
  readonly queue: UringQueue;
  /** What it has taken of anybody's time. */
  spentMs = 0;
  readonly #rings: PlainUring['memory'];
  readonly #resultBytes: number;

  /** `entries`: a power of two, and the most that is ever in flight. */
  constructor(entries: number, resultBytes: number) {
    this.#rings = new PlainUring(entries, 2 * entries).memory;
    this.#resultBytes = resultBytes;
    this.queue = new UringQueue(this.#rings, (toSubmit) => this.#enter(toSubmit));
  }

  #enter(toSubmit: number): number {
    const start = performance.now();
    const { rings, sqes, sqHead, cqTail, cqes, sqEntries, cqEntries } = this.#rings;
    let head = rings[sqHead]!;
    let tail = rings[cqTail]!;
    for (let i = 0; i < toSubmit; i++) {
      const sqe = (head & (sqEntries - 1)) * SQE_WORDS + SQE_USER_DATA;
      const cqe = cqes + (tail & (cqEntries - 1)) * CQE_WORDS;
      rings[cqe] = sqes[sqe]!;
      rings[cqe + 1] = sqes[sqe + 1]!;
      rings[cqe + CQE_RES] = this.#resultBytes;
      head = (head + 1) >>> 0;
      tail = (tail + 1) >>> 0;
    }
    rings[sqHead] = head;
    rings[cqTail] = tail;
    this.spentMs += performance.now() - start;
    return toSubmit;
  }
}
