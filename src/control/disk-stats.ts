/**
 * What a disk's shared figures say, in the form of the methods disk_get_stats and disk_get_block_map. Reads
 * memory, asks nobody and waits for nobody.
 */

import { errnoName } from '../../protocol/errno.ts';
import { opName } from '../blk/op-names.ts';
import { busyMs, COUNTERS_PER_VRING, counterNames, inFlightRequests } from '../loop/counters.ts';
import { failureCounts, violationCounts } from '../loop/disk-figures.ts';
import { bucketStartNs, Latencies, TIMED_OPS, type TimedOp } from '../loop/latencies.ts';
import { ringViolations } from '../virtqueue/ring-violation.ts';
import type { SharedFigures } from '../worker/shared-figures.ts';
import type { BlockMapResult, DiskStats, LatencySummary, QueueStats } from './schema/disk-stats.ts';

type Counts = DiskStats['totals'];

export const TIMED_OP_NAMES = Object.keys(TIMED_OPS) as readonly TimedOp[];

function perOp<T>(of: (op: number) => T): Record<TimedOp, T> {
  const pairs = TIMED_OP_NAMES.map((name) => [name, of(TIMED_OPS[name])] as const);
  return Object.fromEntries(pairs) as Record<TimedOp, T>;
}

/** The counters of one vring, by the names of the schema. */
function countsOf(counters: Float64Array, nowMs: number): Counts {
  const { values } = counterNames;
  const at = (name: keyof typeof values) => counters[values[name]]!;
  return {
    in_flight: inFlightRequests(counters),
    reads: at('reads'),
    writes: at('writes'),
    flushes: at('flushes'),
    discards: at('discards'),
    write_zeroes: at('writeZeroes'),
    others: at('others'),
    bytes_read: at('bytesRead'),
    bytes_written: at('bytesWritten'),
    bytes_discarded: at('bytesDiscarded'),
    bytes_zeroed: at('bytesZeroed'),
    durable_writes: at('durableWrites'),
    errors: at('errors'),
    refused: at('refused'),
    transfer_errors: at('transferErrors'),
    unsupported: at('unsupported'),
    bounced: at('bounced'),
    kicks: at('kicks'),
    calls: at('calls'),
    guest_violations: at('guestViolations'),
    busy_ms: busyMs(counters, nowMs),
  };
}

function total(all: readonly Counts[]): Counts {
  const zero = countsOf(new Float64Array(COUNTERS_PER_VRING), 0);
  const names = Object.keys(zero) as ReadonlyArray<keyof Counts>;
  const sums = names.map((name) => {
    const values = all.map((counts) => counts[name]);
    // Queues are busy at the same time: their sum would be no time at all.
    const sum = name === 'busy_ms' ? Math.max(0, ...values) : values.reduce((a, b) => a + b, 0);
    return [name, sum] as const;
  });
  return Object.fromEntries(sums) as Counts;
}

function bucketsOf({ buckets }: Latencies): number[][] {
  const pairs: number[][] = [];
  buckets.forEach((count, bucket) => {
    if (count > 0) pairs.push([bucketStartNs(bucket), count]);
  });
  return pairs;
}

export function summaryOf(latencies: Latencies): LatencySummary {
  const us = (share: number) => latencies.percentileNs(share) / 1000;
  return {
    count: latencies.count,
    mean_us: latencies.count === 0 ? 0 : latencies.sumNs / latencies.count / 1000,
    p50_us: us(0.5),
    p90_us: us(0.9),
    p99_us: us(0.99),
    p999_us: us(0.999),
  };
}

/** The queues that have ever run. */
export function usedQueues(figures: SharedFigures): number[] {
  const all = Array.from({ length: figures.queueCount }, (_, queue) => queue);
  return all.filter(
    (queue) => figures.board(queue) !== null || figures.countersOf(queue).some((n) => n !== 0),
  );
}

/** The latencies of an operation over all queues. */
export function latenciesOf(figures: SharedFigures, queues: readonly number[], op: number) {
  const sum = new Latencies();
  for (const queue of queues) sum.add(figures.latenciesOf(queue), op);
  return sum;
}

/** `nowMs`: of CLOCK_MONOTONIC, as the workers' clocks. */
export function diskStatsOf(name: string, figures: SharedFigures, nowMs: number): DiskStats {
  const used = usedQueues(figures);
  const queues = used.map((queue): QueueStats => {
    const latencies = figures.latenciesOf(queue);
    return {
      queue,
      ...countsOf(figures.countersOf(queue), nowMs),
      in_flight: figures.inFlight(queue),
      time_ms: perOp((op) => new Latencies().add(latencies, op).sumNs / 1e6),
      latency: perOp((op) => bucketsOf(new Latencies().add(latencies, op))),
    };
  });
  return {
    name,
    at_ms: nowMs,
    totals: total(queues),
    latency: perOp((op) => summaryOf(latenciesOf(figures, used, op))),
    failures: failureCounts(figures.failures).map(({ op, errno, count }) => ({
      op: opName(op),
      // A number that does not fit into the table of failures stands as 0.
      error: errno === 0 ? 'unknown' : errnoName(errno),
      count,
    })),
    violations: [...violationCounts(figures.failures)].map(([kind, count]) => ({
      kind: ringViolations.nameOf(kind),
      count,
    })),
    queues,
  };
}

export function blockMapOf(figures: SharedFigures, sizeBytes: number): BlockMapResult {
  const { cellBytes, reads, writes, discards } = figures.blockCounts(sizeBytes);
  return {
    cell_size: cellBytes,
    size: sizeBytes,
    reads: [...reads],
    writes: [...writes],
    discards: [...discards],
  };
}
