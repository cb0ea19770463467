/**
 * The measuring itself: for each row, rounds in which the client drives one contender after the other, on the same
 * file. All back-ends run all the time, so each keeps its warm code and memory; what the idle ones spend meanwhile
 * is recorded, because a back-end that spins would slow its rival down.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LOOK_EVERY_MS } from '../../src/worker/wake-latency.ts';
import type { BackEndProcess } from '../support/back-end-process.ts';
import type { Client, Latency } from './client.ts';
import type { Contender } from './contender.ts';
import { othersShare, sampleLoad } from './machine-load.ts';
import { AWAKE, type Row, rowName } from './matrix.ts';
import { alternate } from './statistics.ts';

export type Round = {
  iops: number;
  cpuSecondsPerMillion: number;
  /** Of the other back-ends, while this one was measured. */
  idleCpuSeconds: Record<string, number>;
  /** Without the guest's memory; 0 where there is no back-end. */
  rssBytes: number;
  /** The share of the machine that other processes used meanwhile. */
  others: number;
  latencyUs?: Latency;
  clientBusy?: number;
};

export type RowResult = {
  row: Row;
  /** By the contender's label; vloop is the first. */
  rounds: Record<string, Round[]>;
};

export type RoundOptions = {
  rounds: number;
  seconds: number;
  /** The process that keeps a processor busy on purpose is no stranger's. */
  hogPid: number | undefined;
  progress: (text: string) => void;
};

const WARM_UP_SECONDS = 0.5;
/** A p99.9 needs more requests than a slow fixed rate gives in a short round. */
const FIXED_RATE_FACTOR = 3;

export async function runRow(
  row: Row,
  client: Client,
  contenders: readonly Contender[],
  options: RoundOptions,
): Promise<RowResult> {
  const rounds: RowResult['rounds'] = Object.fromEntries(
    contenders.map(({ label }) => [label, []]),
  );
  // Not counted: page cache, just-in-time compiler, and the client's own guess of a request count.
  for (const contender of contenders)
    await contender.measure(client, row.workload, Math.min(WARM_UP_SECONDS, options.seconds));
  for (let round = 0; round < options.rounds; round++) {
    const figures: string[] = [];
    for (const contender of alternate(contenders, round)) {
      const idle = contenders.flatMap(({ label, backEnd }) =>
        backEnd === undefined || label === contender.label ? [] : [backEnd],
      );
      // What vloop asked of the processors is in force until it has been idle for two looks.
      if (row.vloop.includes(AWAKE)) await sleep(4 * LOOK_EVERY_MS);
      const measured = await runRound(row, client, contender, idle, options);
      rounds[contender.label]?.push(measured);
      figures.push(`${contender.label} ${(measured.iops / 1000).toFixed(1)}`);
    }
    options.progress(`${rowName(row)}, round ${round + 1}: ${figures.join(', ')} k IOPS`);
  }
  return { row, rounds };
}

async function runRound(
  { workload }: Row,
  client: Client,
  contender: Contender,
  idle: readonly BackEndProcess[],
  { seconds, hogPid }: RoundOptions,
): Promise<Round> {
  const { backEnd } = contender;
  const backEndPids = [...idle, ...(backEnd === undefined ? [] : [backEnd])].map(({ pid }) => pid);
  const pids = hogPid === undefined ? backEndPids : [...backEndPids, hogPid];
  const idleBefore = idle.map((other) => other.cpuSeconds());
  const loadBefore = sampleLoad(pids);
  const cpuBefore = backEnd?.cpuSeconds() ?? 0;
  const length = workload.ratePerSecond === null ? seconds : seconds * FIXED_RATE_FACTOR;
  const measured = await contender.measure(client, workload, length);
  const cpuSeconds = measured.cpuSeconds ?? (backEnd?.cpuSeconds() ?? 0) - cpuBefore;
  const idleSpent = idle.map((other, i) => [other.label, other.cpuSeconds() - idleBefore[i]!]);
  return {
    iops: measured.requests / measured.seconds,
    cpuSecondsPerMillion: (cpuSeconds / measured.requests) * 1e6,
    idleCpuSeconds: Object.fromEntries(idleSpent) as Record<string, number>,
    rssBytes: backEnd?.ownRssBytes() ?? 0,
    others: othersShare(loadBefore, sampleLoad(pids)),
    ...(measured.latencyUs === undefined ? {} : { latencyUs: measured.latencyUs }),
    ...(measured.clientBusy === undefined ? {} : { clientBusy: measured.clientBusy }),
  };
}
