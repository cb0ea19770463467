/**
 * A backing file by blocking calls in place of asynchronous ones, where they are faster: on a file in
 * memory (tmpfs, which io_uring hands to a kernel thread each time), and for writes into the page cache
 * (which ext4 gives io_uring no other way to do). Other operations, large ones, and writes after a call
 * has been slow go to the engine behind it, so that one call does not stall every queue of the worker.
 */
import {
  type BackingPort,
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  type IoPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
  type ResultSink,
} from '../loop/backing-port.ts';
import { type ClockUs, elapsedUs } from '../loop/clock.ts';
import { callNow } from './blocking-call.ts';
import { ResultQueue } from './result-queue.ts';

export interface CalledFileOptions {
  readonly fd: number;
  /** Takes what is not called: the engine proper. */
  readonly engine: BackingPort;
  /** Reads too, not only writes: the file is in memory. */
  readonly reads: boolean;
  /** The bytes that an array of `count` iovecs covers. */
  readonly iovecBytes: (place: IoPlace, count: number) => number;
  readonly now: ClockUs;
}

/** A copy of so much takes a tenth of a millisecond, in which the worker does nothing else. */
const CALL_BYTES_MAX = 512 * 1024;
/** A call that takes longer has waited for something: the largest copy takes less. */
const SLOW_CALL_US = 1000;
/** How long calls are left alone then: about what write-back throttling pauses for. */
const PAUSE_US = 100_000;

export class CalledFile implements BackingPort {
  readonly #fd: number;
  readonly #engine: BackingPort;
  /** See CalledFileOptions; may change while nothing is in flight. */
  reads: boolean;
  readonly #iovecBytes: CalledFileOptions['iovecBytes'];
  readonly #now: ClockUs;
  readonly #results = new ResultQueue();
  #paused = false;
  #pausedAtUs = 0;
  /** When the last write of this batch ended, or -1. */
  #lastEndUs = -1;

  constructor(options: CalledFileOptions) {
    this.#fd = options.fd;
    this.#engine = options.engine;
    this.reads = options.reads;
    this.#iovecBytes = options.iovecBytes;
    this.#now = options.now;
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    const isRead = operation === IO_READ || operation === IO_READV;
    const leave =
      operation === IO_FDATASYNC ||
      operation === IO_FALLOCATE ||
      (isRead ? !this.reads : (flags & IO_FLAG_DSYNC) !== 0);
    if (leave || this.#isLarge(operation, place, length) || (!isRead && this.#isPaused())) {
      this.#engine.submit(operation, tag, place, length, flags);
      return;
    }
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const address = place[PLACE_ADDRESS]!;
    if (isRead) {
      this.#results.push(tag, callNow(this.#fd, operation, offsetBytes, address, length, flags));
      return;
    }
    // One look at the clock a call: what ended the one before it starts this one.
    const startUs = this.#lastEndUs < 0 ? this.#now() : this.#lastEndUs;
    this.#results.push(tag, callNow(this.#fd, operation, offsetBytes, address, length, flags));
    const endUs = this.#now();
    this.#lastEndUs = endUs;
    if (elapsedUs(startUs, endUs) <= SLOW_CALL_US) return;
    this.#paused = true;
    this.#pausedAtUs = endUs;
  }

  reap(sink: ResultSink): number {
    this.#lastEndUs = -1;
    return this.#results.deliver(sink) + this.#engine.reap(sink);
  }

  unbegun(): number[] {
    return this.#engine.unbegun?.() ?? [];
  }

  #isLarge(operation: number, place: IoPlace, length: number): boolean {
    const isOne = operation === IO_READ || operation === IO_WRITE;
    return (isOne ? length : this.#iovecBytes(place, length)) > CALL_BYTES_MAX;
  }

  #isPaused(): boolean {
    if (this.#paused) this.#paused = elapsedUs(this.#pausedAtUs, this.#now()) < PAUSE_US;
    return this.#paused;
  }
}
