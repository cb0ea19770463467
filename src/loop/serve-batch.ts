/**
 * How many requests a turn takes from one vring: half of what its driver keeps outstanding. While the
 * driver works on the answers to one half, this side works on the other. A smaller batch wakes a
 * sleeping driver more often, which costs more than most requests; a larger one lets both sides wait
 * for each other in turns. Measured at depths 4 to 128: half was the best or next to it at each.
 */

/** Bounds what a flooded vring can do before the next one has its turn. */
export const SERVE_BATCH_MAX = 64;
/**
 * The same in bytes of reads and writes, which may be copies: about 0.2 ms of them. Half of it costs
 * large sequential reads nothing either, a quarter a tenth of their speed.
 */
export const SERVE_BYTES_MAX = 2 ** 20;

export class ServeBatch {
  /** The most that was outstanding lately: drivers that wait for answers show less between their waves. */
  #depth = 1;

  /**
   * The limit of a turn that begins with `outstanding` requests: in flight, available, or answered so
   * lately that the driver is at work on them.
   */
  limit(outstanding: number): number {
    if (outstanding > this.#depth) this.#depth = outstanding;
    else if (this.#depth > 1) this.#depth--;
    return Math.min((this.#depth + 1) >> 1, SERVE_BATCH_MAX);
  }
}
