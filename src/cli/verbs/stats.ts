/**
 * `vloop stats`: what disks have counted since they were made, as a table or as JSON.
 */
import type { DiskStats } from '../../control/schema/disk-stats.ts';
import { version } from '../version.ts';
import { tableLines } from './columns.ts';
import { bytesText, timeText } from './figures-text.ts';
import { pickDisk, withDisks } from './processes.ts';
import type { Verb } from './verb.ts';

const RIGHT = true;

function operationLines({ totals, latency }: DiskStats): string[] {
  const row = (name: keyof DiskStats['latency'], done: number, bytes: number | null) => {
    const { count, mean_us, p50_us, p90_us, p99_us, p999_us } = latency[name];
    const times = [mean_us, p50_us, p90_us, p99_us, p999_us].map(timeText);
    const shown = bytes === null ? '-' : bytesText(bytes);
    return [name, String(done), String(count - done), shown, ...times];
  };
  const heads = ['OPERATION', 'DONE', 'FAILED', 'BYTES', 'MEAN', 'P50', 'P90', 'P99', 'P99.9'];
  return tableLines(
    heads,
    [
      row('read', totals.reads, totals.bytes_read),
      row('write', totals.writes, totals.bytes_written),
      row('flush', totals.flushes, null),
      row('discard', totals.discards, totals.bytes_discarded),
      row('write_zeroes', totals.write_zeroes, totals.bytes_zeroed),
    ],
    heads.map((_, at) => at > 0),
  );
}

function queueLines({ queues }: DiskStats): string[] {
  const heads = [
    'QUEUE',
    'INFLIGHT',
    'READS',
    'WRITES',
    'OTHERS',
    'ERRORS',
    'KICKS',
    'CALLS',
    'BUSY',
  ];
  const rows = queues.map((queue) => [
    String(queue.queue),
    String(queue.in_flight),
    String(queue.reads),
    String(queue.writes),
    String(queue.flushes + queue.discards + queue.write_zeroes + queue.others),
    String(queue.errors + queue.unsupported),
    String(queue.kicks),
    String(queue.calls),
    timeText(queue.busy_ms * 1000),
  ]);
  return rows.length === 0
    ? ['no queue has run yet']
    : tableLines(
        heads,
        rows,
        heads.map(() => RIGHT),
      );
}

function troubleLines({ totals, failures, violations }: DiskStats): string[] {
  const facts = [
    `errors ${totals.errors} (${totals.refused} out of range or malformed)`,
    `unsupported ${totals.unsupported}`,
    `bounced ${totals.bounced}`,
  ];
  return [
    facts.join(', '),
    ...failures.map(({ op, error, count }) => `the backing file failed: ${op} ${error} ×${count}`),
    ...violations.map(({ kind, count }) => `the driver broke a ring: ${kind} ×${count}`),
  ];
}

export function statsText(stats: DiskStats): string {
  const parts = [operationLines(stats), queueLines(stats), troubleLines(stats)];
  const lines = parts.flatMap((part) => ['', ...part.map((line) => `  ${line}`)]).slice(1);
  return `${[stats.name, ...lines].join('\n')}\n`;
}

export const statsVerb: Verb = {
  summary: 'what disks have counted: requests, bytes, latencies',
  words: '[DISK…]',
  options: {
    prometheus: { value: null, meaning: 'as Prometheus metrics' },
    json: { value: null, short: 'J', meaning: 'as JSON, with all that is counted' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run({ words, values }) {
    const stats = await withDisks(async (found) => {
      const picked = words.length === 0 ? found : words.map((word) => pickDisk(found, word));
      const asked = picked.map(({ status, client }) =>
        client.call('disk_get_stats', { disk: status.name }),
      );
      return await Promise.all(asked);
    });
    if (values['prometheus'] === true) {
      const { metricsOf } = await import('../../control/metrics.ts');
      process.stdout.write((await metricsOf(stats, version())).text);
      return 0;
    }
    const text =
      values['json'] === true
        ? `${JSON.stringify({ disks: stats }, null, 3)}\n`
        : stats.map(statsText).join('\n');
    process.stdout.write(text);
    return 0;
  },
};
