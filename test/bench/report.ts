/**
 * The benchmark's answer as text a person reads: the conditions, a table for each file, the project's targets. The
 * same rows go to a terminal, in columns, and to a document, as Markdown. Pure: figures in, text out.
 */
import type { Latency } from './client.ts';
import type { Comparison, Figures, Ratios } from './comparison.ts';
import type { Conditions } from './conditions.ts';
import { fileKinds, workloadAndClient } from './matrix.ts';
import type { Summary } from './statistics.ts';
import type { Target } from './targets.ts';

type Table = { title: string; header: readonly string[]; rows: readonly (readonly string[])[] };

/** `client`: the part of a processor that the client used; `others`: of the machine, strangers to the benchmark. */
const HEADER = [
  'workload',
  'against',
  'kIOPS',
  'theirs',
  'ratio (range)',
  'CPU s/M',
  'theirs',
  'ratio',
  'p50/p99/p99.9 µs',
  'theirs',
  'client',
  'others',
];

/** One table for each kind of file, one line for each opponent. */
export function tablesOf(comparisons: readonly Comparison[]): Table[] {
  return fileKinds.flatMap((file) => {
    const rows = comparisons.filter(({ row }) => row.file === file).flatMap(linesOf);
    return rows.length === 0 ? [] : [{ title: file, header: HEADER, rows }];
  });
}

function linesOf({ row, ours, against, others }: Comparison): string[][] {
  const name = workloadAndClient(row);
  const strangers = percent(others.median);
  if (against.length === 0) return [[name, '-', ...sides(ours), strangers]];
  return against.map((theirs, i) => [
    i === 0 ? name : '',
    theirs.label,
    ...sides(ours, theirs, theirs.ratio),
    strangers,
  ]);
}

function sides(ours: Figures, theirs?: Figures, ratio?: Ratios): string[] {
  const kiops = (figures: Figures | undefined) =>
    figures === undefined ? '-' : (figures.iops.median / 1000).toFixed(1);
  const cpu = (figures: Figures | undefined) =>
    figures === undefined ? '-' : figures.cpuSecondsPerMillion.median.toFixed(2);
  return [
    kiops(ours),
    kiops(theirs),
    ratio === undefined ? '-' : withRange(ratio.iops),
    cpu(ours),
    cpu(theirs),
    ratio?.cpu?.median.toFixed(2) ?? '-',
    latencyText(ours.latencyUs),
    latencyText(theirs?.latencyUs),
    ours.clientBusy === undefined ? '-' : percent(ours.clientBusy),
  ];
}

export function conditionLines(conditions: Conditions, clients: readonly string[]): string[] {
  const c = conditions;
  return [
    `${c.cpu}, ${c.memoryGib} GiB, ${c.kernel}, ${percent(c.othersBefore)} busy before${c.busy ? '; beside it a process that never sleeps' : ''}`,
    `files: ${c.imageMib} MiB on ${c.fileSystem} and tmpfs`,
    `vloop ${c.commit} on Node ${c.node}`,
    `opponents: ${c.peer} with an iothread, by its aio=; host: ${c.fio}, ioengine=io_uring straight on the file`,
    'no further baseline: Debian packages neither QEMU’s contrib/vhost-user-blk nor SPDK',
    ...clients.map((client) => `client: ${client}`),
    c.fioEngine,
  ];
}

export function targetTable(targets: readonly Target[]): Table {
  return {
    title: 'targets',
    header: ['row', 'figure', 'wanted', 'measured', ''],
    rows: targets.map(({ row, figure, wanted, measured, met }) => [
      row,
      figure,
      wanted,
      measured,
      met ? 'met' : 'MISSED',
    ]),
  };
}

/** A back-end that spins while it has nothing to do takes a processor from the one being measured. */
export function idleLine(comparisons: readonly Comparison[]): string {
  const worst = new Map<string, number>();
  for (const { idleCpuSeconds } of comparisons)
    for (const [label, seconds] of Object.entries(idleCpuSeconds))
      worst.set(label, Math.max(worst.get(label) ?? 0, seconds));
  const texts = [...worst].map(([label, seconds]) => `${label} ${seconds.toFixed(2)}`);
  return `CPU seconds of an idle back-end in a round of another, at most: ${texts.join(', ') || '-'}`;
}

/** Above some per cent the figures are those of a busy machine. */
export function othersLine(comparisons: readonly Comparison[]): string {
  const worst = Math.max(0, ...comparisons.map(({ others }) => others.median));
  return `share of the machine that other processes took, worst row: ${percent(worst)}`;
}

/** In columns; the first two are words, the others figures. */
export function plainTable({ title, header, rows }: Table): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [title, ...all.map(line)].join('\n');
}

export function markdownTable({ title, header, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = header.map((_, column) => (column < 2 ? '---' : '--:'));
  return [`**${title}**`, '', line(header), line(rule), ...rows.map(line)].join('\n');
}

function withRange({ median, min, max }: Summary): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;
}

function latencyText(latency: Latency | undefined): string {
  if (latency === undefined) return '-';
  const text = (us: number) => us.toFixed(us < 10 ? 1 : 0);
  return [latency.p50, latency.p99, latency.p999].map(text).join('/');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
