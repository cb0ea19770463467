/**
 * When a disk process that crashed is started again: at once, then after waits that double, and no more after
 * several in a row that served for no time. Pure.
 */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
/** A process that served this long was all right: the next crash counts as the first. */
const WELL_AFTER_MS = 60_000;
/** About a minute of trying. */
const CRASHES_MAX = 12;

export class RestartDelays {
  #crashes = 0;

  /** How long to wait after a crash of a process that ran for `livedMs`; null: it is given up. */
  next(livedMs: number): number | null {
    if (livedMs >= WELL_AFTER_MS) this.#crashes = 0;
    const crash = this.#crashes++;
    if (crash === 0) return 0;
    if (crash >= CRASHES_MAX) return null;
    return Math.min(FIRST_WAIT_MS * 2 ** (crash - 1), LONGEST_WAIT_MS);
  }
}
