/**
 * Prometheus metrics, made of what disk_get_stats answers whenever they are asked for: nothing is counted here,
 * and nothing per request. Suffixes are node_exporter's for disks, so that its dashboards fit with another
 * prefix. Source: prometheus.io, metric and label naming.
 */
import { Counter, Gauge, Histogram, type MetricType, Registry } from 'prom-client';
import type { ControlTarget } from './controlled-disk.ts';
import type { DiskStats, QueueStats } from './schema/disk-stats.ts';

const PREFIX = 'vloop_';
const SECTOR_BYTES = 512;

type Op = keyof DiskStats['latency'];
const OPS: readonly Op[] = ['read', 'write', 'flush', 'discard', 'write_zeroes'];

/** Bounds of the duration histogram: 2^10 ns, 1 µs, to 2^34, 17 s. Powers of two are bounds of ours as well. */
const POWERS = Array.from({ length: 25 }, (_, i) => 10 + i);
const BOUNDS_SECONDS = POWERS.map((power) => 2 ** power / 1e9);

interface QueueRow {
  readonly name: string;
  readonly help: string;
  readonly gauge?: true;
  readonly value: (queue: QueueStats) => number;
}

function timeOf({ time_ms }: QueueStats): number {
  return OPS.reduce((sum, op) => sum + time_ms[op], 0) / 1000;
}

/** What each queue has; in seconds, bytes or sectors. */
const QUEUE_ROWS: readonly QueueRow[] = [
  { name: 'reads_completed_total', help: 'Reads completed.', value: (q) => q.reads },
  { name: 'read_bytes_total', help: 'Bytes read.', value: (q) => q.bytes_read },
  {
    name: 'read_time_seconds_total',
    help: 'Seconds spent by all reads.',
    value: (q) => q.time_ms.read / 1000,
  },
  { name: 'writes_completed_total', help: 'Writes completed.', value: (q) => q.writes },
  { name: 'written_bytes_total', help: 'Bytes written.', value: (q) => q.bytes_written },
  {
    name: 'write_time_seconds_total',
    help: 'Seconds spent by all writes.',
    value: (q) => q.time_ms.write / 1000,
  },
  { name: 'discards_completed_total', help: 'Discards completed.', value: (q) => q.discards },
  {
    name: 'discarded_sectors_total',
    help: 'Sectors of 512 bytes discarded.',
    value: (q) => q.bytes_discarded / SECTOR_BYTES,
  },
  {
    name: 'discard_time_seconds_total',
    help: 'Seconds spent by all discards.',
    value: (q) => q.time_ms.discard / 1000,
  },
  { name: 'flush_requests_total', help: 'Flushes completed.', value: (q) => q.flushes },
  {
    name: 'flush_requests_time_seconds_total',
    help: 'Seconds spent by all flushes.',
    value: (q) => q.time_ms.flush / 1000,
  },
  {
    name: 'write_zeroes_completed_total',
    help: 'Write-zeroes requests completed.',
    value: (q) => q.write_zeroes,
  },
  { name: 'zeroed_bytes_total', help: 'Bytes zeroed.', value: (q) => q.bytes_zeroed },
  { name: 'io_now', help: 'Requests in flight.', gauge: true, value: (q) => q.in_flight },
  {
    name: 'io_time_seconds_total',
    help: 'Seconds with a request in flight.',
    value: (q) => q.busy_ms / 1000,
  },
  {
    name: 'io_time_weighted_seconds_total',
    help: 'Seconds spent by all requests that have ended.',
    value: timeOf,
  },
  { name: 'bounced_requests_total', help: 'Requests bounced.', value: (q) => q.bounced },
  { name: 'kicks_total', help: 'Notifications by the driver.', value: (q) => q.kicks },
  { name: 'calls_total', help: 'Notifications to the driver.', value: (q) => q.calls },
];

const DURATION = `${PREFIX}request_duration_seconds`;
const DURATION_HELP = 'Time from a request taken from its ring to its answer.';

/** Latencies are in histograms already: prom-client's own would want each request. */
class DurationHistogram extends Histogram<'disk' | 'op'> {
  readonly #stats: readonly DiskStats[];

  constructor(stats: readonly DiskStats[], registry: Registry) {
    super({
      name: DURATION,
      help: DURATION_HELP,
      labelNames: ['disk', 'op'],
      buckets: BOUNDS_SECONDS,
      registers: [registry],
    });
    this.#stats = stats;
  }

  override async get() {
    return await this.getForPromString();
  }

  /** What a registry asks first. */
  async getForPromString(): ReturnType<Histogram<'disk' | 'op'>['get']> {
    const values = this.#stats.flatMap((disk) => OPS.flatMap((op) => this.#valuesOf(disk, op)));
    // An enum of the declarations alone: the module has the word and not the enum.
    const type = 'histogram' as unknown as MetricType;
    const collect = () => {};
    return { name: DURATION, help: DURATION_HELP, type, aggregator: 'sum', values, collect };
  }

  #valuesOf(disk: DiskStats, op: Op) {
    const labels = { disk: disk.name, op };
    const pairs = disk.queues.flatMap(({ latency }) => latency[op]);
    const below = (ns: number) =>
      pairs.reduce((sum, [start, count]) => (start! < ns ? sum + count! : sum), 0);
    const bucket = (le: number | string, value: number) => ({
      labels: { ...labels, le },
      value,
      metricName: `${DURATION}_bucket`,
      exemplar: null,
    });
    const count = below(Number.POSITIVE_INFINITY);
    const sum = disk.queues.reduce((total, { time_ms }) => total + time_ms[op], 0) / 1000;
    const plain = (suffix: string, value: number) => ({
      labels,
      value,
      metricName: `${DURATION}_${suffix}`,
      exemplar: null,
    });
    return [
      ...POWERS.map((power, i) => bucket(BOUNDS_SECONDS[i]!, below(2 ** power))),
      bucket('+Inf', count),
      plain('sum', sum),
      plain('count', count),
    ];
  }
}

function addQueues(stats: readonly DiskStats[], registry: Registry): void {
  for (const { name, help, gauge, value } of QUEUE_ROWS) {
    const options = {
      name: PREFIX + name,
      help,
      labelNames: ['disk', 'queue'],
      registers: [registry],
    };
    const metric = gauge ? new Gauge(options) : new Counter(options);
    for (const disk of stats) {
      for (const queue of disk.queues) {
        metric.inc({ disk: disk.name, queue: String(queue.queue) }, value(queue));
      }
    }
  }
}

function addErrors(stats: readonly DiskStats[], registry: Registry): void {
  const errors = new Counter({
    name: `${PREFIX}errors_total`,
    help: 'Operations that the backing file has failed.',
    labelNames: ['disk', 'op', 'errno'],
    registers: [registry],
  });
  const guestErrors = new Counter({
    name: `${PREFIX}guest_errors_total`,
    help: 'What the guest did wrong: rings broken by kind, requests refused or unsupported.',
    labelNames: ['disk', 'kind'],
    registers: [registry],
  });
  for (const { name: disk, totals, failures, violations } of stats) {
    for (const { op, error, count } of failures) errors.inc({ disk, op, errno: error }, count);
    guestErrors.inc({ disk, kind: 'refused' }, totals.refused);
    guestErrors.inc({ disk, kind: 'unsupported' }, totals.unsupported);
    for (const { kind, count } of violations) {
      guestErrors.inc({ disk, kind: kind.toLowerCase() }, count);
    }
  }
}

/** A series is named once: disks of several processes may be called the same. */
function namedApart(stats: readonly DiskStats[]): DiskStats[] {
  const taken = new Set<string>();
  return stats.map((disk) => {
    let name = disk.name;
    for (let n = 2; taken.has(name); n++) name = `${disk.name}-${n}`;
    taken.add(name);
    return { ...disk, name };
  });
}

interface Exposition {
  /** The content type. */
  readonly type: string;
  readonly text: string;
}

/** The exposition of the disks of a process. */
export async function metricsOfTarget(target: ControlTarget): Promise<Exposition> {
  const asked = target.disks().map(({ name, methods }) => methods.disk_get_stats({ disk: name }));
  return await metricsOf(await Promise.all(asked), target.version);
}

export async function metricsOf(given: readonly DiskStats[], version: string): Promise<Exposition> {
  const stats = namedApart(given);
  const registry = new Registry();
  const build = new Gauge({
    name: `${PREFIX}build_info`,
    help: 'The version of vloop; always 1.',
    labelNames: ['version'],
    registers: [registry],
  });
  build.set({ version }, 1);
  addQueues(stats, registry);
  new DurationHistogram(stats, registry);
  addErrors(stats, registry);
  return { type: registry.contentType, text: await registry.metrics() };
}
