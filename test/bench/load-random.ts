/**
 * Random numbers of the load generator: xorshift32, seeded, so that a run can be repeated, and without an
 * allocation a number. Good enough to defeat a prefetcher, not a statistician.
 */

export class LoadRandom {
  /** In a typed array: a 32-bit number in a field would be boxed. */
  readonly #state = new Uint32Array(1);

  constructor(seed: number) {
    this.#state[0] = Math.imul(seed, 0x9e3779b1) | 1;
  }

  /** A whole number in [0, limit), for limits up to 2^32. */
  below(limit: number): number {
    let state = this.#state[0]!;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state[0] = state;
    return Math.floor(((state >>> 0) / 2 ** 32) * limit);
  }
}
