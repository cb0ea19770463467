/**
 * The micro-benchmark's judgement: figures of a run against those that the repository keeps, in yardstick steps,
 * and what counts as slower. Pure; the command around it is micro.ts.
 */
import { median } from './statistics.ts';

export interface Figure {
  readonly name: string;
  /** For the reader: of this machine, at this moment. */
  readonly ns: number;
  /** The same in steps of the yardstick, timed in turns with it. */
  readonly ratio: number;
}

export interface Baseline {
  /** The processor's model: others differ in what they make of the same code, and of the yardstick. */
  readonly cpu: string;
  /** Node's version: another compiler makes other code. */
  readonly node: string;
  readonly ratios: Readonly<Record<string, number>>;
}

export interface Verdict extends Figure {
  readonly baseline: number | null;
  /** ratio / baseline: 1 is no change. */
  readonly change: number | null;
  readonly slower: boolean;
}

/**
 * How much longer than the baseline is slower, on a machine of the kind that measured the baseline: 13 runs, seven of
 * them beside two processes that never sleep on two processors, were all within 5 % of it (the completion, which
 * the short form leaves less time to be compiled well, within 13 %).
 */
export const TOLERANCE = 1.15;
/** The same for `make check`, which runs beside whatever else a machine does. */
export const CHECK_TOLERANCE = 1.5;
/** For a processor or a Node that is not the baseline's: only what is grossly slower is known to be so. */
export const FOREIGN_TOLERANCE = 3;

/** What a baseline differs in from this machine, in words, or null. */
export function foreign(baseline: Baseline, cpu: string, node: string): string | null {
  const differences = [
    baseline.cpu === cpu ? '' : `of ${baseline.cpu}, this is ${cpu}`,
    baseline.node === node ? '' : `of Node ${baseline.node}, this is ${node}`,
  ].filter((text) => text !== '');
  return differences.length === 0 ? null : `the baseline is ${differences.join(', and ')}`;
}

/** Of each subject its best try: what disturbs a run, other processes or a compiler in a bad mood, never makes it faster. */
export function bestOf(tries: readonly (readonly Figure[])[]): Figure[] {
  return perSubject(tries, (figures) => figures.reduce((a, b) => (b.ratio < a.ratio ? b : a)));
}

/** Of each subject the middle of several runs: a baseline that was luckier than most would fail most. */
export function typicalOf(runs: readonly (readonly Figure[])[]): Figure[] {
  return perSubject(runs, (figures) => ({
    name: figures[0]!.name,
    ns: median(figures.map(({ ns }) => ns)),
    ratio: median(figures.map(({ ratio }) => ratio)),
  }));
}

function perSubject(
  runs: readonly (readonly Figure[])[],
  choose: (figures: readonly Figure[]) => Figure,
): Figure[] {
  const [first = []] = runs;
  return first.map(({ name }) =>
    choose(runs.map((run) => run.find((figure) => figure.name === name)!)),
  );
}

export function judge(
  figures: readonly Figure[],
  { ratios }: Baseline,
  tolerance: number,
): Verdict[] {
  return figures.map((figure) => {
    const baseline = ratios[figure.name] ?? null;
    const change = baseline === null ? null : figure.ratio / baseline;
    return { ...figure, baseline, change, slower: change !== null && change > tolerance };
  });
}

/** Why a run fails, a sentence each. A subject that only one side knows guards nothing, so it is a failure too. */
export function complaints(verdicts: readonly Verdict[], { ratios }: Baseline): string[] {
  const measured = new Set(verdicts.map(({ name }) => name));
  return [
    ...verdicts
      .filter(({ slower }) => slower)
      .map(({ name, change }) => `${name}: ${change!.toFixed(2)} times the baseline`),
    ...verdicts
      .filter(({ baseline }) => baseline === null)
      .map(({ name }) => `${name}: not in the baseline`),
    ...Object.keys(ratios)
      .filter((name) => !measured.has(name))
      .map((name) => `${name}: in the baseline, but not measured`),
  ];
}

export function baselineOf(figures: readonly Figure[], cpu: string, node: string): Baseline {
  const ratios = figures.map(({ name, ratio }) => [name, Number(ratio.toPrecision(4))] as const);
  return { cpu, node, ratios: Object.fromEntries(ratios) };
}

/** The table: nanoseconds for the reader, yardstick steps for the comparison. */
export function table(verdicts: readonly Verdict[]): string {
  const header = ['', 'ns', 'steps', 'baseline', 'change'];
  const rows = verdicts.map(({ name, ns, ratio, baseline, change }) => [
    name,
    ns.toFixed(1),
    ratio.toFixed(1),
    baseline === null ? '–' : baseline.toFixed(1),
    change === null ? '–' : percent(change),
  ]);
  const width = Math.max(...verdicts.map(({ name }) => name.length));
  const lines = [header, ...rows].map(
    ([name, ...cells]) => name!.padEnd(width) + cells.map((cell) => cell.padStart(9)).join(''),
  );
  return lines.map((line, i) => (verdicts[i - 1]?.slower ? `${line}  SLOWER` : line)).join('\n');
}

function percent(change: number): string {
  const value = Math.round((change - 1) * 100);
  return `${value > 0 ? '+' : ''}${value} %`;
}
