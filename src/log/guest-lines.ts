/**
 * Lines of the log that a guest, a front-end or a stranger can cause, of one disk (or of what a process has besides its
 * disks): each goes through a budget of its kind, and what is not said is counted and told of, also when the flood
 * has ended. Lines that an operator causes go to the log itself and are not limited.
 */
import { type BudgetLimits, LineBudget } from './line-budget.ts';

/**
 * A guest that reboots once a minute says all it has to; a flood of one kind costs three or four lines a minute,
 * with the line that tells of the others. The program has some twenty kinds of such lines.
 */
export const GUEST_LIMITS: BudgetLimits = { burst: 20, refillMs: 30_000, kinds: 64 };
/** After the first line that is suppressed, and from then on while there are more. */
export const REPORT_AFTER_MS = 30_000;
/** What a kind is that comes after so many others. */
const OTHERS = 'other lines';

export type GuestLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where lines go; a pino log is one. */
export interface LinesLog
  extends Readonly<
    Record<GuestLevel, (fields: Readonly<Record<string, unknown>>, text: string) => void>
  > {
  isLevelEnabled(level: string): boolean;
}

export interface LinesClock {
  nowMs(): number;
  /** Calls back once; what is answered takes that back. */
  after(milliseconds: number, callback: () => void): () => void;
}

const REAL_CLOCK: LinesClock = {
  nowMs: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds).unref();
    return () => clearTimeout(timer);
  },
};

export class GuestLines {
  readonly #log: LinesLog;
  readonly #clock: LinesClock;
  readonly #budget = new LineBudget<string>(GUEST_LIMITS, OTHERS);
  #cancelReport: (() => void) | null = null;

  constructor(log: LinesLog, clock: LinesClock = REAL_CLOCK) {
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Says a line, or counts it. `text` is its kind: what differs from line to line stands in `fields`. False: it was one
   * too many, whether or not the log's level has such lines at all.
   */
  say(level: GuestLevel, fields: Readonly<Record<string, unknown>>, text: string): boolean {
    const isRead = this.#log.isLevelEnabled(level);
    const isSaid = this.#budget.take(text, this.#clock.nowMs(), isRead);
    if (isSaid) this.#log[level](fields, text);
    else if (isRead) {
      this.#cancelReport ??= this.#clock.after(REPORT_AFTER_MS, () => this.report());
    }
    return isSaid;
  }

  /** Tells of what was suppressed so far, if anything was: at the end of a flood, of a disk, of the process. */
  report(): void {
    this.#cancelReport?.();
    this.#cancelReport = null;
    const counts = this.#budget.takeSuppressed();
    if (counts.size === 0) return;
    const suppressed = Object.fromEntries(counts);
    this.#log.warn({ suppressed }, 'lines were left out: a guest or front-end causes too many');
  }
}
