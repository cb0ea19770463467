/**
 * Latencies counted in buckets that grow with the value: 64 to each power of two, so that a percentile is exact to
 * 1.6 % from a nanosecond to seconds. Recording allocates nothing.
 */

const SUB_BITS = 6;
const SUB = 2 ** SUB_BITS;
/** Up to 2^36 ns, 68 s; what is longer counts as that. */
const POWERS = 36 - SUB_BITS;

export class LatencyHistogram {
  readonly #counts = new Float64Array((POWERS + 1) * SUB);
  #total = 0;

  get total(): number {
    return this.#total;
  }

  record(ns: number): void {
    const value = ns < 0 ? 0 : ns;
    const bucket = bucketOf(value);
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    this.#total++;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }

  /** The value that the given share of all does not exceed; NaN when nothing was recorded. */
  percentile(share: number): number {
    if (this.#total === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= rank) return middleOf(bucket);
    }
    return middleOf(this.#counts.length - 1);
  }
}

function bucketOf(ns: number): number {
  if (ns < SUB) return Math.floor(ns);
  const whole = Math.min(ns, 2 ** 36 - 1);
  const power = 31 - Math.clz32(whole / SUB);
  return power * SUB + Math.floor(whole / 2 ** power);
}

function middleOf(bucket: number): number {
  if (bucket < 2 * SUB) return bucket;
  const power = Math.floor(bucket / SUB) - 1;
  return (SUB + (bucket % SUB) + 0.5) * 2 ** power;
}
