/**
 * From rounds to the benchmark's verdict: which figure belongs to which side, and when a target counts as met.
 */
import { describe, expect, test } from 'vitest';
import { workloads } from '../bench/client.ts';
import { othersShare } from '../bench/machine-load.ts';
import { checkTargets, compare, idleLine, table } from '../bench/report.ts';
import type { Round, WorkloadResult } from '../bench/rounds.ts';

const MIB = 2 ** 20;

function round(iops: number, further: Partial<Round> = {}): Round {
  return {
    iops,
    cpuSecondsPerMillion: 2,
    idleCpuSeconds: 0,
    rssBytes: 60 * MIB,
    others: 0,
    ...further,
  };
}

function result(name: string, vloop: Round[], peer: Round[], client = 'blkio'): WorkloadResult {
  const workload = workloads.find((known) => known.name === name);
  if (workload === undefined) throw new Error(`no workload ${name}`);
  return { workload, client, rounds: { vloop, peer } };
}

describe('compare', () => {
  test('divides each round by the same round of the peer', () => {
    const rounds = result('4k read, depth 32', [round(30), round(100)], [round(10), round(25)]);
    const { iops } = compare(rounds, 'vloop', 'peer');
    expect(iops.ratio).toEqual({ median: 3.5, min: 3, max: 4, count: 2 });
  });

  test("charges a back-end's idle time to it, though it is measured in the other's rounds", () => {
    const during = (idleCpuSeconds: number) => [round(1, { idleCpuSeconds })];
    const comparison = compare(
      result('4k read, depth 1', during(0.25), during(0)),
      'vloop',
      'peer',
    );
    expect(comparison.idleCpuSeconds.theirs.max).toBe(0.25);
    expect(idleLine([comparison])).toContain('0.00, peer 0.25');
  });

  test('has no CPU ratio when the clock ticked too seldom for the peer', () => {
    const none = result('4k read, depth 1', [round(1)], [round(1, { cpuSecondsPerMillion: 0 })]);
    const comparison = compare(none, 'vloop', 'peer');
    expect(comparison.cpuSecondsPerMillion.ratio).toBeUndefined();
    expect(table([comparison], 'vloop', 'peer')).toContain(' - ');
  });
});

describe('checkTargets', () => {
  const verdicts = (results: WorkloadResult[]) =>
    checkTargets(results.map((one) => compare(one, 'vloop', 'peer'))).map(({ met }) => met);

  test('judges every client for itself', () => {
    const fast = result('4k read, depth 32', [round(20)], [round(10)]);
    const slow = result('4k read, depth 32', [round(19)], [round(10)], 'qemu-img');
    expect(verdicts([fast, slow])).toEqual([true, false, true]);
  });

  test('asks for no more than the same at depth 1, and for nothing of other workloads', () => {
    const same = result('4k read, depth 1', [round(10)], [round(10)]);
    const other = result('4k read, depth 4', [round(1)], [round(10)]);
    expect(verdicts([same, other])).toEqual([true, true]);
  });

  test('limits the memory of vloop, not of the peer', () => {
    const large = { rssBytes: 151 * MIB };
    expect(verdicts([result('4k read, depth 4', [round(1)], [round(1, large)])])).toEqual([true]);
    expect(verdicts([result('4k read, depth 4', [round(1, large)], [round(1)])])).toEqual([false]);
  });
});

describe('othersShare', () => {
  const start = { busySeconds: 10, allSeconds: 100, ownSeconds: 5 };

  test('is what is busy and not of the benchmark', () => {
    const end = { busySeconds: 13, allSeconds: 104, ownSeconds: 7 };
    expect(othersShare(start, end)).toBeCloseTo(0.25);
  });

  test('stays a share when the kernel counts the ticks of both differently', () => {
    expect(othersShare(start, { busySeconds: 11, allSeconds: 104, ownSeconds: 7 })).toBe(0);
    expect(othersShare(start, start)).toBe(0);
  });
});
