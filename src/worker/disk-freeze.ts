/**
 * A disk that stands still: nothing of it is in flight and no vring is looked at, the kernel's
 * blk_mq_freeze_queue. For an operator who wants the file for a while, for a change of settings, for a hand-over to
 * another process. Vrings that the front-end starts, changes or stops meanwhile are known, and served afterwards.
 */
import type { LoopWorkers } from './loop-workers.ts';
import type { VringStand } from './session-state.ts';

/** How long a worker may take to say that it has given up: it does so at once unless it is in a system call. */
const ANSWER_LIMIT_MS = 1000;
const HANGS =
  'a worker does not answer: it waits for storage in a system call (vloop why says which)';

export class DiskFreeze {
  readonly #workers: LoopWorkers;
  #quiesced = false;
  /** On the way there. */
  #quiescing = false;
  /** For another process, which takes the disk over. */
  #held = false;
  /** An attempt that was given up, and a worker has not answered yet. */
  #hanging = false;

  constructor(workers: LoopWorkers) {
    this.#workers = workers;
  }

  /** By an operator, until `resume`. */
  get quiesced(): boolean {
    return this.#quiesced;
  }

  /** Where all vrings stand, or why they do not; then they go on. `thaw` ends it, also while it is waited for. */
  async freeze(): Promise<VringStand[] | string> {
    const answers = await this.#workers.askAll({ kind: 'pause' });
    const failure = answers.find((answer) => typeof answer === 'string');
    if (typeof failure === 'string') {
      // Another worker may stand still already.
      await this.thaw();
      return failure;
    }
    return answers.flat().filter((stand): stand is VringStand => typeof stand === 'object');
  }

  /** As `freeze`, for another process that is to take the disk over. */
  async hold(): Promise<VringStand[] | string> {
    if (this.#quiesced || this.#quiescing) return 'the disk is quiesced, or being changed';
    if (this.#hanging) return HANGS;
    this.#held = true;
    return await this.freeze();
  }

  /** Ends a freeze, unless an operator wants the disk to stand still. */
  async thaw(): Promise<void> {
    this.#held = false;
    if (!this.#quiesced) await this.#workers.askAll({ kind: 'resume' });
  }

  /** null, or why not within the time. */
  async quiesce(limitMs: number): Promise<string | null> {
    if (this.#quiesced) return null;
    if (this.#held) return 'another process takes the disk over';
    if (this.#hanging) return HANGS;
    this.#quiescing = true;
    const stands = await this.#freezeWithin(limitMs);
    this.#quiescing = false;
    if (typeof stands === 'string') return stands;
    this.#quiesced = true;
    return null;
  }

  /**
   * A worker that hangs in a system call finds pause and resume one behind the other when it comes back. Until then
   * nothing else is begun, which the resume would end.
   */
  #freezeWithin(limitMs: number): Promise<VringStand[] | string> {
    return new Promise((resolve) => {
      let isLate = false;
      let timer = setTimeout(() => {
        isLate = true;
        void this.thaw();
        timer = setTimeout(() => {
          this.#hanging = true;
          resolve(HANGS);
        }, ANSWER_LIMIT_MS);
      }, limitMs);
      void this.freeze().then((stands) => {
        clearTimeout(timer);
        this.#hanging = false;
        // It may have stood still just then: by now it goes on.
        resolve(isLate && typeof stands !== 'string' ? 'requests have ended too late' : stands);
      });
    });
  }

  async resume(): Promise<void> {
    this.#quiesced = false;
    await this.thaw();
  }

  /**
   * Changes something while nothing is in flight. null, or why the disk cannot stand still within the time; then
   * `change` was not called.
   */
  async during(limitMs: number, change: () => Promise<void>): Promise<string | null> {
    const before = this.#quiesced;
    const refusal = await this.quiesce(limitMs);
    if (refusal !== null) return refusal;
    try {
      await change();
    } finally {
      if (!before) await this.resume();
    }
    return null;
  }
}
