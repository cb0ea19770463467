/**
 * The Prometheus exposition against a strict reading of its format: every line, names and labels, buckets that
 * grow, and figures that are those of the loop device.
 */
import { describe, expect, test } from 'vitest';
import { diskStatsOf } from '../../../src/control/disk-stats.ts';
import { metricsOf } from '../../../src/control/metrics.ts';
import { LATENCIES_PER_VRING } from '../../../src/loop/latencies.ts';
import { SharedFigures } from '../../../src/worker/shared-figures.ts';
import { LoopRig } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads text format 0.0.4, and throws at what is not in it. */
function parse(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const seen = new Set<string>();
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  for (const line of text.split('\n').filter((part) => part !== '')) {
    const [, kind, about, rest] = /^# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (helps.has(about!)) throw new Error(`two HELP lines: ${about}`);
      helps.add(about!);
      continue;
    }
    if (kind === 'TYPE') {
      if (types.has(about!)) throw new Error(`two TYPE lines: ${about}`);
      types.set(about!, rest!);
      continue;
    }
    const found = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null) throw new Error(`not a sample: ${line}`);
    const [, name, list = '', number] = found;
    const labels: Record<string, string> = {};
    let left = list;
    while (left !== '') {
      const label = /^([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)",?/.exec(left);
      if (label === null) throw new Error(`not a label: ${left} in ${line}`);
      labels[label[1]!] = label[2]!;
      left = left.slice(label[0].length);
    }
    const key = `${name}${JSON.stringify(labels)}`;
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    const value = Number(number);
    if (!Number.isFinite(value)) throw new Error(`not a number: ${line}`);
    const family = name!.replace(/_(bucket|sum|count)$/, '');
    if (!types.has(name!) && !types.has(family)) throw new Error(`no TYPE before ${line}`);
    samples.push({ name: name!, labels, value });
  }
  return { samples, types };
}

/** The figures of a rig with two queues. */
function figuresOf(rig: LoopRig): SharedFigures {
  const figures = new SharedFigures(2);
  figures.counters.set(rig.counters);
  figures.latencies.set(rig.latencies);
  return figures;
}

function worked(): LoopRig {
  const rig = new LoopRig({ queueCount: 2 });
  rig.run(blk.read(8, 4096));
  rig.offer(blk.read(16, 512));
  rig.serve();
  rig.nowMs += 3;
  rig.settle();
  rig.run(blk.write(0, new Uint8Array(1024)), { queue: 1 });
  rig.run(blk.discard({ sector: 0, sectors: 8 }), { queue: 1 });
  rig.run(blk.read(2 ** 30, 512));
  return rig;
}

async function exposition(...names: string[]) {
  const rig = worked();
  const stats = names.map((name) => diskStatsOf(name, figuresOf(rig), rig.nowMs));
  const { text, type } = await metricsOf(stats, '1.2.3');
  return { ...parse(text), type };
}

function valuesOf(samples: readonly Sample[], name: string, labels: Record<string, string>) {
  const found = samples.filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  );
  return found.map(({ value }) => value);
}

test('is Prometheus text with the figures of each queue', async () => {
  const { samples, types, type } = await exposition('a.img');
  expect(type).toContain('text/plain');
  const of = (name: string, queue: string) => valuesOf(samples, name, { disk: 'a.img', queue });
  expect(of('vloop_reads_completed_total', '0')).toEqual([2]);
  expect(of('vloop_read_bytes_total', '0')).toEqual([4608]);
  expect(of('vloop_writes_completed_total', '1')).toEqual([1]);
  expect(of('vloop_written_bytes_total', '1')).toEqual([1024]);
  expect(of('vloop_discarded_sectors_total', '1')).toEqual([8]);
  expect(of('vloop_io_now', '0')).toEqual([0]);
  expect(of('vloop_io_time_seconds_total', '0')[0]).toBeCloseTo(0.003, 9);
  expect(of('vloop_read_time_seconds_total', '0')[0]).toBeCloseTo(0.003, 9);
  expect(valuesOf(samples, 'vloop_build_info', { version: '1.2.3' })).toEqual([1]);
  expect(valuesOf(samples, 'vloop_guest_errors_total', { kind: 'refused' })).toEqual([1]);
  for (const [name, kind] of types) {
    expect(name.endsWith('_total'), name).toBe(kind === 'counter');
  }
});

describe('the duration histogram', () => {
  test('has cumulative buckets in seconds, a sum and a count, by disk and operation', async () => {
    const { samples, types } = await exposition('a.img');
    expect(types.get('vloop_request_duration_seconds')).toBe('histogram');
    const labels = { disk: 'a.img', op: 'read' };
    const buckets = samples.filter(
      ({ name, labels: { op } }) =>
        name === 'vloop_request_duration_seconds_bucket' && op === 'read',
    );
    const values = buckets.map(({ value }) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(buckets.at(-1)).toMatchObject({ labels: { le: '+Inf' }, value: 2 });
    // One took no time, one 3 ms: between 2^21 and 2^22 ns.
    const below = (le: string) => valuesOf(buckets, buckets[0]!.name, { le });
    expect([below('0.000001024'), below('0.002097152'), below('0.004194304')]).toEqual([
      [1],
      [1],
      [2],
    ]);
    expect(valuesOf(samples, 'vloop_request_duration_seconds_count', labels)).toEqual([2]);
    expect(valuesOf(samples, 'vloop_request_duration_seconds_sum', labels)[0]).toBeCloseTo(
      0.003,
      9,
    );
  });

  test('cardinality is bounded by operations, not by queues', async () => {
    const { samples } = await exposition('a.img');
    const rows = samples.filter(({ name }) => name.startsWith('vloop_request_duration'));
    expect(rows).toHaveLength(5 * (26 + 2));
  });
});

test('disks that are called the same stay apart, and odd names are escaped', async () => {
  const { samples } = await exposition('a', 'a', 'b"\\c');
  const disks = samples.filter(({ name }) => name === 'vloop_reads_completed_total');
  expect([...new Set(disks.map(({ labels }) => labels['disk']))]).toEqual([
    'a',
    'a-2',
    'b\\"\\\\c',
  ]);
});

test('rings that never ran have no series', async () => {
  const figures = new SharedFigures(64);
  expect(figures.latencies.length).toBe(64 * LATENCIES_PER_VRING);
  const { text } = await metricsOf([diskStatsOf('idle', figures, 0)], '1');
  expect(text).not.toContain('queue=');
  expect(parse(text).samples.length).toBeGreaterThan(0);
});
