/**
 * The time of a turn: one look at the clock for all requests that start together, and one for all that
 * end together. A look costs as much as a quarter of a request, so nobody looks for a single one of many.
 * Milliseconds of CLOCK_MONOTONIC, which all threads and processes of a machine share.
 */

/**
 * Writes the monotonic time in milliseconds, with a fraction, into the first place. An answer would be boxed
 * wherever V8 does not inline the call, 16 bytes of garbage for each.
 */
export type ReadClock = (ms: Float64Array) => void;

export class TurnClock {
  /** The last look. */
  readonly ms = new Float64Array(1);
  readonly #read: ReadClock;
  #stale = true;

  constructor(read: ReadClock) {
    this.#read = read;
  }

  /** Time has passed that counts: the next one who asks looks again. */
  expire(): void {
    this.#stale = true;
  }

  /** Makes `ms` the time of now, as exactly as the turn needs it. */
  look(): void {
    if (!this.#stale) return;
    this.#read(this.ms);
    this.#stale = false;
  }
}
