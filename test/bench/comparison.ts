/**
 * From rounds to figures: medians with their ranges, and ratios round by round. Pure. Which round belongs to which
 * side is decided here and nowhere else.
 */
import type { Latency } from './client.ts';
import type { Row } from './matrix.ts';
import type { Round, RowResult } from './rounds.ts';
import { median, ratios, type Summary, summarize } from './statistics.ts';

export type Figures = {
  label: string;
  iops: Summary;
  cpuSecondsPerMillion: Summary;
  /** Medians over the rounds, of a client that times its requests. */
  latencyUs: Latency | undefined;
  clientBusy: number | undefined;
  rssBytes: number;
};

/** vloop's figure over the opponent's, in the same round. */
export type Ratios = {
  iops: Summary;
  /** Undefined where the clock ticked too seldom for the opponent. */
  cpu: Summary | undefined;
  p50: Summary | undefined;
  p999: Summary | undefined;
};

export type Comparison = {
  row: Row;
  ours: Figures;
  against: readonly (Figures & { ratio: Ratios })[];
  /** What each back-end spent in the rounds of another, at most. */
  idleCpuSeconds: Readonly<Record<string, number>>;
  /** The share of the machine that other processes used. */
  others: Summary;
};

export function compare({ row, rounds }: RowResult): Comparison {
  const [first, ...opponents] = Object.entries(rounds);
  if (first === undefined) throw new Error('a row without contenders');
  const [ourLabel, ours] = first;
  return {
    row,
    ours: figures(ourLabel, ours),
    against: opponents.map(([label, theirs]) => ({
      ...figures(label, theirs),
      ratio: ratiosOf(ours, theirs),
    })),
    idleCpuSeconds: idleMaxima(Object.values(rounds).flat()),
    others: summarize(Object.values(rounds).flatMap((all) => all.map(({ others }) => others))),
  };
}

function figures(label: string, rounds: readonly Round[]): Figures {
  const busy = rounds.flatMap(({ clientBusy }) => (clientBusy === undefined ? [] : [clientBusy]));
  return {
    label,
    iops: summarize(rounds.map(({ iops }) => iops)),
    cpuSecondsPerMillion: summarize(rounds.map((round) => round.cpuSecondsPerMillion)),
    latencyUs: latencyOf(rounds),
    clientBusy: busy.length === 0 ? undefined : median(busy),
    rssBytes: median(rounds.map(({ rssBytes }) => rssBytes)),
  };
}

function latencyOf(rounds: readonly Round[]): Latency | undefined {
  const known = rounds.flatMap(({ latencyUs }) => (latencyUs === undefined ? [] : [latencyUs]));
  if (known.length === 0) return undefined;
  const middle = (pick: (latency: Latency) => number) => median(known.map(pick));
  return {
    p50: middle(({ p50 }) => p50),
    p99: middle(({ p99 }) => p99),
    p999: middle(({ p999 }) => p999),
  };
}

function ratiosOf(ours: readonly Round[], theirs: readonly Round[]): Ratios {
  const of = (pick: (round: Round) => number | undefined): Summary | undefined => {
    const [our, their] = [ours, theirs].map((rounds) => rounds.map((round) => pick(round) ?? 0));
    return their!.every((value) => value > 0) ? summarize(ratios(our!, their!)) : undefined;
  };
  return {
    iops: summarize(
      ratios(
        ours.map(({ iops }) => iops),
        theirs.map(({ iops }) => iops),
      ),
    ),
    cpu: of((round) => round.cpuSecondsPerMillion),
    p50: of((round) => round.latencyUs?.p50),
    p999: of((round) => round.latencyUs?.p999),
  };
}

function idleMaxima(rounds: readonly Round[]): Record<string, number> {
  const worst: Record<string, number> = {};
  for (const { idleCpuSeconds } of rounds)
    for (const [label, seconds] of Object.entries(idleCpuSeconds))
      worst[label] = Math.max(worst[label] ?? 0, seconds);
  return worst;
}
