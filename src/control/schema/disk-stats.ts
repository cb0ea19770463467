/**
 * What a disk has counted since it was made: the results of disk_get_stats and disk_get_block_map. Counts only
 * grow; who wants rates looks twice and divides by the difference of `at_ms`.
 */
import { objectOf, recordOf, type ValueOf } from './json-schema.ts';

const COUNT = { type: 'integer', minimum: 0 } as const;
const NUMBER = { type: 'number', minimum: 0 } as const;

const counts = {
  in_flight: { ...COUNT, description: 'requests taken from the ring and not answered' },
  reads: { ...COUNT, description: 'reads that succeeded' },
  writes: { ...COUNT, description: 'writes that succeeded' },
  flushes: { ...COUNT, description: 'flushes that succeeded' },
  discards: { ...COUNT, description: 'discards that succeeded' },
  write_zeroes: { ...COUNT, description: 'write-zeroes that succeeded' },
  others: { ...COUNT, description: 'serial numbers asked for, and requests of no bytes' },
  bytes_read: COUNT,
  bytes_written: COUNT,
  bytes_discarded: COUNT,
  bytes_zeroed: COUNT,
  durable_writes: { ...COUNT, description: 'writes that were durable before they were answered' },
  errors: { ...COUNT, description: 'requests answered with an I/O error' },
  refused: { ...COUNT, description: 'those of the errors that are out of range or malformed' },
  transfer_errors: { ...COUNT, description: 'those of the errors that a transfer module made' },
  unsupported: { ...COUNT, description: 'requests answered with "unsupported"' },
  bounced: { ...COUNT, description: 'requests that went through a bounce buffer' },
  kicks: { ...COUNT, description: 'notifications of the driver' },
  calls: { ...COUNT, description: 'notifications to the driver' },
  guest_violations: { ...COUNT, description: 'times that the driver broke the ring' },
  busy_ms: { ...NUMBER, description: 'milliseconds with a request in flight' },
} as const;

const COUNT_NAMES = [
  'in_flight',
  'reads',
  'writes',
  'flushes',
  'discards',
  'write_zeroes',
  'others',
  'bytes_read',
  'bytes_written',
  'bytes_discarded',
  'bytes_zeroed',
  'durable_writes',
  'errors',
  'refused',
  'transfer_errors',
  'unsupported',
  'bounced',
  'kicks',
  'calls',
  'guest_violations',
  'busy_ms',
] as const;

const buckets = {
  type: 'array',
  description:
    'latencies: [nanoseconds where a bucket begins, requests in it], empty ones left out',
  items: { type: 'array', items: NUMBER },
} as const;

const summary = {
  ...recordOf({
    count: COUNT,
    mean_us: NUMBER,
    p50_us: NUMBER,
    p90_us: NUMBER,
    p99_us: NUMBER,
    p999_us: NUMBER,
  }),
  description: 'latencies in microseconds, exact to 1.6 %; failed requests count as well',
} as const;

const OPS = ['read', 'write', 'flush', 'discard', 'write_zeroes'] as const;

const queueStats = objectOf(['queue', ...COUNT_NAMES, 'time_ms', 'latency'], {
  queue: COUNT,
  ...counts,
  time_ms: {
    ...objectOf(OPS, {
      read: NUMBER,
      write: NUMBER,
      flush: NUMBER,
      discard: NUMBER,
      write_zeroes: NUMBER,
    }),
    description: 'milliseconds that all requests of an operation took together',
  },
  latency: objectOf(OPS, {
    read: buckets,
    write: buckets,
    flush: buckets,
    discard: buckets,
    write_zeroes: buckets,
  }),
});

export const diskStats = recordOf({
  name: { type: 'string' },
  at_ms: { ...NUMBER, description: 'when this was counted: milliseconds of CLOCK_MONOTONIC' },
  totals: {
    ...objectOf(COUNT_NAMES, counts),
    description: 'of all queues; busy_ms is that of the busiest',
  },
  latency: objectOf(OPS, {
    read: summary,
    write: summary,
    flush: summary,
    discard: summary,
    write_zeroes: summary,
  }),
  failures: {
    type: 'array',
    description: 'operations that the backing file has failed',
    items: recordOf({ op: { type: 'string' }, error: { type: 'string' }, count: COUNT }),
  },
  violations: {
    type: 'array',
    description: 'what drivers did wrong with their rings',
    items: recordOf({ kind: { type: 'string' }, count: COUNT }),
  },
  queues: { type: 'array', items: queueStats, description: 'those that have run' },
});

export const blockMap = recordOf({
  cell_size: { ...COUNT, description: 'bytes of a cell, a power of two' },
  size: { ...COUNT, description: 'bytes of the disk' },
  reads: { type: 'array', items: COUNT, description: 'requests by cell, modulo 2^32' },
  writes: { type: 'array', items: COUNT, description: 'written zeroes are writes' },
  discards: { type: 'array', items: COUNT },
});

export type DiskStats = ValueOf<typeof diskStats>;
export type QueueStats = DiskStats['queues'][number];
export type LatencySummary = DiskStats['latency']['read'];
export type BlockMapResult = ValueOf<typeof blockMap>;
