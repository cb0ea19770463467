/**
 * How many requests a turn takes from one vring: a third of what its driver keeps outstanding. While
 * the driver wakes up and works on the answers, this side has the rest to work on; with a larger batch
 * the two wait for each other in turns, with a much smaller one system calls are not shared. Measured at
 * depths 8 to 128 on an idle machine: the same from an eighth to a third, half is up to a quarter slower.
 */

/** Bounds what a flooded vring can do before the next one has its turn. */
export const SERVE_BATCH_MAX = 64;
/**
 * The same in bytes of reads and writes, which may be copies: about 0.2 ms of them. Half of it costs
 * large sequential reads nothing either, a quarter a tenth of their speed.
 */
export const SERVE_BYTES_MAX = 2 ** 20;

const OUTSTANDING_PER_BATCH = 3;
/** Where waking is cheap (the CPUs are awake), a switch of threads for each one or two requests is not. */
const SERVE_BATCH_MIN = 3;

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
    const share = Math.ceil(this.#depth / OUTSTANDING_PER_BATCH);
    return Math.min(Math.max(share, SERVE_BATCH_MIN), SERVE_BATCH_MAX);
  }
}
