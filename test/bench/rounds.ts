/**
 * The measuring itself: for each workload, rounds in which the client drives one back-end and then the other, on
 * the same image. Both back-ends run all the time, so each keeps its warm code and memory; what the idle one spends
 * meanwhile is recorded, because a back-end that spins would slow its rival down.
 */
import type { BackEndProcess } from '../support/back-end-process.ts';
import type { Client, Latency, Workload } from './client.ts';
import { othersShare, sampleLoad } from './machine-load.ts';
import { alternate } from './statistics.ts';

export type Round = {
  iops: number;
  cpuSecondsPerMillion: number;
  idleCpuSeconds: number;
  rssBytes: number;
  /** The share of the machine that other processes used meanwhile. */
  others: number;
  latencyUs?: Latency;
};

export type WorkloadResult = {
  workload: Workload;
  client: string;
  /** By the back-end's label. */
  rounds: Record<string, Round[]>;
};

export type RoundOptions = {
  rounds: number;
  seconds: number;
  progress: (text: string) => void;
};

export async function runWorkload(
  client: Client,
  backEnds: readonly BackEndProcess[],
  workload: Workload,
  { rounds, seconds, progress }: RoundOptions,
): Promise<WorkloadResult> {
  const result: WorkloadResult = {
    workload,
    client: client.name,
    rounds: Object.fromEntries(backEnds.map(({ label }) => [label, []])),
  };
  // Not counted: page cache, just-in-time compiler, and the client's own guess of a request count.
  for (const backEnd of backEnds) await client.measure(backEnd, workload, seconds / 2);
  for (let round = 0; round < rounds; round++) {
    for (const backEnd of alternate(backEnds, round)) {
      const others = backEnds.filter((other) => other !== backEnd);
      const measured = await runRound(client, backEnd, others, workload, seconds);
      result.rounds[backEnd.label]?.push(measured);
      const figure = `${(measured.iops / 1000).toFixed(1)} k IOPS`;
      progress(`${client.name}, ${workload.name}, round ${round + 1}: ${backEnd.label} ${figure}`);
    }
  }
  return result;
}

async function runRound(
  client: Client,
  backEnd: BackEndProcess,
  others: readonly BackEndProcess[],
  workload: Workload,
  seconds: number,
): Promise<Round> {
  const idleCpu = () => others.reduce((sum, other) => sum + other.cpuSeconds(), 0);
  const pids = [backEnd, ...others].map(({ pid }) => pid);
  const loadBefore = sampleLoad(pids);
  const cpuBefore = backEnd.cpuSeconds();
  const idleBefore = idleCpu();
  const measured = await client.measure(backEnd, workload, seconds);
  const cpuSeconds = backEnd.cpuSeconds() - cpuBefore;
  return {
    iops: measured.requests / measured.seconds,
    cpuSecondsPerMillion: (cpuSeconds / measured.requests) * 1e6,
    idleCpuSeconds: idleCpu() - idleBefore,
    rssBytes: backEnd.rssBytes(),
    others: othersShare(loadBefore, sampleLoad(pids)),
    ...(measured.latencyUs === undefined ? {} : { latencyUs: measured.latencyUs }),
  };
}
