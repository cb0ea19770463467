/**
 * How long requests took, by operation: a histogram for each in memory that worker and main thread share.
 * Buckets grow with the value, as HdrHistogram's and fio's do: 32 to each power of two, so that the middle
 * of a bucket is within 1.6 % of what is in it. Written by the worker that owns the vring, read by anyone.
 */
import { OP_DISCARD, OP_FLUSH, OP_READ, OP_WRITE, OP_WRITE_ZEROES } from '../blk/blk-request.ts';
import type { TurnClock } from './turn-clock.ts';

const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
/** A double from its top: the sign, 11 bits of the exponent, 52 of the fraction. */
const EXPONENT_BIAS = 1023;
const HIGH_WORD_FRACTION_BITS = 20;
const SHIFT = HIGH_WORD_FRACTION_BITS - SUB_BITS;
/** 256 ns to 18 minutes; what is shorter or longer counts in the first or the last bucket. */
const FIRST_POWER = 8;
const END_POWER = 40;
const FIRST = (EXPONENT_BIAS + FIRST_POWER) << SUB_BITS;
export const LATENCY_BUCKETS = (END_POWER - FIRST_POWER) << SUB_BITS;
const LAST = LATENCY_BUCKETS - 1;

/** A row: the buckets, the sum of all in nanoseconds, and up to a whole cache line. */
const SUM_NS = LATENCY_BUCKETS;
const ROW = LATENCY_BUCKETS + 8;
/** By OP_* of blk-request.ts. Those that nobody asks for have rows as well, which saves a look at each. */
const ROWS = 7;
export const LATENCIES_PER_VRING = ROWS * ROW;

/** The operations whose latencies are told, in the order in which they are. */
export const TIMED_OPS = {
  read: OP_READ,
  write: OP_WRITE,
  flush: OP_FLUSH,
  discard: OP_DISCARD,
  write_zeroes: OP_WRITE_ZEROES,
} as const;
export type TimedOp = keyof typeof TIMED_OPS;

const DOUBLE = new Float64Array(1);
const WORDS = new Int32Array(DOUBLE.buffer);

/** Counts a request that started at `startMs[slot]` and has ended now. */
export function recordLatency(
  latencies: Float64Array,
  op: number,
  startMs: Float64Array,
  slot: number,
  clock: TurnClock,
): void {
  const ns = (clock.ms[0]! - startMs[slot]!) * 1e6;
  DOUBLE[0] = ns;
  // Exponent and the top of the fraction are the bucket's number, as they stand in the number itself.
  const bucket = (WORDS[1]! >> SHIFT) - FIRST;
  const row = op * ROW;
  latencies[row + (bucket < 0 ? 0 : bucket > LAST ? LAST : bucket)]!++;
  latencies[row + SUM_NS]! += ns;
}

/** Where a bucket begins, in nanoseconds. */
export function bucketStartNs(bucket: number): number {
  return 2 ** (FIRST_POWER + (bucket >> SUB_BITS)) * (1 + (bucket & (SUB - 1)) / SUB);
}

/** Latencies of one operation, taken out of the shared memory: of a vring, or of several. */
export class Latencies {
  readonly buckets = new Float64Array(LATENCY_BUCKETS);
  count = 0;
  sumNs = 0;

  /** Adds those of an operation of one vring. */
  add(latencies: Float64Array, op: number): this {
    const row = op * ROW;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      const count = latencies[row + bucket]!;
      this.buckets[bucket]! += count;
      this.count += count;
    }
    this.sumNs += latencies[row + SUM_NS]!;
    return this;
  }

  /** What came since `earlier`. */
  since(earlier: Latencies): Latencies {
    const difference = new Latencies();
    this.buckets.forEach((count, bucket) => {
      difference.buckets[bucket] = count - earlier.buckets[bucket]!;
    });
    difference.count = this.count - earlier.count;
    difference.sumNs = this.sumNs - earlier.sumNs;
    return difference;
  }

  /** The nanoseconds that a share of all requests did not exceed: the middle of a bucket. 0: there are none. */
  percentileNs(share: number): number {
    if (this.count === 0) return 0;
    const rank = Math.max(1, Math.ceil(share * this.count));
    let seen = 0;
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
      seen += this.buckets[bucket]!;
      if (seen >= rank) return (bucketStartNs(bucket) + bucketStartNs(bucket + 1)) / 2;
    }
    return bucketStartNs(LATENCY_BUCKETS);
  }

  /** How many took less than 2^power nanoseconds: exact, because a bucket begins there. */
  countBelow(power: number): number {
    const end = (power - FIRST_POWER) << SUB_BITS;
    let sum = 0;
    for (let bucket = 0; bucket < end && bucket < LATENCY_BUCKETS; bucket++) {
      sum += this.buckets[bucket]!;
    }
    return sum;
  }
}
