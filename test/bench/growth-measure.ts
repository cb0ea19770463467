/**
 * Measures the points of an axis: in each round every point once, so that what the machine does meanwhile hits all
 * alike, and medians over the rounds. Points with the same disks share a vloop process.
 */
import { join } from 'node:path';
import { mustRun } from '../support/bounded-process.ts';
import type { GrowthAxis, GrowthPoint } from './growth-axes.ts';
import { GrowthDisks } from './growth-disks.ts';
import type { LoadReport } from './load.ts';
import { othersShare, sampleLoad } from './machine-load.ts';
import { type Summary, summarize } from './statistics.ts';

const SCRIPT = join(import.meta.dirname, 'front-end-load.ts');
const GRACE_MS = 60_000;
const WARM_SECONDS = 0.3;
const CEILING_SECONDS = 0.1;

export type GrowthOptions = {
  rounds: number;
  seconds: number;
  /** Where images are made. */
  directory: string;
  /** Machine, versions and method, kept with what is measured under them. */
  conditions: readonly string[];
  progress: (text: string) => void;
};

type Sample = LoadReport & { startMs: number; idleRssBytes: number; others: number };

export type GrowthResult = {
  x: string;
  series: string;
  load: readonly string[];
  iops: Summary;
  /** The back-end's CPU time for a request. */
  cpuNs: Summary;
  p50Us: Summary;
  p99Us: Summary;
  /**
   * The most that the generator alone reached with this load (now and then the scheduler leaves it and the null device
   * on one processor), and what a request cost it beside vloop.
   */
  ceilingIops: number;
  clientCpuNs: Summary;
  /** Of the process, before a front-end came. */
  startMs: Summary;
  idleRssMib: Summary;
  /** Share of the machine that other processes used. */
  others: Summary;
};

export type AxisResult = {
  axis: GrowthAxis;
  conditions: readonly string[];
  results: GrowthResult[];
};

export async function measureAxis(axis: GrowthAxis, options: GrowthOptions): Promise<AxisResult> {
  const samples = new Map<GrowthPoint, Sample[]>(axis.points.map((point) => [point, []]));
  const groups = Map.groupBy(axis.points, ({ disks }) => JSON.stringify(disks));
  for (let round = 0; round < options.rounds; round++)
    for (const points of groups.values()) {
      const disks = await GrowthDisks.serve(points[0]!.disks, options.directory);
      try {
        for (const point of points) {
          const sample = await measurePoint(point, disks, options.seconds);
          samples.get(point)!.push(sample);
          const figure = `${(sample.iops / 1000).toFixed(0)} k/s, ${sample.backEndCpuNs?.toFixed(0)} ns`;
          options.progress(
            `${axis.name} ${point.x}, ${point.series}, round ${round + 1}: ${figure}`,
          );
        }
      } finally {
        await disks.end();
      }
    }
  const results = axis.points.map((point) => resultOf(point, samples.get(point)!));
  return { axis, conditions: options.conditions, results };
}

async function measurePoint(
  point: GrowthPoint,
  disks: GrowthDisks,
  seconds: number,
): Promise<Sample> {
  const { pid } = disks.vloop;
  const before = sampleLoad([pid]);
  const output = await mustRun(
    [
      process.execPath,
      SCRIPT,
      ...disks.sockets,
      ...point.load,
      '--wait=spin',
      `--seconds=${seconds}`,
      `--warm-seconds=${WARM_SECONDS}`,
      `--ceiling-seconds=${CEILING_SECONDS}`,
      `--pid=${pid}`,
    ],
    seconds * 1000 + GRACE_MS,
  );
  const others = othersShare(before, sampleLoad([pid]));
  const { startMs, idleRssBytes } = disks;
  return { ...(JSON.parse(output) as LoadReport), startMs, idleRssBytes, others };
}

function resultOf(point: GrowthPoint, samples: readonly Sample[]): GrowthResult {
  const of = (pick: (sample: Sample) => number) => summarize(samples.map(pick));
  return {
    x: point.x,
    series: point.series,
    load: point.load,
    iops: of(({ iops }) => iops),
    cpuNs: of(({ backEndCpuNs }) => backEndCpuNs ?? Number.NaN),
    p50Us: of(({ p50Us }) => p50Us),
    p99Us: of(({ p99Us }) => p99Us),
    ceilingIops: Math.max(...samples.map(({ ceiling }) => ceiling?.iops ?? Number.NaN)),
    clientCpuNs: of(({ clientCpuNs }) => clientCpuNs),
    startMs: of(({ startMs }) => startMs),
    idleRssMib: of(({ idleRssBytes }) => idleRssBytes / 2 ** 20),
    others: of(({ others }) => others),
  };
}
