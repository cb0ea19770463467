/**
 * An io_uring without a kernel: its rings as plain arrays, and an `enter` that takes submissions like the
 * kernel does and completes what the test tells it to.
 */
import { ioUringCqe, ioUringSqe } from '../../protocol/io-uring.ts';
import { type UringMemory, UringQueue } from '../../src/uring/uring-queue.ts';

const SQE_WORDS = ioUringSqe.sizeBytes / 4;
const CQE_WORDS = ioUringCqe.sizeBytes / 4;
/** Words in front of the index array and the CQEs: heads, tails, flags. */
const CONTROL_WORDS = 16;

/** A submission as the kernel sees it, every field of the SQE. */
export type TakenSqe = Readonly<Record<keyof typeof ioUringSqe.at, bigint>>;

export class PlainUring {
  readonly memory: UringMemory;
  readonly queue: UringQueue;
  readonly taken: TakenSqe[] = [];
  /** What `enter` was called with. */
  readonly enters: Array<{ toSubmit: number; minComplete: number; flags: number }> = [];
  /** Answers instead of taking submissions, one a call. */
  readonly failures: number[] = [];
  /** At most so many submissions are taken in one call. */
  takeAtMost = Number.POSITIVE_INFINITY;

  constructor(sqEntries = 8, cqEntries = 16, start = 0) {
    const cqes = CONTROL_WORDS + sqEntries;
    const rings = new Uint32Array(cqes + cqEntries * CQE_WORDS);
    const sqes = new Uint32Array(sqEntries * SQE_WORDS);
    this.memory = {
      sqEntries,
      cqEntries,
      rings,
      sqHead: 0,
      sqTail: 1,
      sqFlags: 2,
      sqArray: CONTROL_WORDS,
      cqHead: 3,
      cqTail: 4,
      cqes,
      sqes,
    };
    rings[0] = rings[1] = rings[3] = rings[4] = start >>> 0;
    this.queue = new UringQueue(this.memory, (toSubmit, minComplete, flags) =>
      this.#enter(toSubmit, minComplete, flags),
    );
  }

  set sqFlags(flags: number) {
    this.memory.rings[this.memory.sqFlags] = flags;
  }

  /** Posts a completion. */
  complete(low: number, high: number, result: number, flags = 0): void {
    const { rings, cqTail, cqes, cqEntries } = this.memory;
    const tail = rings[cqTail]!;
    const at = cqes + (tail & (cqEntries - 1)) * CQE_WORDS;
    rings[at] = low;
    rings[at + 1] = high;
    rings[at + 2] = result;
    rings[at + 3] = flags;
    rings[cqTail] = tail + 1;
  }

  #enter(toSubmit: number, minComplete: number, flags: number): number {
    this.enters.push({ toSubmit, minComplete, flags });
    const failure = this.failures.shift();
    if (failure !== undefined) return failure;
    const { rings, sqHead, sqTail, sqArray, sqEntries } = this.memory;
    let count = 0;
    for (; count < Math.min(toSubmit, this.takeAtMost); count++) {
      const head = rings[sqHead]!;
      if (head === rings[sqTail]) break;
      this.taken.push(this.#sqe(rings[sqArray + (head & (sqEntries - 1))]!));
      rings[sqHead] = head + 1;
    }
    return count;
  }

  #sqe(index: number): TakenSqe {
    const bytes = this.memory.sqes.slice(index * SQE_WORDS, (index + 1) * SQE_WORDS).buffer;
    const view = new DataView(bytes);
    const fields = Object.entries(ioUringSqe.fields).map(([name, [type]]) => {
      const at = ioUringSqe.at[name as keyof typeof ioUringSqe.at];
      const bits = Number.parseInt(type.slice(1), 10);
      const value =
        bits === 64
          ? view.getBigUint64(at, true)
          : bits === 32
            ? BigInt(type === 'i32' ? view.getInt32(at, true) : view.getUint32(at, true))
            : BigInt(bits === 16 ? view.getUint16(at, true) : view.getUint8(at));
      return [name, value];
    });
    return Object.fromEntries(fields) as TakenSqe;
  }
}
