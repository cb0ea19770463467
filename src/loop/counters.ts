/**
 * Counters of one vring, in memory that worker and main thread share. Written by the worker that owns
 * the vring, plainly, and read by anyone: no lock and no message per request.
 */
import { codes } from '../../protocol/layout.ts';

export const COUNT_READS = 0;
export const COUNT_WRITES = 1;
export const COUNT_FLUSHES = 2;
export const COUNT_DISCARDS = 3;
export const COUNT_WRITE_ZEROES = 4;
export const COUNT_OTHERS = 5;
export const COUNT_READ_BYTES = 6;
export const COUNT_WRITTEN_BYTES = 7;
export const COUNT_ERRORS = 8;
export const COUNT_UNSUPPORTED = 9;
export const COUNT_BOUNCED = 10;
export const COUNT_KICKS = 11;
export const COUNT_CALLS = 12;
export const COUNT_VIOLATIONS = 13;
/** Those of the writes that were made durable before they completed: the cache is write-through. */
export const COUNT_DURABLE_WRITES = 14;
/** Those of the errors that the transfer module made. */
export const COUNT_TRANSFER_ERRORS = 15;
export const COUNT_DISCARDED_BYTES = 16;
export const COUNT_ZEROED_BYTES = 17;
/** Those of the errors that are the request's own fault: out of range, malformed, a write to a read-only disk. */
export const COUNT_REFUSED = 18;
/** Requests taken from the ring; what of them is not answered is in flight. */
export const COUNT_TAKEN = 19;
/** Milliseconds in which at least one was in flight, up to the last time that none was. */
export const COUNT_BUSY_MS = 20;
/** Since when at least one is in flight (turn-clock.ts), or 0. */
export const COUNT_BUSY_SINCE_MS = 21;

export const counterNames = codes('vring counters', 'src/loop/counters.ts', {
  reads: COUNT_READS,
  writes: COUNT_WRITES,
  flushes: COUNT_FLUSHES,
  discards: COUNT_DISCARDS,
  writeZeroes: COUNT_WRITE_ZEROES,
  others: COUNT_OTHERS,
  bytesRead: COUNT_READ_BYTES,
  bytesWritten: COUNT_WRITTEN_BYTES,
  errors: COUNT_ERRORS,
  unsupported: COUNT_UNSUPPORTED,
  bounced: COUNT_BOUNCED,
  kicks: COUNT_KICKS,
  calls: COUNT_CALLS,
  guestViolations: COUNT_VIOLATIONS,
  durableWrites: COUNT_DURABLE_WRITES,
  transferErrors: COUNT_TRANSFER_ERRORS,
  bytesDiscarded: COUNT_DISCARDED_BYTES,
  bytesZeroed: COUNT_ZEROED_BYTES,
  refused: COUNT_REFUSED,
});

/** Numbers per vring. */
export const COUNTERS_PER_VRING = 32;

/** Counters of which every answered request is in one. */
const ANSWERS = [
  COUNT_READS,
  COUNT_WRITES,
  COUNT_FLUSHES,
  COUNT_DISCARDS,
  COUNT_WRITE_ZEROES,
  COUNT_OTHERS,
  COUNT_ERRORS,
  COUNT_UNSUPPORTED,
];

/** Requests that all vrings have answered. */
export function answeredRequests(all: Float64Array): number {
  let sum = 0;
  for (let first = 0; first < all.length; first += COUNTERS_PER_VRING) {
    for (const index of ANSWERS) sum += all[first + index]!;
  }
  return sum;
}

/** Sums the counters of all vrings, by name. */
export function sumCounters(all: Float64Array): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, index] of Object.entries(counterNames.values)) {
    let sum = 0;
    for (let at = index; at < all.length; at += COUNTERS_PER_VRING) sum += all[at]!;
    sums[name] = sum;
  }
  return sums;
}

/** Requests in flight, of the vrings in `all`: as good as two moments close to each other can say. */
export function inFlightRequests(all: Float64Array): number {
  // What is answered first: nothing is answered that was not taken.
  const answered = answeredRequests(all);
  let taken = 0;
  for (let at = COUNT_TAKEN; at < all.length; at += COUNTERS_PER_VRING) taken += all[at]!;
  return Math.max(0, taken - answered);
}

/** Milliseconds in which the one vring in `counters` had something in flight. */
export function busyMs(counters: Float64Array, nowMs: number): number {
  const sinceMs = counters[COUNT_BUSY_SINCE_MS]!;
  return counters[COUNT_BUSY_MS]! + (sinceMs > 0 ? Math.max(0, nowMs - sinceMs) : 0);
}
