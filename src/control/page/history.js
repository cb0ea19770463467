/**
 * The last three minutes of one disk, a moment a second: what all charts show. A time without connection
 * is a hole, and so is a new process whose counters began anew.
 */
/** @import { Look, Moment, Operation, Rates } from './figures.js' */
import { between, latencyOf, noRates, percentiles } from './figures.js';

export const WINDOW_SECONDS = 180;
/** A hole in a line is told from a late answer by this. */
const HOLE_MS = 3500;

export class History {
  /** @type {Look | null} */
  #last = null;
  /** @type {(Moment | { atMs: number, total: null, queues: null })[]} */
  #moments = [];

  clear() {
    this.#last = null;
    this.#moments = [];
  }

  /** @param {Look} look */
  add(look) {
    const last = this.#last;
    this.#last = look;
    if (last === null) return;
    const moment = look.atMs - last.atMs > HOLE_MS ? null : between(last, look);
    this.#moments.push(moment ?? { atMs: look.atMs, total: null, queues: null });
    const oldestMs = look.atMs - (WINDOW_SECONDS + 2) * 1000;
    while ((this.#moments[0]?.atMs ?? Infinity) < oldestMs) this.#moments.shift();
  }

  /** The queues that the last moment knows. */
  queues() {
    return [...(this.#moments.at(-1)?.queues?.keys() ?? [])];
  }

  /**
   * Rates of a queue, or of all together, and the seconds before now at which they were.
   * @param {number | null} queue
   * @returns {{ seconds: number[], rates: (Rates | null)[] }}
   */
  of(queue) {
    const nowMs = this.#moments.at(-1)?.atMs ?? 0;
    return {
      seconds: this.#moments.map(({ atMs }) => (atMs - nowMs) / 1000),
      rates: this.#moments.map(({ total, queues }) => {
        if (total === null) return null;
        return queue === null ? total : (queues.get(queue) ?? noRates());
      }),
    };
  }
}

/**
 * Lines out of rates: one for each function, with holes where there are some.
 * @param {readonly (Rates | null)[]} rates
 * @param {readonly ((rates: Rates) => number | null)[]} values
 * @returns {(number | null)[][]}
 */
export function linesOf(rates, values) {
  return values.map((value) => rates.map((each) => (each === null ? null : value(each))));
}

/**
 * A line for each share: the latencies that it did not exceed.
 * @param {readonly (Rates | null)[]} rates
 * @param {readonly Operation[]} operations
 * @param {readonly number[]} shares
 * @returns {(number | null)[][]}
 */
export function percentileLines(rates, operations, shares) {
  const columns = rates.map((each) =>
    each === null ? shares.map(() => null) : percentiles(latencyOf(each, operations), shares),
  );
  return shares.map((_, i) => columns.map((column) => column[i] ?? null));
}
