/**
 * The micro-benchmark's judgement: a guard that forgives too much, or compares a subject with nothing, would be
 * silent for ever.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type Baseline,
  baselineOf,
  bestOf,
  CHECK_TOLERANCE,
  complaints,
  type Figure,
  foreign,
  judge,
  TOLERANCE,
  table,
  typicalOf,
} from '../bench/micro-baseline.ts';
import { makeSubjects } from '../bench/micro-subjects.ts';

const figure = (name: string, ratio: number): Figure => ({ name, ratio, ns: ratio * 2 });
const baseline: Baseline = { cpu: 'a model', node: '24.0.0', ratios: { chain: 40, turn: 100 } };
const said = (...figures: Figure[]) => complaints(judge(figures, baseline, TOLERANCE), baseline);

describe('a figure', () => {
  test('at the tolerance is not slower, above it is', () => {
    expect(said(figure('chain', 40 * TOLERANCE), figure('turn', 100))).toEqual([]);
    expect(said(figure('chain', 40), figure('turn', 100 * TOLERANCE + 1))).toEqual([
      expect.stringMatching(/^turn: \d\.\d\d times the baseline$/),
    ]);
  });

  test('twice as slow is always noticed', () => {
    expect(Math.max(TOLERANCE, CHECK_TOLERANCE)).toBeLessThan(2);
    expect(said(figure('chain', 80), figure('turn', 200))).toHaveLength(2);
  });

  test('that is faster is no complaint', () => {
    expect(said(figure('chain', 1), figure('turn', 1))).toEqual([]);
  });

  test('is judged by its steps, whatever the nanoseconds of the machine', () => {
    const slowMachine = { name: 'chain', ratio: 40, ns: 10_000 };
    expect(said(slowMachine, figure('turn', 100))).toEqual([]);
  });
});

test('a baseline of another processor or Node is known as such', () => {
  expect(foreign(baseline, 'a model', '24.0.0')).toBe(null);
  expect(foreign(baseline, 'another', '26.0.0')).toBe(
    'the baseline is of a model, this is another, and of Node 24.0.0, this is 26.0.0',
  );
});

describe('a subject that only one side knows is a failure', () => {
  test('measured, but not in the baseline', () => {
    expect(said(figure('chain', 40), figure('turn', 100), figure('new', 1))).toEqual([
      'new: not in the baseline',
    ]);
  });

  test('in the baseline, but not measured', () => {
    expect(said(figure('chain', 40))).toEqual(['turn: in the baseline, but not measured']);
  });
});

test('of several tries each subject has its best one', () => {
  const tries = [
    [figure('chain', 50), figure('turn', 90)],
    [figure('chain', 40), figure('turn', 120)],
  ];
  expect(bestOf(tries)).toEqual([figure('chain', 40), figure('turn', 90)]);
});

test('a baseline is the middle of several runs, and judges itself as unchanged', () => {
  const runs = [[figure('chain', 50)], [figure('chain', 10)], [figure('chain', 41.234567)]];
  const made = baselineOf(typicalOf(runs), 'a model', '24.0.0');
  expect(made).toEqual({ cpu: 'a model', node: '24.0.0', ratios: { chain: 41.23 } });
  expect(complaints(judge(typicalOf(runs), made, 1.001), made)).toEqual([]);
});

test('the table says what is slower and by how much', () => {
  const lines = table(judge([figure('chain', 80), figure('turn', 90)], baseline, 1.5)).split('\n');
  expect(lines[1]).toMatch(/^chain +160\.0 +80\.0 +40\.0 +\+100 % {2}SLOWER$/);
  expect(lines[2]).toMatch(/^turn +180\.0 +90\.0 +100\.0 +-10 %$/);
});

describe('the subjects', () => {
  const subjects = makeSubjects();

  test('are those of the baseline in the repository', () => {
    const path = new URL('../bench/micro-baseline.json', import.meta.url);
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Baseline;
    expect(subjects.map(({ name }) => name).sort()).toEqual(Object.keys(kept.ratios).sort());
  });

  // A wave throws when requests were not decoded, completed and answered.
  test.each(subjects)('$name does its work, wave after wave', ({ wave, count }) => {
    expect(count).toBeGreaterThan(0);
    for (let i = 0; i < 2000 / count; i++) expect(wave()).toBeGreaterThan(0);
  });
});
