/**
 * The growth benchmark's axes, its tables and its figure: that each axis varies one thing, that ratios are those of
 * the figures, that the drawing holds every panel and every line.
 */
import { describe, expect, test } from 'vitest';
import { type GrowthPoint, growthAxes } from '../bench/growth-axes.ts';
import type { AxisResult, GrowthResult } from '../bench/growth-measure.ts';
import { costPanels, drawPanels, speedPanels } from '../bench/growth-plot.ts';
import { axisTable, growthLines } from '../bench/growth-report.ts';
import { parseLoadOptions } from '../bench/load-options.ts';

const flat = (median: number) => ({ median, min: median, max: median, count: 3 });

function resultOf(point: GrowthPoint, cpuNs: number): GrowthResult {
  return {
    x: point.x,
    series: point.series,
    load: point.load,
    iops: flat(1e9 / cpuNs),
    cpuNs: { median: cpuNs, min: cpuNs - 1, max: cpuNs + 1, count: 3 },
    p50Us: flat(2),
    p99Us: flat(3),
    ceilingIops: 5e6,
    clientCpuNs: flat(100),
    startMs: flat(100 + 50 * Number(point.x)),
    idleRssMib: flat(70 + 10 * Number(point.x)),
    others: flat(0),
  };
}

function axisNamed(name: string, cpuNs: (point: GrowthPoint, index: number) => number): AxisResult {
  const axis = growthAxes.find((known) => known.name === name);
  if (axis === undefined) throw new Error(`no axis ${name}`);
  return {
    axis,
    conditions: [],
    results: axis.points.map((point, i) => resultOf(point, cpuNs(point, i))),
  };
}

describe('axes', () => {
  test.each(growthAxes)('$name: every load is one that the generator takes', ({ points }) => {
    for (const { load, disks } of points) {
      const sockets = Array.from({ length: disks.count }, (_, i) => `s${i}`);
      expect(() => parseLoadOptions([...sockets, ...load])).not.toThrow();
    }
    const named = points.map(({ x, series }) => `${series} ${x}`);
    expect(new Set(named).size).toBe(named.length);
  });

  test('the ranges that the project asks for', () => {
    const ends = growthAxes.map(({ name, points }) => [name, points[0]!.x, points.at(-1)!.x]);
    expect(ends).toEqual([
      ['depth', '1', '256'],
      ['queues', '1', '8'],
      ['segments', '1', '128'],
      ['regions', '1', '64'],
      ['image-size', '1G', '8T'],
      ['disks', '1', '64'],
    ]);
  });

  test('as many requests are in flight with any number of queues or disks', () => {
    for (const [name, total] of [
      ['queues', 32],
      ['disks', 64],
    ] as const)
      for (const { load, disks } of growthAxes.find((axis) => axis.name === name)!.points) {
        const { depth, queues } = parseLoadOptions(['s', ...load]);
        expect(depth * queues * disks.count).toBe(total);
      }
  });
});

describe('tables', () => {
  test('the last point against the first and the cheapest, series by series', () => {
    const { results } = axisNamed('depth', ({ x, series }) =>
      series === 'memory disk' ? 500 : x === '1' ? 2000 : x === '64' ? 800 : 1000,
    );
    expect(growthLines(results)).toEqual([
      '* cached file: 256 costs 0.50 of 1, 1.25 of the cheapest (64)',
      '* memory disk: 256 costs 1.00 of 1, 1.00 of the cheapest (1)',
    ]);
  });

  test('a disk more costs the difference to one, divided by how many more', () => {
    const table = axisTable(axisNamed('disks', () => 1000));
    expect(table).toContain('| 64 | cached file | 1000 (1000–1000) | 1000 (999–1001) |');
    expect(table).toMatch(/\| 64 \|.*\| 3300 \| 710 \| 10\.0 \|/);
    expect(table).toMatch(/\| 1 \|.*\| 150 \| 80 \| {2}\|/);
  });
});

describe('figure', () => {
  const measured = [axisNamed('regions', (_, i) => 500 + i), axisNamed('disks', () => 1000)];

  test('one panel an axis, two more for what disks cost', () => {
    expect(costPanels(measured).map(({ unit }) => unit)).toEqual([
      'CPU µs a request',
      'CPU µs a request',
      'MiB at start',
      'ms to start',
    ]);
    expect(costPanels(measured)[0]!.lines.map(({ values }) => values.length)).toEqual([7, 7, 7]);
    expect(speedPanels(measured)).toHaveLength(2);
  });

  test('an SVG document with its titles, on a clear ground, text in one middle grey', () => {
    const svg = drawPanels(costPanels(measured));
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    for (const text of ['memory regions', 'disks of one process', 'MiB at start', 'in 8 GiB'])
      expect(svg).toContain(text);
    expect(svg).not.toContain('NaN');
    expect(svg).not.toMatch(/<rect[^>]*fill="(?!none)/);
    const textColours = new Set(
      [...svg.matchAll(/<text[^>]*fill="([^"]*)"/g)].map(([, fill]) => fill),
    );
    expect([...textColours]).toEqual(['#7d8590']);
  });
});
