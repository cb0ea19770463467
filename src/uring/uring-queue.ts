/**
 * Submission and completion queue arithmetic over a ring's shared memory. Fills SQEs and walks CQEs;
 * the system call is an argument, so that all of it runs on plain arrays in tests.
 * A CQE's user_data is two numbers: `low` and `high` halves, no BigInt. Source: io_uring(7).
 */
import {
  IORING_ENTER_GETEVENTS,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  ioUringCqe,
  ioUringSqe,
} from '../../protocol/io-uring.ts';
import { EAGAIN, EBUSY, EINTR } from '../../protocol/linux.ts';

const AT = ioUringSqe.at;
const SQE_WORDS = ioUringSqe.sizeBytes / 4;
const CQE_WORDS = ioUringCqe.sizeBytes / 4;
const SQE_FD = AT.fd / 4;
const SQE_OFF = AT.off / 4;
const SQE_ADDR = AT.addr / 4;
const SQE_LEN = AT.len / 4;
const SQE_RW_FLAGS = AT.rw_flags / 4;
const SQE_USER_DATA = AT.user_data / 4;
const CQE_RES = ioUringCqe.at.res / 4;
const CQE_FLAGS = ioUringCqe.at.flags / 4;
const TWO_TO_32 = 2 ** 32;

/** Where a ring's parts are; see UringMapping in src/sys/io-uring.ts. */
export interface UringMemory {
  readonly sqEntries: number;
  readonly cqEntries: number;
  readonly rings: Uint32Array;
  readonly sqHead: number;
  readonly sqTail: number;
  readonly sqFlags: number;
  readonly sqArray: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqes: number;
  readonly sqes: Uint32Array;
}

/** io_uring_enter: SQEs taken, or -errno. */
export type Enter = (toSubmit: number, minComplete: number, flags: number) => number;

export interface CompletionHandler {
  onCompletion(low: number, high: number, result: number, flags: number): void;
}

export class UringQueue {
  readonly #memory: UringMemory;
  readonly #rings: Uint32Array;
  readonly #results: Int32Array;
  readonly #sqes: Uint32Array;
  readonly #enter: Enter;
  readonly #sqMask: number;
  readonly #cqMask: number;
  readonly #place = new Float64Array(2);
  #sqTail: number;
  /** SQEs written since the kernel last took some. */
  #toSubmit = 0;

  constructor(memory: UringMemory, enter: Enter) {
    this.#memory = memory;
    this.#rings = memory.rings;
    this.#results = new Int32Array(
      memory.rings.buffer,
      memory.rings.byteOffset,
      memory.rings.length,
    );
    this.#sqes = memory.sqes;
    this.#enter = enter;
    this.#sqMask = memory.sqEntries - 1;
    this.#cqMask = memory.cqEntries - 1;
    this.#sqTail = Atomics.load(memory.rings, memory.sqTail);
    // The words that prepareAt leaves out stay 0: nobody else writes SQEs.
    memory.sqes.fill(0);
    // The index array stays the identity: SQE i is always submitted from slot i.
    for (let i = 0; i < memory.sqEntries; i++) memory.rings[memory.sqArray + i] = i;
  }

  get pendingSubmissions(): number {
    return this.#toSubmit;
  }

  /** Writes one SQE, off the path of requests: an offset or address in an argument may be boxed. */
  prepare(
    opcode: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    rwFlags: number,
    low: number,
    high: number,
  ): void {
    this.#place[0] = offset;
    this.#place[1] = address;
    this.prepareAt(opcode, fd, this.#place, length, rwFlags, low, high);
  }

  /**
   * Writes one SQE; `place` holds its offset and its address. `opcode` carries IOSQE flags in bits 8-15
   * and ioprio above, as the first word of the SQE does. Submits what is there first when the queue is
   * full.
   */
  prepareAt(
    opcode: number,
    fd: number,
    place: Float64Array,
    length: number,
    rwFlags: number,
    low: number,
    high: number,
  ): void {
    if (this.#toSubmit === this.#memory.sqEntries) this.#makeRoom();
    const sqes = this.#sqes;
    const at = (this.#sqTail & this.#sqMask) * SQE_WORDS;
    const offset = place[0]!;
    const address = place[1]!;
    sqes[at] = opcode;
    sqes[at + SQE_FD] = fd;
    // A store to a Uint32Array takes a number modulo 2^32, without its fraction (ToUint32).
    sqes[at + SQE_OFF] = offset;
    sqes[at + SQE_OFF + 1] = offset / TWO_TO_32;
    sqes[at + SQE_ADDR] = address;
    sqes[at + SQE_ADDR + 1] = address / TWO_TO_32;
    sqes[at + SQE_LEN] = length;
    sqes[at + SQE_RW_FLAGS] = rwFlags;
    sqes[at + SQE_USER_DATA] = low;
    sqes[at + SQE_USER_DATA + 1] = high;
    this.#sqTail = (this.#sqTail + 1) >>> 0;
    this.#toSubmit++;
  }

  /**
   * Submits everything written, runs deferred completions, and waits until `minComplete` completions
   * are there. 0, or -errno of a call that took nothing; an interrupted wait is not an error.
   */
  submitAndWait(minComplete: number): number {
    Atomics.store(this.#rings, this.#memory.sqTail, this.#sqTail);
    const taken = this.#enter(this.#toSubmit, minComplete, IORING_ENTER_GETEVENTS);
    if (taken >= 0) {
      this.#toSubmit -= taken;
      return 0;
    }
    // EBUSY and EAGAIN: the kernel wants completions reaped first; the SQEs stay queued.
    return taken === -EINTR || taken === -EBUSY || taken === -EAGAIN ? 0 : taken;
  }

  /** Whether a completion can be reaped, or would be after an enter (deferred task work). */
  hasCompletions(): boolean {
    return (
      Atomics.load(this.#rings, this.#memory.cqTail) !== this.#rings[this.#memory.cqHead] ||
      (Atomics.load(this.#rings, this.#memory.sqFlags) &
        (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !==
        0
    );
  }

  /** Hands up to `limit` completions to `handler`, which may prepare SQEs. How many there were. */
  reap(handler: CompletionHandler, limit: number): number {
    const rings = this.#rings;
    const { cqHead, cqTail, cqes } = this.#memory;
    let head = rings[cqHead]!;
    // Pairs with the kernel's release of the tail after it filled the CQEs.
    const available = (Atomics.load(rings, cqTail) - head) >>> 0;
    const count = Math.min(available, limit);
    for (let i = 0; i < count; i++) {
      const at = cqes + (head & this.#cqMask) * CQE_WORDS;
      const low = rings[at]!;
      const high = rings[at + 1]!;
      const result = this.#results[at + CQE_RES]!;
      const flags = rings[at + CQE_FLAGS]!;
      head = (head + 1) >>> 0;
      // Released one by one: the handler may enter the kernel, which then has the slot to fill.
      Atomics.store(rings, cqHead, head);
      handler.onCompletion(low, high, result, flags);
    }
    return count;
  }

  #makeRoom(): void {
    const failure = this.submitAndWait(0);
    if (failure < 0 || this.#toSubmit === this.#memory.sqEntries) {
      throw new Error(`io_uring takes no submissions: ${failure}, ${this.#toSubmit} are queued`);
    }
  }
}
