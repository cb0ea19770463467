/**
 * From rounds to figures: which figure belongs to which side, and which rounds are compared. A mistake here would be
 * believed by everyone who reads the table.
 */
import { describe, expect, test } from 'vitest';
import { compare } from '../bench/comparison.ts';
import { othersShare } from '../bench/machine-load.ts';
import { idleLine } from '../bench/report.ts';
import { result, round } from '../support/bench-rounds.ts';

const D1 = 'large pieces: 4k randread, depth 1';
const D32 = 'large pieces: 4k randread, depth 32';

const timed = (p50: number) => round(1, { latencyUs: { p50, p99: 2 * p50, p999: 3 * p50 } });

describe('compare', () => {
  test('divides each round by the same round of each opponent', () => {
    const { ours, against } = compare(
      result(D32, {
        vloop: [round(30), round(100)],
        io_uring: [round(10), round(25)],
        host: [round(60), round(50)],
      }),
    );
    expect(ours.label).toBe('vloop');
    expect(against.map(({ label, ratio }) => [label, ratio.iops])).toEqual([
      ['io_uring', { median: 3.5, min: 3, max: 4, count: 2 }],
      ['host', { median: 1.25, min: 0.5, max: 2, count: 2 }],
    ]);
  });

  test('takes medians of each percentile, and their ratios round by round', () => {
    const { ours, against } = compare(
      result(D1, {
        vloop: [timed(10), timed(30), timed(20)],
        io_uring: [timed(100), timed(60), timed(50)],
      }),
    );
    expect(ours.latencyUs).toEqual({ p50: 20, p99: 40, p999: 60 });
    expect(against[0]?.ratio.p50).toEqual({ median: 0.4, min: 0.1, max: 0.5, count: 3 });
    expect(against[0]?.ratio.p999?.median).toBeCloseTo(0.4);
  });

  test('has no ratio where one side was not timed or the clock ticked too seldom', () => {
    const none = round(1, { cpuSecondsPerMillion: 0 });
    const { against } = compare(result(D1, { vloop: [timed(10)], io_uring: [none] }));
    expect(against[0]?.ratio).toMatchObject({ cpu: undefined, p50: undefined, p999: undefined });
  });

  test("charges a back-end's idle time to it, though it is measured in another's rounds", () => {
    const during = (label: string, seconds: number) =>
      round(1, { idleCpuSeconds: { [label]: seconds } });
    const comparison = compare(
      result(D1, {
        vloop: [during('io_uring', 0.25), during('io_uring', 0.5)],
        io_uring: [during('vloop', 0), during('vloop', 0.01)],
      }),
    );
    expect(comparison.idleCpuSeconds).toEqual({ io_uring: 0.5, vloop: 0.01 });
    expect(idleLine([comparison])).toContain('io_uring 0.50, vloop 0.01');
  });

  test('needs no opponent', () => {
    const name = 'memory: 4k randread, depth 1, polling client';
    expect(compare(result(name, { vloop: [round(7)] })).against).toEqual([]);
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
