/**
 * The event loop of a loop worker: its io_uring. Kicks, control wake-ups and disk I/O all come as
 * completions; the thread never returns to Node's own loop. One `turn` serves every vring a batch,
 * submits, reaps and publishes; when there is nothing to do it polls a little, then sleeps in the ring.
 */
import {
  IORING_CQE_F_MORE,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_POLL_ADD_MULTI,
} from '../../protocol/io-uring.ts';
import { POLLIN } from '../../protocol/linux.ts';
import { COMPLETION_IO } from '../backing/uring-file.ts';
import type { BackingPort } from '../loop/backing-port.ts';
import type { LoopDevice } from '../loop/loop-device.ts';
import type { UringQueue } from '../uring/uring-queue.ts';
import type { PollWindow } from './poll-window.ts';

// Kinds of completions, in the low bits of the high half of user_data; a generation is above them, so
// that a completion of a poll which has ended is not taken for its successor's.
const COMPLETION_KICK = 1;
const COMPLETION_CONTROL = 2;
const COMPLETION_IGNORED = 3;
const KIND_BITS = 2;
const KIND_MASK = (1 << KIND_BITS) - 1;
/** user_data of a poll to remove is passed as one Number, so both halves stay below 2^53. */
const GENERATION_MASK = 0xffff;

/** Completions handled before results are published: the driver gets them while this side goes on. */
const REAP_BATCH = 16;
/** performance.now() costs more than a look at the rings. */
const SPINS_PER_CLOCK = 16;

export interface LoopWorkerPort {
  /** Something was sent to the worker: read and carry it out. */
  onControl(): void;
  /** Called between turns: carries out what waited for requests in flight. */
  onTurn(): void;
  onKick(vring: number): void;
  /** Microseconds, monotonic. */
  now(): number;
}

export interface LoopWorkerParts {
  readonly queue: UringQueue;
  readonly device: LoopDevice;
  readonly backing: BackingPort;
  readonly window: PollWindow;
  readonly wakeFd: number;
  /** Address of a __kernel_timespec: how long to sleep while a ring has to be polled. */
  readonly napAddress: number;
  readonly port: LoopWorkerPort;
}

export class LoopWorker {
  readonly #queue: UringQueue;
  readonly #device: LoopDevice;
  readonly #backing: BackingPort;
  readonly #window: PollWindow;
  readonly #wakeFd: number;
  readonly #napAddress: number;
  readonly #port: LoopWorkerPort;
  readonly #kickFds = new Map<number, { fd: number; generation: number }>();
  #generation = 0;
  #controlPending = true;
  #exiting = false;
  /** Vrings whose driver never kicks. */
  polledVrings = 0;
  /** Set while requests wait for commands in flight to end. */
  turnsWanted = false;

  constructor(parts: LoopWorkerParts) {
    this.#queue = parts.queue;
    this.#device = parts.device;
    this.#backing = parts.backing;
    this.#window = parts.window;
    this.#wakeFd = parts.wakeFd;
    this.#napAddress = parts.napAddress;
    this.#port = parts.port;
    this.#armPoll(this.#wakeFd, 0, COMPLETION_CONTROL);
  }

  /** Watches a vring's kick eventfd, which is never read: a multishot poll reports every signal. */
  watchKick(vring: number, fd: number): void {
    this.#generation = (this.#generation + 1) & GENERATION_MASK;
    this.#kickFds.set(vring, { fd, generation: this.#generation });
    this.#armPoll(fd, vring, (this.#generation << KIND_BITS) | COMPLETION_KICK);
  }

  /** Ends the watch; the fd may be closed once the next turn has submitted this. */
  unwatchKick(vring: number): void {
    const watch = this.#kickFds.get(vring);
    if (watch === undefined) return;
    this.#kickFds.delete(vring);
    const high = (watch.generation << KIND_BITS) | COMPLETION_KICK;
    const userData = high * 2 ** 32 + vring;
    this.#queue.prepare(IORING_OP_POLL_REMOVE, -1, 0, userData, 0, 0, 0, COMPLETION_IGNORED);
    // The poll holds its own reference to the file, but nothing should outlive the answer.
    this.#queue.submitAndWait(0);
  }

  exit(): void {
    this.#exiting = true;
  }

  /** Runs until `exit`. Throws what no request can cause: the ring itself failing. */
  run(): void {
    while (!this.#exiting) {
      if (this.#controlPending) {
        this.#controlPending = false;
        this.#port.onControl();
      }
      if (this.turnsWanted) this.#port.onTurn();
      const more = this.#device.serve();
      this.#device.publish();
      if (more || this.#queue.pendingSubmissions > 0 || this.#queue.hasCompletions()) {
        this.#submit(0);
        this.#reap();
      } else if (!this.#controlPending && !this.#exiting) {
        // Also while something drains: a command is in flight then, and its completion ends the sleep.
        this.#idle();
      }
    }
    this.#device.publish();
  }

  onCompletion(low: number, high: number, result: number, flags: number): void {
    if (high === COMPLETION_IO) {
      this.#device.onResult(low, result);
      return;
    }
    const kind = high & KIND_MASK;
    if (kind === COMPLETION_KICK) {
      const watch = this.#kickFds.get(low);
      if (watch === undefined || watch.generation !== high >>> KIND_BITS) return;
      this.#port.onKick(low);
      if ((flags & IORING_CQE_F_MORE) === 0 && result >= 0) {
        this.#armPoll(watch.fd, low, high);
      }
    } else if (kind === COMPLETION_CONTROL) {
      this.#controlPending = true;
      if ((flags & IORING_CQE_F_MORE) === 0) this.#armPoll(this.#wakeFd, 0, COMPLETION_CONTROL);
    }
  }

  onResult(tag: number, result: number): void {
    this.#device.onResult(tag, result);
  }

  #armPoll(fd: number, low: number, high: number): void {
    this.#queue.prepare(IORING_OP_POLL_ADD, fd, 0, 0, IORING_POLL_ADD_MULTI, POLLIN, low, high);
  }

  #submit(minComplete: number): void {
    const failure = this.#queue.submitAndWait(minComplete);
    if (failure < 0) throw new Error(`io_uring_enter failed: errno ${-failure}`);
  }

  #reap(): void {
    while (this.#queue.reap(this, REAP_BATCH) === REAP_BATCH) this.#device.publish();
    this.#backing.reap(this);
    this.#device.publish();
  }

  /** Nothing to do: poll for as long as it has paid off lately, then sleep until a completion. */
  #idle(): void {
    const device = this.#device;
    const queue = this.#queue;
    const pollUs = this.#window.begin();
    if (pollUs > 0) {
      const deadline = this.#port.now() + pollUs;
      for (let spins = 1; ; spins++) {
        if (device.hasWork() || queue.hasCompletions()) {
          this.#window.hit();
          return;
        }
        if (spins % SPINS_PER_CLOCK === 0 && this.#port.now() >= deadline) break;
      }
      this.#window.miss();
    }
    if (!device.armKicks()) {
      if (this.polledVrings > 0) {
        queue.prepare(IORING_OP_TIMEOUT, -1, 0, this.#napAddress, 1, 0, 0, COMPLETION_IGNORED);
      }
      this.#submit(1);
    }
    device.suppressKicks();
    this.#reap();
  }
}
