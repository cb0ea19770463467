/**
 * How long a worker looks at its rings before it sleeps. A wake-up costs more than most requests, and a
 * driver that has just been answered usually has more; but an idle disk must not burn a core. QEMU's
 * rule (util/aio-posix.c, adjust_polling_time): grow while sleeps turn out short, drop when long.
 */

/** A sleep shorter than this would have been worth polling through. */
export const POLL_US_MAX = 32;
const POLL_US_FIRST = 4;

export class PollWindow {
  /** Microseconds to poll before the next sleep. */
  us: number;
  readonly #fixed: boolean;

  /** `fixedUs` of -1: adaptive; else that window always, 0 for never. */
  constructor(fixedUs: number) {
    this.#fixed = fixedUs >= 0;
    this.us = this.#fixed ? fixedUs : 0;
  }

  /** Learns from one idle spell: how long it was until there was work, polled and slept. */
  learn(idleUs: number): void {
    if (this.#fixed || idleUs <= this.us) return;
    if (idleUs > POLL_US_MAX) this.us = 0;
    else this.us = Math.min(POLL_US_MAX, Math.max(POLL_US_FIRST, this.us * 2));
  }
}
