/**
 * The benchmark's arithmetic: a wrong median or a ratio of the wrong rounds would be believed by everyone who reads
 * the table.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alternate, median, ratios, requestsFor, summarize } from '../bench/statistics.ts';

const numbers = fc.array(fc.double({ min: 1e-3, max: 1e9, noNaN: true }), { minLength: 1 });

describe('median', () => {
  test('of an odd and of an even number of values, in any order', () => {
    expect(median([30, 10, 20])).toBe(20);
    expect(median([40, 10, 30, 20])).toBe(25);
    expect(median([7])).toBe(7);
  });

  test('sorts by value and not by name', () => {
    expect(median([9, 10, 100])).toBe(10);
  });

  test('refuses to invent a figure from nothing', () => {
    expect(() => median([])).toThrow('no values');
  });

  test('leaves at least half of the values on either side, and its argument alone', () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const before = [...values];
        const middle = median(values);
        expect(values).toEqual(before);
        const half = values.length / 2;
        expect(values.filter((value) => value <= middle).length).toBeGreaterThanOrEqual(half);
        expect(values.filter((value) => value >= middle).length).toBeGreaterThanOrEqual(half);
      }),
    );
  });
});

test('a summary keeps the extremes beside the median', () => {
  expect(summarize([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, count: 3 });
});

describe('ratios', () => {
  test('compare each round with its own peer', () => {
    expect(ratios([100, 50], [50, 100])).toEqual([2, 0.5]);
  });

  test('differ from the ratio of medians when the machine changed between the rounds', () => {
    const ours = [200, 400, 20];
    const theirs = [100, 200, 10];
    expect(median(ratios(ours, theirs))).toBe(2);
  });

  test('refuse rounds without a partner and a peer that did nothing', () => {
    expect(() => ratios([1, 2], [1])).toThrow('2 rounds against 1');
    expect(() => ratios([1], [0])).toThrow('round 0 of the peer measured 0');
  });
});

test('each of two goes first in every second round', () => {
  expect(alternate(['a', 'b'], 0)).toEqual(['a', 'b']);
  expect(alternate(['a', 'b'], 1)).toEqual(['b', 'a']);
  expect(alternate(['a', 'b'], 2)).toEqual(['a', 'b']);
});

describe('requestsFor', () => {
  test('scales a trial run to the wanted time', () => {
    expect(requestsFor(2, { requests: 1000, seconds: 0.1 }, 1e9)).toBe(20_000);
  });

  test('stays within its bounds, even when the trial took no measurable time', () => {
    expect(requestsFor(2, { requests: 1000, seconds: 0 }, 500_000)).toBe(500_000);
    expect(requestsFor(1, { requests: 10, seconds: 100 }, 1e9)).toBe(100);
  });
});
