/**
 * The vrings of one worker and their turn: rings in, commands out, completions back. Each vring is
 * served a limited number of requests before the next, so that a flooded one cannot starve another.
 */

import { TAG_SLOT_BITS, TAG_SLOT_MASK } from './loop-commands.ts';
import type { LoopQueue } from './loop-queue.ts';
import type { TurnClock } from './turn-clock.ts';

export class LoopDevice {
  readonly #queues: Array<LoopQueue | null>;
  readonly #clock: TurnClock;
  /** The queues that run, in a dense array: what a turn walks. */
  #running: LoopQueue[] = [];
  /** Commands that may take a bounce buffer, while another one is being told so. */
  readonly #resumable: number[] = [];
  #resuming = false;

  constructor(queueCount: number, clock: TurnClock) {
    this.#clock = clock;
    this.#queues = new Array<LoopQueue | null>(queueCount).fill(null);
  }

  queue(index: number): LoopQueue | null {
    return this.#queues[index] ?? null;
  }

  get running(): readonly LoopQueue[] {
    return this.#running;
  }

  attach(queue: LoopQueue): void {
    this.#queues[queue.index] = queue;
    this.#running = this.#queues.filter((other) => other !== null);
  }

  detach(index: number): void {
    this.#queues[index] = null;
    this.#running = this.#queues.filter((other) => other !== null);
  }

  /** Takes a batch from every vring. True: at least one may have more. */
  serve(): boolean {
    let more = false;
    const running = this.#running;
    for (let i = 0; i < running.length; i++) {
      if (running[i]!.serve()) more = true;
    }
    // What was started may have been done in calls, which take time.
    this.#clock.expire();
    return more;
  }

  /** Makes completions visible, vring by vring. */
  publish(): void {
    const running = this.#running;
    for (let i = 0; i < running.length; i++) running[i]!.publish();
    this.#clock.expire();
  }

  hasWork(): boolean {
    const running = this.#running;
    for (let i = 0; i < running.length; i++) if (running[i]!.hasWork()) return true;
    return false;
  }

  /** Before sleeping: asks every driver for kicks. True: there is work already. */
  armKicks(): boolean {
    let work = false;
    const running = this.#running;
    for (let i = 0; i < running.length; i++) if (running[i]!.armKicks()) work = true;
    return work;
  }

  /** Without EVENT_IDX: no kicks while the vrings are being served. */
  suppressKicks(): void {
    const running = this.#running;
    for (let i = 0; i < running.length; i++) running[i]!.suppressKicks();
  }

  onResult(tag: number, result: number): void {
    this.#queues[tag >>> TAG_SLOT_BITS]!.onResult(tag & TAG_SLOT_MASK, result);
  }

  /** One after the other: a command that fails at once frees its buffer for the next, and so on. */
  resumeBounce(tag: number): void {
    this.#resumable.push(tag);
    if (this.#resuming) return;
    this.#resuming = true;
    for (;;) {
      const next = this.#resumable.pop();
      if (next === undefined) break;
      this.#resumeNow(next);
    }
    this.#resuming = false;
  }

  #resumeNow(tag: number): void {
    this.#queues[tag >>> TAG_SLOT_BITS]!.resumeBounce(tag & TAG_SLOT_MASK);
  }
}
