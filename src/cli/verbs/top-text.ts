/**
 * The lines of `vloop top`, out of two looks at the disks: rates and latencies of what came between them. Pure.
 */
import type { DiskStats, QueueStats } from '../../control/schema/disk-stats.ts';
import { tableLines } from './columns.ts';
import { bytesText, countText, timeText } from './figures-text.ts';

export interface TopLook {
  readonly stats: DiskStats;
  /** bound, connected, quiesced… */
  readonly state: string;
}

type Bucket = readonly (number | undefined)[];

const HEADS = [
  'DISK',
  'QUEUE',
  'STATE',
  'R/s',
  'W/s',
  'READ/s',
  'WRITE/s',
  'R-P50',
  'R-P99',
  'W-P50',
  'W-P99',
  'INFLIGHT',
  'BUSY%',
];
/** A bucket is 1/32 of its power of two wide: its middle. */
const MIDDLE = 1 + 1 / 64;

/** The latency in µs that a share of the requests between two looks did not exceed; 0: there were none. */
export function percentileBetween(
  before: readonly Bucket[],
  after: readonly Bucket[],
  share: number,
): number {
  const earlier = new Map(before.map(([start, count]) => [start, count ?? 0]));
  const came = after.map(([start, count]) => [start!, count! - (earlier.get(start) ?? 0)] as const);
  const total = came.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return 0;
  const rank = Math.max(1, Math.ceil(share * total));
  let seen = 0;
  for (const [start, count] of came) {
    seen += count;
    if (seen >= rank) return (start * MIDDLE) / 1000;
  }
  return 0;
}

function cellsOf(before: QueueStats | undefined, after: QueueStats, seconds: number): string[] {
  const rate = (name: 'reads' | 'writes' | 'bytes_read' | 'bytes_written' | 'busy_ms') =>
    Math.max(0, after[name] - (before?.[name] ?? 0)) / seconds;
  const time = (op: 'read' | 'write', share: number) =>
    timeText(percentileBetween(before?.latency[op] ?? [], after.latency[op], share));
  return [
    countText(rate('reads')),
    countText(rate('writes')),
    bytesText(rate('bytes_read')),
    bytesText(rate('bytes_written')),
    time('read', 0.5),
    time('read', 0.99),
    time('write', 0.5),
    time('write', 0.99),
    String(after.in_flight),
    String(Math.min(100, Math.round(rate('busy_ms') / 10))),
  ];
}

function mergedBuckets(queues: readonly QueueStats[], op: 'read' | 'write'): number[][] {
  const sums = new Map<number, number>();
  for (const { latency } of queues) {
    for (const [start, count] of latency[op]) sums.set(start!, (sums.get(start!) ?? 0) + count!);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** All queues of a disk as one. */
function whole({ totals, queues }: DiskStats): QueueStats {
  const none: number[][] = [];
  const latency = {
    read: mergedBuckets(queues, 'read'),
    write: mergedBuckets(queues, 'write'),
    flush: none,
    discard: none,
    write_zeroes: none,
  };
  const time_ms = { read: 0, write: 0, flush: 0, discard: 0, write_zeroes: 0 };
  return { queue: -1, ...totals, time_ms, latency };
}

/** A disk and, when it has several, its queues. */
function rowsOf(before: TopLook | undefined, { stats, state }: TopLook): string[][] {
  const seconds = Math.max(1e-3, (stats.at_ms - (before?.stats.at_ms ?? 0)) / 1000);
  const earlier = before && whole(before.stats);
  const rows = [[stats.name, 'all', state, ...cellsOf(earlier, whole(stats), seconds)]];
  if (stats.queues.length < 2) return rows;
  for (const queue of stats.queues) {
    const then = before?.stats.queues.find((other) => other.queue === queue.queue);
    rows.push(['', String(queue.queue), '', ...cellsOf(then, queue, seconds)]);
  }
  return rows;
}

/** Disks by name; one that was not there at the first look shows its rates since it was made. */
export function topLines(before: readonly TopLook[], after: readonly TopLook[]): string[] {
  const rows = after.flatMap((look) =>
    rowsOf(
      before.find(({ stats }) => stats.name === look.stats.name),
      look,
    ),
  );
  if (rows.length === 0) return ['no disk is served'];
  return tableLines(
    HEADS,
    rows,
    HEADS.map((_, at) => at > 2),
  );
}
