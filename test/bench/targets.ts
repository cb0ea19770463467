/**
 * What the project promises of its data path, as rules over the rows of matrix.ts, and whether the measured figures
 * keep it. Ratios are vloop's figure over that of qemu-storage-daemon with aio=io_uring unless said otherwise. Pure.
 */
import type { Comparison } from './comparison.ts';
import { AWAKE, type FileKind, type OpponentName, rowName } from './matrix.ts';
import type { Summary } from './statistics.ts';
import { workloadName } from './workload.ts';

type RatioFigure = 'iops' | 'cpu' | 'p50' | 'p999';
/** A figure of vloop's alone. */
type OwnFigure = 'IOPS' | 'p50 µs';

type Rule = {
  file: FileKind;
  workload: string;
  figure: RatioFigure | OwnFigure;
  against?: OpponentName;
  /** A limit from below for speed, from above for CPU and latency. */
  limit: number;
  /** Where it is promised; on an idle machine unless said otherwise. */
  machine?: 'busy' | 'both';
};

export type Target = {
  row: string;
  figure: string;
  wanted: string;
  measured: string;
  met: boolean;
};

const RSS_LIMIT_MIB = 90;

const d32 = '4k randread, depth 32';
const d128 = '4k randread, depth 128';
const large = { file: 'large pieces' } as const;
const small = { file: 'small pieces' } as const;
const direct = { file: 'direct' } as const;
const tmpfs = { file: 'tmpfs' } as const;
const memory = { file: 'memory' } as const;

const RULES: readonly Rule[] = [
  { ...large, workload: '4k randread, depth 1', figure: 'iops', limit: 3.5 },
  { ...large, workload: '4k randread, depth 4', figure: 'iops', limit: 2.5 },
  { ...large, workload: d32, figure: 'iops', limit: 3 },
  { ...large, workload: d32, figure: 'iops', limit: 4, machine: 'busy' },
  { ...large, workload: d128, figure: 'iops', limit: 3 },
  { ...large, workload: d32, figure: 'cpu', limit: 0.4, machine: 'both' },
  { ...large, workload: d128, figure: 'cpu', limit: 0.4, machine: 'both' },
  { ...large, workload: d32, figure: 'iops', against: 'host', limit: 1.2 },
  { ...large, workload: '128k read, depth 16', figure: 'iops', limit: 1.25 },
  { ...tmpfs, workload: d32, figure: 'iops', limit: 4.5 },
  { ...tmpfs, workload: '4k randwrite, depth 32', figure: 'iops', limit: 4.5 },
  { ...small, workload: '4k randwrite, depth 32', figure: 'iops', limit: 5 },
  { ...small, workload: '128k write, depth 16', figure: 'iops', limit: 2 },
  { ...direct, workload: d32, figure: 'iops', limit: 1 },
  { ...direct, workload: d128, figure: 'iops', limit: 1 },
  { ...direct, workload: d32, figure: 'iops', against: 'host', limit: 0.98 },
  { ...direct, workload: d128, figure: 'iops', against: 'host', limit: 0.98 },
  { ...direct, workload: d32, figure: 'cpu', limit: 0.55 },
  { ...direct, workload: d128, figure: 'cpu', limit: 0.55 },
  { ...large, workload: '4k randread, depth 1', figure: 'p50', limit: 0.3 },
  { ...large, workload: '4k randread, depth 1, polling client', figure: 'p50', limit: 0.25 },
  {
    ...large,
    workload: '4k randread, depth 8, 30 k/s, polling client',
    figure: 'p999',
    limit: 0.8,
  },
  { ...large, workload: `${d32}, 4 queues`, figure: 'iops', limit: 2.5 },
  { ...memory, workload: '4k randread, depth 1, polling client', figure: 'p50 µs', limit: 1.6 },
  { ...memory, workload: `${d32}, polling client`, figure: 'IOPS', limit: 1e6 },
];

export function checkTargets(comparisons: readonly Comparison[], busy: boolean): Target[] {
  const ratioTargets = RULES.filter(({ machine }) =>
    busy ? machine !== undefined : machine !== 'busy',
  ).flatMap((rule) => {
    const comparison = comparisons.find(
      ({ row }) =>
        row.file === rule.file &&
        !row.vloop.includes(AWAKE) &&
        row.client === 'blkio' &&
        workloadName(row.workload) === rule.workload,
    );
    return comparison === undefined ? [] : judge(rule, comparison);
  });
  return [...ratioTargets, ...memoryTarget(comparisons)];
}

function judge(rule: Rule, comparison: Comparison): Target[] {
  const measured = figureOf(rule, comparison);
  if (measured === undefined) return [];
  const { figure, limit } = rule;
  const fromBelow = figure === 'iops' || figure === 'IOPS';
  return [
    {
      row: rowName(comparison.row),
      figure: nameOf(rule),
      wanted: `${fromBelow ? '≥' : '≤'} ${valueText(figure, limit)}`,
      measured: `${valueText(figure, measured.median)} (${valueText(figure, measured.min)}–${valueText(figure, measured.max)})`,
      met: fromBelow ? measured.median >= limit : measured.median <= limit,
    },
  ];
}

function figureOf({ figure, against = 'io_uring' }: Rule, comparison: Comparison) {
  const { ours } = comparison;
  if (figure === 'IOPS') return ours.iops;
  if (figure === 'p50 µs') return ours.latencyUs && alone(ours.latencyUs.p50);
  return comparison.against.find(({ label }) => label === against)?.ratio[figure];
}

function alone(value: number): Summary {
  return { median: value, min: value, max: value, count: 1 };
}

const FIGURES: Readonly<Record<RatioFigure, string>> = {
  iops: 'IOPS',
  cpu: 'CPU per request',
  p50: 'p50',
  p999: 'p99.9',
};

function nameOf({ figure, against = 'io_uring' }: Rule): string {
  if (figure === 'IOPS' || figure === 'p50 µs') return figure;
  return `${FIGURES[figure]} over ${against}`;
}

function valueText(figure: Rule['figure'], value: number): string {
  return figure === 'IOPS' ? `${(value / 1000).toFixed(0)} k` : value.toFixed(2);
}

/** One worker, one disk; a memory disk is no part of what the process itself takes. */
function memoryTarget(comparisons: readonly Comparison[]): Target[] {
  const sizes = comparisons
    .filter(({ row }) => row.file !== 'memory' && row.vloop.length === 0)
    .map(({ ours }) => ours.rssBytes / 2 ** 20);
  if (sizes.length === 0) return [];
  const most = Math.max(...sizes);
  return [
    {
      row: 'one disk, one worker, any row',
      figure: 'memory, without the guest’s',
      wanted: `≤ ${RSS_LIMIT_MIB} MiB`,
      measured: `${most.toFixed(0)} MiB`,
      met: most <= RSS_LIMIT_MIB,
    },
  ];
}
