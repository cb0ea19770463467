/**
 * The benchmark's answer: one table a person reads, with the conditions above it and the project's own targets
 * below, and the same as JSON. Pure: rounds in, text out.
 */
import type { Latency } from './client.ts';
import type { Conditions } from './conditions.ts';
import type { Round, WorkloadResult } from './rounds.ts';
import { median, ratios, type Summary, summarize } from './statistics.ts';

export type Comparison = {
  client: string;
  workload: string;
  iops: { ours: Summary; theirs: Summary; ratio: Summary };
  cpuSecondsPerMillion: { ours: Summary; theirs: Summary; ratio: Summary | undefined };
  idleCpuSeconds: { ours: Summary; theirs: Summary };
  /** Medians over the rounds, of a client that times its requests. */
  latencyUs: { ours: Latency; theirs: Latency } | undefined;
  rssBytes: { ours: number; theirs: number };
  others: Summary;
};

export type Target = { what: string; wanted: string; measured: string; met: boolean };

const RSS_LIMIT_BYTES = 150 * 2 ** 20;

export function compare(result: WorkloadResult, ours: string, theirs: string): Comparison {
  const of = (label: string, pick: (round: Round) => number) =>
    (result.rounds[label] ?? []).map(pick);
  const both = (pick: (round: Round) => number) => [of(ours, pick), of(theirs, pick)] as const;
  const [ourIops, theirIops] = both((round) => round.iops);
  const [ourCpu, theirCpu] = both((round) => round.cpuSecondsPerMillion);
  const [ourRss, theirRss] = both((round) => round.rssBytes);
  // What a back-end spends while idle is seen in the rounds of the other.
  const [theirIdle, ourIdle] = both((round) => round.idleCpuSeconds);
  const cpuRatios = theirCpu.every((cpu) => cpu > 0) ? ratios(ourCpu, theirCpu) : undefined;
  return {
    client: result.client,
    workload: result.workload.name,
    iops: {
      ours: summarize(ourIops),
      theirs: summarize(theirIops),
      ratio: summarize(ratios(ourIops, theirIops)),
    },
    cpuSecondsPerMillion: {
      ours: summarize(ourCpu),
      theirs: summarize(theirCpu),
      ratio: cpuRatios && summarize(cpuRatios),
    },
    idleCpuSeconds: { ours: summarize(ourIdle), theirs: summarize(theirIdle) },
    rssBytes: { ours: median(ourRss), theirs: median(theirRss) },
    others: summarize(both((round) => round.others).flat()),
    latencyUs: latencies(result.rounds[ours] ?? [], result.rounds[theirs] ?? []),
  };
}

function latencies(ours: readonly Round[], theirs: readonly Round[]): Comparison['latencyUs'] {
  const timed = (rounds: readonly Round[]): Latency | undefined => {
    const known = rounds.flatMap(({ latencyUs }) => (latencyUs === undefined ? [] : [latencyUs]));
    if (known.length === 0) return undefined;
    return { p50: median(known.map(({ p50 }) => p50)), p99: median(known.map(({ p99 }) => p99)) };
  };
  const [our, their] = [timed(ours), timed(theirs)];
  return our && their && { ours: our, theirs: their };
}

/** What the project promises of its data path, as each client sees it. */
export function checkTargets(comparisons: readonly Comparison[]): Target[] {
  const speed = (name: string, least: number): Target[] =>
    comparisons
      .filter(({ workload }) => workload === name)
      .map(({ client, iops }) => ({
        what: `${name}, ${client}: IOPS over the peer's`,
        wanted: `at least ${least.toFixed(2)}`,
        measured: iops.ratio.median.toFixed(2),
        met: iops.ratio.median >= least,
      }));
  const rss = Math.max(0, ...comparisons.map(({ rssBytes }) => rssBytes.ours));
  return [
    ...speed('4k read, depth 32', 2),
    ...speed('4k read, depth 1', 1),
    {
      what: 'memory with one disk',
      wanted: `below ${mib(RSS_LIMIT_BYTES)}`,
      measured: mib(rss),
      met: rss < RSS_LIMIT_BYTES,
    },
  ];
}

export function conditionLines(conditions: Conditions, clients: readonly string[]): string[] {
  const c = conditions;
  return [
    `${c.cpu}, ${c.memoryGib} GiB, ${c.kernel}, ${percent(c.othersBefore)} busy before`,
    `image: ${c.imageMib} MiB on ${c.fileSystem}, in the page cache (large pieces for reads, small for writes, or as --pieces says), --direct-io=${c.directIo}`,
    `vloop ${c.commit} on Node ${c.node}; peer: ${c.peer}`,
    ...clients.map((client) => `client: ${client}`),
  ];
}

export function table(comparisons: readonly Comparison[], ours: string, theirs: string): string {
  const header = [
    'client',
    'workload',
    `${ours} kIOPS`,
    `${theirs} kIOPS`,
    'ratio',
    'CPU s/M',
    'peer',
    'ratio',
    'p50/p99 µs',
    'peer',
    'others',
  ];
  const rows = comparisons.map(
    ({ client, workload, iops, cpuSecondsPerMillion: cpu, latencyUs, others }) => [
      client,
      workload,
      withRange(iops.ours, 1e-3, 1),
      withRange(iops.theirs, 1e-3, 1),
      withRange(iops.ratio, 1, 2),
      cpu.ours.median.toFixed(2),
      cpu.theirs.median.toFixed(2),
      cpu.ratio?.median.toFixed(2) ?? '-',
      latencyText(latencyUs?.ours),
      latencyText(latencyUs?.theirs),
      percent(others.median),
    ],
  );
  return align([header, ...rows]);
}

export function targetLines(targets: readonly Target[]): string[] {
  return targets.map(
    ({ what, wanted, measured, met }) =>
      `${met ? 'met   ' : 'MISSED'} ${what}: ${measured} (wanted ${wanted})`,
  );
}

/** A back-end that spins while it has nothing to do takes a processor from the one being measured. */
export function idleLine(comparisons: readonly Comparison[]): string {
  const worst = (pick: (comparison: Comparison) => number) =>
    Math.max(0, ...comparisons.map(pick)).toFixed(2);
  const ours = worst(({ idleCpuSeconds }) => idleCpuSeconds.ours.max);
  const theirs = worst(({ idleCpuSeconds }) => idleCpuSeconds.theirs.max);
  return `CPU seconds of the idle side in a round, at most: ${ours}, peer ${theirs}`;
}

function withRange({ median: middle, min, max }: Summary, scale: number, digits: number): string {
  const text = (value: number) => (value * scale).toFixed(digits);
  return `${text(middle)} (${text(min)}–${text(max)})`;
}

function latencyText(latency: Latency | undefined): string {
  return latency === undefined ? '-' : `${latency.p50.toFixed(0)}/${latency.p99.toFixed(0)}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

/** The first two columns are words, the others figures. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}
