/**
 * What one worker counts of its disk beside its vrings' own counters: where requests go, what failed and
 * how, and the requests themselves while somebody traces them. Shared memory, read by the main thread.
 */
import { BLOCK_MAP_BYTES, BlockMap } from './block-map.ts';
import { RequestTrace } from './request-trace.ts';
import { type ReadClock, TurnClock } from './turn-clock.ts';

/** Operations, OP_* of blk-request.ts, by errno: Linux has 133; 0 stands for what is beyond. */
const FAILURE_OPS = 8;
const FAILURE_ERRNOS = 134;
const FAILURES = FAILURE_OPS * FAILURE_ERRNOS;
/** Violations by kind: their numbers are -1 and below. */
const VIOLATION_KINDS = 32;
const WORDS = FAILURES + VIOLATION_KINDS;

/** Bytes of what all workers of a disk share. */
export const FAILURE_BYTES = 4 * WORDS;

export class DiskFigures {
  readonly clock: TurnClock;
  readonly map: BlockMap;
  /** Null: nobody looks on. */
  trace: RequestTrace | null = null;
  readonly #failures: Int32Array;

  /** `map` is of one worker, `failures` of the disk. */
  constructor(
    readClock: ReadClock,
    sizeBytes: number,
    map = new SharedArrayBuffer(BLOCK_MAP_BYTES),
    failures = new SharedArrayBuffer(FAILURE_BYTES),
  ) {
    this.clock = new TurnClock(readClock);
    this.map = new BlockMap(map, sizeBytes);
    this.#failures = new Int32Array(failures);
  }

  /** Null: nobody looks on any more. `ops`: see RequestTrace. */
  setTrace(memory: SharedArrayBuffer | null, ops: number): void {
    this.trace = memory === null ? null : new RequestTrace(memory, ops);
  }

  /** The backing file has failed an operation. */
  countFailure(op: number, errno: number): void {
    const known = errno > 0 && errno < FAILURE_ERRNOS ? errno : 0;
    Atomics.add(this.#failures, op * FAILURE_ERRNOS + known, 1);
  }

  /** A driver has broken a vring. */
  countViolation(violation: number): void {
    Atomics.add(this.#failures, FAILURES + Math.min(-violation, VIOLATION_KINDS - 1), 1);
  }
}

export interface FailureCount {
  readonly op: number;
  /** 0: one that Linux does not name. */
  readonly errno: number;
  readonly count: number;
}

/** What backing files have failed, of all that the memory says. */
export function failureCounts(failures: Int32Array): FailureCount[] {
  const counts: FailureCount[] = [];
  for (let at = 0; at < FAILURES; at++) {
    const count = Atomics.load(failures, at);
    if (count === 0) continue;
    counts.push({ op: Math.floor(at / FAILURE_ERRNOS), errno: at % FAILURE_ERRNOS, count });
  }
  return counts;
}

/** The violations of drivers, by their numbers (ring-violation.ts). */
export function violationCounts(failures: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (let kind = 1; kind < VIOLATION_KINDS; kind++) {
    const count = Atomics.load(failures, FAILURES + kind);
    if (count > 0) counts.set(-kind, count);
  }
  return counts;
}
