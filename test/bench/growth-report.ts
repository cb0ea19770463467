/**
 * The growth benchmark's answer as text: one table an axis, in Markdown, with how much the last point costs more
 * than the cheapest one. Pure: results in, text out.
 */
import type { AxisResult, GrowthResult } from './growth-measure.ts';
import { median, type Summary } from './statistics.ts';

export function axisTable({ axis, results }: AxisResult): string {
  const disks = axis.name === 'disks';
  const heads = [
    axis.title,
    'on',
    'k requests/s',
    'CPU ns a request',
    'p50 µs',
    'client alone, k/s',
  ];
  if (disks) heads.push('start ms', 'MiB at start', 'MiB a further disk');
  const rows = results.map((result) => [
    result.x,
    result.series,
    ranged(result.iops, 1e-3),
    ranged(result.cpuNs, 1),
    result.p50Us.median.toFixed(1),
    (result.ceilingIops / 1000).toFixed(0),
    ...(disks ? diskCells(result, results[0]!) : []),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `### ${axis.name}`,
    '',
    `${axis.what}.`,
    '',
    line(heads),
    `|---|---|${'--:|'.repeat(heads.length - 2)}`,
    ...rows.map(line),
    '',
    ...growthLines(results),
    `* others had ${othersPercent(results)} % of the machine meanwhile, the median point's median`,
    '',
  ].join('\n');
}

function othersPercent(results: readonly GrowthResult[]): string {
  return (100 * median(results.map(({ others }) => others.median))).toFixed(0);
}

function diskCells(result: GrowthResult, one: GrowthResult): string[] {
  const more = Number(result.x) - Number(one.x);
  const extra = (result.idleRssMib.median - one.idleRssMib.median) / more;
  return [
    result.startMs.median.toFixed(0),
    result.idleRssMib.median.toFixed(0),
    more === 0 ? '' : extra.toFixed(1),
  ];
}

/** The last point of each series against its first and against its cheapest. */
export function growthLines(results: readonly GrowthResult[]): string[] {
  return [...Map.groupBy(results, ({ series }) => series)].map(([series, points]) => {
    const first = points[0]!;
    const last = points.at(-1)!;
    const cheapest = points.toSorted((a, b) => a.cpuNs.median - b.cpuNs.median)[0]!;
    const ratio = (last.cpuNs.median / first.cpuNs.median).toFixed(2);
    const overCheapest = (last.cpuNs.median / cheapest.cpuNs.median).toFixed(2);
    return `* ${series}: ${last.x} costs ${ratio} of ${first.x}, ${overCheapest} of the cheapest (${cheapest.x})`;
  });
}

function ranged({ median: middle, min, max }: Summary, scale: number): string {
  const text = (value: number) => (value * scale).toFixed(0);
  return `${text(middle)} (${text(min)}–${text(max)})`;
}
