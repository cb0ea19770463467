/**
 * When a target of the data path counts as met: the limit itself is enough, each figure is held against the right
 * opponent, and a row that was not measured is not judged.
 */
import { describe, expect, test } from 'vitest';
import { compare } from '../bench/comparison.ts';
import { AWAKE, quickRows, rowName } from '../bench/matrix.ts';
import type { Round, RowResult } from '../bench/rounds.ts';
import { checkTargets, type Target } from '../bench/targets.ts';
import { MIB, otherwise, result, round } from '../support/bench-rounds.ts';

const D1 = 'large pieces: 4k randread, depth 1';
const D32 = 'large pieces: 4k randread, depth 32';
const DIRECT = 'direct: 4k randread, depth 32';
const IN_MEMORY = 'memory: 4k randread, depth 32, polling client';

function targets(results: readonly RowResult[], busy = false): Target[] {
  return checkTargets(results.map(compare), busy);
}

/** The verdicts by figure, but for the process's memory. */
function verdicts(results: readonly RowResult[], busy = false): Record<string, boolean> {
  const judged = targets(results, busy).filter(({ figure }) => !figure.startsWith('memory'));
  return Object.fromEntries(judged.map(({ figure, met }) => [figure, met]));
}

const sides = (ours: Round, io_uring: Round, further: Record<string, Round[]> = {}) => ({
  vloop: [ours],
  io_uring: [io_uring],
  ...further,
});

describe('checkTargets', () => {
  test('takes the limit itself for speed, and nothing below it', () => {
    expect(verdicts([result(D1, sides(round(35), round(10)))])).toEqual({
      'IOPS over io_uring': true,
    });
    expect(verdicts([result(D1, sides(round(34.9), round(10)))])).toEqual({
      'IOPS over io_uring': false,
    });
  });

  test('takes the limit itself for CPU, and nothing above it', () => {
    const cpu = (ours: number) =>
      verdicts([
        result(
          D32,
          sides(round(40, { cpuSecondsPerMillion: ours }), round(10, { cpuSecondsPerMillion: 10 })),
        ),
      ]);
    expect(cpu(4)).toEqual({ 'IOPS over io_uring': true, 'CPU per request over io_uring': true });
    expect(cpu(4.1)).toMatchObject({ 'CPU per request over io_uring': false });
  });

  test('holds each figure against the opponent it is promised for', () => {
    const rounds = sides(round(99), round(100), { host: [round(100)], threads: [round(1)] });
    expect(verdicts([result(DIRECT, rounds)])).toEqual({
      'IOPS over io_uring': false,
      'IOPS over host': true,
      'CPU per request over io_uring': false,
    });
  });

  test('judges latency where it is known', () => {
    const us = (p50: number) => ({ latencyUs: { p50, p99: p50, p999: p50 } });
    const rounds = sides(round(40, us(31)), round(10, us(100)));
    expect(verdicts([result(D1, rounds)])).toMatchObject({ 'p50 over io_uring': false });
  });

  test('asks for figures without an opponent too', () => {
    expect(verdicts([result(IN_MEMORY, { vloop: [round(1e6)] })])).toEqual({ IOPS: true });
    expect(verdicts([result(IN_MEMORY, { vloop: [round(999_999)] })])).toEqual({ IOPS: false });
  });

  test('promises other things of a busy machine', () => {
    const rounds = sides(round(39), round(10));
    expect(verdicts([result(D32, rounds)])).toMatchObject({ 'IOPS over io_uring': true });
    expect(verdicts([result(D32, rounds)], true)).toMatchObject({ 'IOPS over io_uring': false });
    expect(verdicts([result(D1, rounds)], true)).toEqual({});
  });

  test('judges our own client, on the file it was promised for', () => {
    const slow = result(D1, sides(round(1), round(10)));
    expect(verdicts([otherwise(slow, { client: 'qemu-img' })])).toEqual({});
    expect(verdicts([otherwise(slow, { file: 'small pieces' })])).toEqual({});
  });

  test('limits the memory of vloop, not of an opponent, nor what a memory disk holds', () => {
    const large = { rssBytes: 91 * MIB };
    const met = (results: RowResult[]) =>
      targets(results).find(({ figure }) => figure.startsWith('memory'))?.met;
    expect(met([result(D1, sides(round(1), round(1, large)))])).toBe(true);
    expect(met([result(D1, sides(round(1, large), round(1)))])).toBe(false);
    expect(met([result(IN_MEMORY, { vloop: [round(1, large)] })])).toBeUndefined();
  });

  test('has a rule for every row of the quick suite but those of another client or option', () => {
    const us = { latencyUs: { p50: 1, p99: 1, p999: 1 } };
    const judged = quickRows().map((row) => {
      const against = row.against.map((label) => [label, [round(1, us)]]);
      const rounds = {
        vloop: [round(1, us)],
        ...Object.fromEntries(against),
      } as RowResult['rounds'];
      const count = Object.keys(verdicts([{ row, rounds }])).length;
      const isUsual = row.client === 'blkio' && !row.vloop.includes(AWAKE);
      return [rowName(row), isUsual ? count > 0 : count === 0];
    });
    expect(judged.filter(([, right]) => !right)).toEqual([]);
  });
});
