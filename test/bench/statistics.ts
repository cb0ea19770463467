/**
 * Arithmetic over a benchmark's rounds. Two back-ends are compared round by round, because what the machine does
 * meanwhile changes both figures of one round alike; the median of the ratios is the answer, their range its doubt.
 */

export type Summary = { median: number; min: number; max: number; count: number };

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('the median of no values');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    count: values.length,
  };
}

/** Round i of `ours` over round i of `theirs`. */
export function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  if (ours.length !== theirs.length)
    throw new Error(`${ours.length} rounds against ${theirs.length}`);
  return ours.map((value, round) => {
    const other = theirs[round]!;
    if (!(other > 0)) throw new Error(`round ${round} of the peer measured ${other}`);
    return value / other;
  });
}

/**
 * Who goes first in each round: a-b, b-a, a-b … so that neither gains from what the other left behind (a warm
 * cache, a raised clock).
 */
export function alternate<T>(items: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? items : items.toReversed();
}

/** How many requests fill `seconds` at the speed that a trial run had, in whole hundreds. */
export function requestsFor(
  seconds: number,
  trial: { requests: number; seconds: number },
  limit: number,
): number {
  const rate = trial.requests / Math.max(trial.seconds, 0.001);
  return Math.min(limit, Math.max(100, Math.round((rate * seconds) / 100) * 100));
}
