/**
 * The lock on a backing file that is handed from one vloop to another (`--lock=running`): taken when the
 * first vring starts, given up when the last has stopped and everything written is durable. Two hosts of
 * a migration share the file, and at no time do both hold it. Knows the file only through its calls.
 */
import { EACCES, EAGAIN } from '../../protocol/linux.ts';

/** Each answers 0, or -errno. */
export interface LockCalls {
  lock(): number;
  unlock(): number;
  /** Everything written is durable. */
  sync(): Promise<number>;
  /** What this host remembers of the file may be old: another one has written it. */
  forgetCached(): void;
  wait(milliseconds: number): Promise<void>;
}

export interface LockEvents {
  /** The file is this process's, and may have another size. */
  onTaken(): Promise<void>;
  /** Another process may have the file from here on. */
  onGivenUp(): void;
  /** The lock is kept, because what was written could not be made durable. */
  onSyncFailed(errno: number): void;
}

/**
 * How long a start waits for the other side. Whoever migrates stops the one before it starts the other, and
 * a front-end waits for the answer: this covers only a process that was killed and ends its last operations.
 */
export const LOCK_WAIT_MS = 3000;
const LOCK_RETRY_MS = 10;

export class RunningLock {
  readonly #name: string;
  readonly #calls: LockCalls;
  readonly #events: LockEvents;
  #held = false;

  constructor(name: string, calls: LockCalls, events: LockEvents) {
    this.#name = name;
    this.#calls = calls;
    this.#events = events;
  }

  get held(): boolean {
    return this.#held;
  }

  /** null, or why not: then another process has the file. */
  async take(): Promise<string | null> {
    if (this.#held) return null;
    for (let waitedMs = 0; ; waitedMs += LOCK_RETRY_MS) {
      const result = this.#calls.lock();
      if (result >= 0) break;
      if (result !== -EAGAIN && result !== -EACCES) {
        return `backing file ${this.#name}: cannot lock it (errno ${-result})`;
      }
      if (waitedMs >= LOCK_WAIT_MS) {
        return `backing file ${this.#name}: locked, another process serves it (waited ${LOCK_WAIT_MS} ms)`;
      }
      await this.#calls.wait(LOCK_RETRY_MS);
    }
    this.#held = true;
    this.#calls.forgetCached();
    await this.#events.onTaken();
    return null;
  }

  /** Nothing is in flight. A file whose last writes may be lost stays locked: the next would not see them. */
  async giveUp(): Promise<void> {
    if (!this.#held) return;
    const result = await this.#calls.sync();
    if (result < 0) {
      this.#events.onSyncFailed(-result);
      return;
    }
    this.#held = false;
    this.#calls.unlock();
    this.#events.onGivenUp();
  }
}
