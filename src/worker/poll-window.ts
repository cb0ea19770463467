/**
 * How long a worker looks at its rings before it sleeps. A wake-up costs more than most requests, so a
 * short poll pays when the driver runs on another core and has more to ask. It is pure loss when the
 * disk is idle, and worse than that when driver and worker share a core: then the driver cannot ask
 * before the worker sleeps. So only hits keep a window open; while it is shut, one idle spell in
 * PROBE_EVERY tries again.
 */

/** The longest poll: about what two wake-ups across cores cost. */
export const POLL_US_MAX = 32;
/** Misses in a row that shut the window: one may be the end of a burst. */
const MISSES_TO_SHUT = 2;
/** A probe that misses costs POLL_US_MAX; spread over this many spells that is a microsecond. */
const PROBE_EVERY = 32;

export class PollWindow {
  readonly #fixedUs: number;
  #open = false;
  #misses = 0;
  #untilProbe = PROBE_EVERY;

  /** `fixedUs` of -1: adaptive; else that window always, 0 for never. */
  constructor(fixedUs: number) {
    this.#fixedUs = fixedUs;
  }

  /** Microseconds to poll in the idle spell that begins now. */
  begin(): number {
    if (this.#fixedUs >= 0) return this.#fixedUs;
    if (this.#open) return POLL_US_MAX;
    if (--this.#untilProbe > 0) return 0;
    this.#untilProbe = PROBE_EVERY;
    return POLL_US_MAX;
  }

  /** Polling found work. */
  hit(): void {
    this.#open = true;
    this.#misses = 0;
  }

  /** Polling found nothing, and the worker sleeps. */
  miss(): void {
    if (++this.#misses >= MISSES_TO_SHUT) this.#open = false;
  }
}
