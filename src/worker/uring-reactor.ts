/**
 * A reactor that is the worker's io_uring: multishot polls on eventfds and the backing file's I/O come
 * as completions, and one io_uring_enter submits, waits and collects.
 */
import {
  IORING_CQE_F_MORE,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_POLL_ADD_MULTI,
} from '../../protocol/io-uring.ts';
import { EALREADY, ECANCELED, POLLIN } from '../../protocol/linux.ts';
import { COMPLETION_IO } from '../backing/uring-file.ts';
import type { CompletionHandler, UringQueue } from '../uring/uring-queue.ts';
import type { Reactor, ReactorSink } from './reactor.ts';

// Kinds of completions beside COMPLETION_IO, in the low bits of the high half of user_data; the
// watch's generation is above them, so that a completion of a watch which has ended is not taken for
// its successor's.
const COMPLETION_SIGNAL = 1;
const COMPLETION_IGNORED = 2;
const COMPLETION_REMOVAL = 3;
const KIND_BITS = 2;
const KIND_MASK = (1 << KIND_BITS) - 1;
/** The user_data of a poll to remove is passed as one Number, so it has to stay below 2^53. */
const GENERATION_MASK = 0xffff;

/** Completions handled before results are published: a batch of a vring's as a turn takes it. */
const REAP_BATCH = 64;

interface Watch {
  readonly fd: number;
  readonly generation: number;
}

export class UringReactor implements Reactor, CompletionHandler {
  readonly #queue: UringQueue;
  /** A __kernel_timespec with the length of a nap; held so that it stays where it is. */
  readonly #nap: { readonly address: number };
  readonly #watches = new Map<number, Watch>();
  #generation = 0;
  #sink: ReactorSink | null = null;

  constructor(queue: UringQueue, nap: { readonly address: number }) {
    this.#queue = queue;
    this.#nap = nap;
  }

  watch(key: number, fd: number): void {
    this.#generation = (this.#generation + 1) & GENERATION_MASK;
    const watch = { fd, generation: this.#generation };
    this.#watches.set(key, watch);
    this.#arm(key, watch);
  }

  unwatch(key: number): void {
    const watch = this.#watches.get(key);
    if (watch === undefined) return;
    this.#watches.delete(key);
    this.#remove(key, watch.generation);
    // The poll holds a reference of its own to the file: now, and not with whatever comes next.
    this.turn(false, false);
  }

  hasWork(): boolean {
    return this.#queue.pendingSubmissions > 0 || this.#queue.hasCompletions();
  }

  turn(wait: boolean, nap: boolean): void {
    if (wait && nap) {
      this.#queue.prepare(IORING_OP_TIMEOUT, -1, 0, this.#nap.address, 1, 0, 0, COMPLETION_IGNORED);
    }
    const failure = this.#queue.submitAndWait(wait ? 1 : 0);
    if (failure < 0) throw new Error(`io_uring_enter failed: errno ${-failure}`);
  }

  reap(sink: ReactorSink): boolean {
    this.#sink = sink;
    return this.#queue.reap(this, REAP_BATCH) === REAP_BATCH;
  }

  onCompletion(low: number, high: number, result: number, flags: number): void {
    if (high === COMPLETION_IO) {
      this.#sink!.onResult(low, result);
      return;
    }
    const kind = high & KIND_MASK;
    const generation = high >>> KIND_BITS;
    if (kind === COMPLETION_REMOVAL) {
      // A poll that was signalled just now is busy and stays; a turn later it has delivered that.
      if (result === -EALREADY) this.#remove(low, generation);
      return;
    }
    if (kind !== COMPLETION_SIGNAL) return;
    const watch = this.#watches.get(low);
    if (watch === undefined || watch.generation !== generation) return;
    this.#sink!.onSignal(low);
    if ((flags & IORING_CQE_F_MORE) !== 0) return;
    // The kernel ends a multishot poll when completions overflow, until 6.1 or so by -ECANCELED: a kick
    // after that would wake nobody. An fd that fails is let go.
    if (result >= 0 || result === -ECANCELED) this.#arm(low, watch);
  }

  #arm(key: number, { fd, generation }: Watch): void {
    const high = (generation << KIND_BITS) | COMPLETION_SIGNAL;
    this.#queue.prepare(IORING_OP_POLL_ADD, fd, 0, 0, IORING_POLL_ADD_MULTI, POLLIN, key, high);
  }

  #remove(key: number, generation: number): void {
    const poll = ((generation << KIND_BITS) | COMPLETION_SIGNAL) * 2 ** 32 + key;
    const high = (generation << KIND_BITS) | COMPLETION_REMOVAL;
    this.#queue.prepare(IORING_OP_POLL_REMOVE, -1, 0, poll, 0, 0, key, high);
  }
}
