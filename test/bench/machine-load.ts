/**
 * How much of the machine goes to processes that are no part of the benchmark. On a busy machine idle processors
 * never sleep and wake-ups are cheap, on a quiet one they rule: figures of the two are different facts.
 */
import { cpus } from 'node:os';
import { processCpuSeconds } from '../support/back-end-process.ts';

/** A point in time; two of them make a share. */
export type LoadSample = { busySeconds: number; allSeconds: number; ownSeconds: number };

export function sampleLoad(backEndPids: readonly number[]): LoadSample {
  const times = cpus().map((processor) => processor.times);
  const busyMs = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0);
  const idleMs = times.reduce((sum, { idle }) => sum + idle, 0);
  const backEnds = backEndPids.reduce((sum, pid) => sum + processCpuSeconds(pid), 0);
  return {
    busySeconds: busyMs / 1000,
    allSeconds: (busyMs + idleMs) / 1000,
    // Every client is a child of this process.
    ownSeconds: backEnds + processCpuSeconds('self', { withChildren: true }),
  };
}

/** The share of all processors, 0 to 1, that others used between two samples. */
export function othersShare(before: LoadSample, after: LoadSample): number {
  const all = after.allSeconds - before.allSeconds;
  if (all <= 0) return 0;
  const busy = after.busySeconds - before.busySeconds;
  const own = after.ownSeconds - before.ownSeconds;
  return Math.min(1, Math.max(0, (busy - own) / all));
}
