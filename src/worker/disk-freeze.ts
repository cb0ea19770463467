/**
 * A disk that stands still: nothing of it is in flight and no vring is looked at, the kernel's
 * blk_mq_freeze_queue. For an operator who wants the file for a while, for a change of settings, for a hand-over to
 * another process. Vrings that the front-end starts, changes or stops meanwhile are known, and served afterwards.
 */
import type { LoopWorkers } from './loop-workers.ts';
import type { VringStand } from './session-state.ts';

export class DiskFreeze {
  readonly #workers: LoopWorkers;
  #quiesced = false;
  /** On the way there. */
  #quiescing = false;
  /** For another process, which takes the disk over. */
  #held = false;

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
    this.#quiescing = true;
    const late = setTimeout(() => void this.thaw(), limitMs);
    const stands = await this.freeze();
    clearTimeout(late);
    this.#quiescing = false;
    if (typeof stands === 'string') return stands;
    this.#quiesced = true;
    return null;
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
