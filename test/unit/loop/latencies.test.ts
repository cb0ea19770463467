/**
 * Latency histograms against the values themselves, sorted: whatever values come, a percentile is the middle
 * of a bucket that holds the true one, within 1.6 %.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OP_READ, OP_WRITE } from '../../../src/blk/blk-request.ts';
import {
  bucketStartNs,
  LATENCIES_PER_VRING,
  LATENCY_BUCKETS,
  Latencies,
  recordLatency,
} from '../../../src/loop/latencies.ts';
import { TurnClock } from '../../../src/loop/turn-clock.ts';
import { holds } from '../../support/property.ts';

const ERROR_MAX = 1 / 64;

/** Counts requests of these lengths, all from the same start. */
function counted(valuesNs: readonly number[], op = OP_READ): Float64Array {
  let nowMs = 0;
  const clock = new TurnClock((ms) => {
    ms[0] = nowMs;
  });
  const latencies = new Float64Array(LATENCIES_PER_VRING);
  const startMs = new Float64Array(1);
  for (const ns of valuesNs) {
    nowMs = ns / 1e6;
    clock.expire();
    clock.look();
    recordLatency(latencies, op, startMs, 0, clock);
  }
  return latencies;
}

function of(latencies: Float64Array, op = OP_READ): Latencies {
  return new Latencies().add(latencies, op);
}

function truePercentile(valuesNs: readonly number[], share: number): number {
  const sorted = [...valuesNs].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!;
}

// From 256 ns to 18 minutes, every magnitude alike.
const latencyNs = fc.double({ min: 8.001, max: 39.999, noNaN: true }).map((power) => 2 ** power);
const shares = [0, 0.25, 0.5, 0.9, 0.99, 0.999, 1];

test('percentiles are those of the sorted values, within 1.6 %', () => {
  holds(fc.array(latencyNs, { minLength: 1, maxLength: 400 }), (valuesNs) => {
    const latencies = of(counted(valuesNs));
    expect(latencies.count).toBe(valuesNs.length);
    for (const share of shares) {
      const expected = truePercentile(valuesNs, share);
      const error = Math.abs(latencies.percentileNs(share) / expected - 1);
      expect(error, `${share} of ${expected} ns`).toBeLessThanOrEqual(ERROR_MAX);
    }
  });
});

test('the sum is the sum, and counts below a power of two are exact', () => {
  holds(fc.array(latencyNs, { maxLength: 200 }), (valuesNs) => {
    const latencies = of(counted(valuesNs));
    const sum = valuesNs.reduce((a, b) => a + b, 0);
    expect(Math.abs(latencies.sumNs - sum)).toBeLessThanOrEqual(1e-9 * sum);
    for (const power of [8, 10, 17, 25, 40]) {
      // The clock counts milliseconds: a value next to the border may come out on its other side.
      const near = (ns: number) => Math.abs(ns / 2 ** power - 1) < 1e-12;
      const below = valuesNs.filter((ns) => ns < 2 ** power && !near(ns)).length;
      const above = below + valuesNs.filter(near).length;
      expect(latencies.countBelow(power)).toBeGreaterThanOrEqual(below);
      expect(latencies.countBelow(power)).toBeLessThanOrEqual(above);
    }
  });
});

test('buckets follow one another, each 1/32 of its power of two wide', () => {
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    const start = bucketStartNs(bucket);
    const end = bucketStartNs(bucket + 1);
    expect(end - start).toBe(2 ** Math.floor(Math.log2(start)) / 32);
    const counts = of(counted([start + (end - start) / 2]));
    expect(counts.buckets[bucket]).toBe(1);
  }
});

describe('what is out of range counts at the ends', () => {
  test.each([
    ['0 ns', 0, 0],
    ['a clock that went back', -5, 0],
    ['an hour', 3.6e12, LATENCY_BUCKETS - 1],
    ['for ever', Number.POSITIVE_INFINITY, LATENCY_BUCKETS - 1],
  ])('%s', (_, ns, bucket) => {
    const latencies = of(counted([ns]));
    expect([latencies.count, latencies.buckets[bucket]]).toEqual([1, 1]);
  });

  test('none: every percentile is 0', () => {
    expect(new Latencies().percentileNs(0.99)).toBe(0);
  });
});

test('operations are counted apart, vrings add up, and an earlier look is taken off', () => {
  const first = counted([1000, 2000]);
  const second = counted([4_000_000], OP_READ);
  expect(of(first, OP_WRITE).count).toBe(0);
  const both = new Latencies().add(first, OP_READ).add(second, OP_READ);
  expect([both.count, both.percentileNs(1) > 3_900_000]).toEqual([3, true]);
  const later = both.since(of(first));
  expect([later.count, later.percentileNs(0) > 3_900_000]).toEqual([1, true]);
  expect(Math.abs(later.sumNs - 4_000_000)).toBeLessThan(1);
});
