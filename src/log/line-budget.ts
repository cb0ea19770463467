/**
 * How many lines of each kind may be said: a token bucket for each kind, in bounded memory. Pure: the time is an
 * argument, so that worker threads and the main thread each keep one with a clock of their own.
 */

export interface BudgetLimits {
  /** Lines of a kind that may come at once. */
  readonly burst: number;
  /** After which one more may come. */
  readonly refillMs: number;
  /** Kinds that are told apart; what comes beyond shares a bucket. */
  readonly kinds: number;
}

interface Bucket {
  tokens: number;
  /** Up to when tokens have been given. */
  sinceMs: number;
  suppressed: number;
}

export class LineBudget<K extends string | number> {
  readonly #limits: BudgetLimits;
  readonly #buckets = new Map<K, Bucket>();
  readonly #others: K;

  /** `others`: the kind of what comes beyond the number of kinds. */
  constructor(limits: BudgetLimits, others: K) {
    this.#limits = limits;
    this.#others = others;
  }

  /** Whether a line of this kind may be said now; if not, it is counted, if it `counts`. */
  take(kind: K, nowMs: number, counts = true): boolean {
    const bucket = this.#bucketOf(kind, nowMs);
    const { burst, refillMs } = this.#limits;
    const refilled = Math.floor((nowMs - bucket.sinceMs) / refillMs);
    if (refilled > 0) {
      bucket.tokens = Math.min(burst, bucket.tokens + refilled);
      bucket.sinceMs += refilled * refillMs;
    }
    // A bucket that is full has nothing to wait for: its next token is due that long after it was touched.
    if (bucket.tokens === burst) bucket.sinceMs = nowMs;
    if (bucket.tokens > 0) {
      bucket.tokens--;
      return true;
    }
    if (counts) bucket.suppressed++;
    return false;
  }

  /** What was not said since the last time, by kind. */
  takeSuppressed(): Map<K, number> {
    const counts = new Map<K, number>();
    for (const [kind, bucket] of this.#buckets) {
      if (bucket.suppressed > 0) counts.set(kind, bucket.suppressed);
      bucket.suppressed = 0;
    }
    return counts;
  }

  #bucketOf(kind: K, nowMs: number): Bucket {
    const known = this.#buckets.get(kind);
    if (known !== undefined) return known;
    // One place is the others'.
    const isOneTooMany = this.#buckets.size >= this.#limits.kinds - 1;
    const key = isOneTooMany ? this.#others : kind;
    const shared = this.#buckets.get(key);
    if (shared !== undefined) return shared;
    const made = { tokens: this.#limits.burst, sinceMs: nowMs, suppressed: 0 };
    this.#buckets.set(key, made);
    return made;
  }
}
