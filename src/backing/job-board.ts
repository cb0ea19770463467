/**
 * Where a loop worker puts operations for I/O threads and finds their results: typed arrays in memory
 * that all of them share. One producer, several consumers; results the other way round. Positions are
 * free-running 32-bit counters; a slot of the ring is taken when its number is not 0.
 */

/** Operations that may be on the board at once; more wait in the worker. */
export const JOB_SLOTS = 1024;
const MASK = JOB_SLOTS - 1;

// Words of the control array.
const PUT = 0;
const TAKEN = 1;
const DONE = 2;
const WORDS = 4;

/** Bytes of the shared memory of one board. */
export const JOB_BOARD_BYTES = 4 * (WORDS + 2 * JOB_SLOTS) + 4 * 4 * JOB_SLOTS + 8 * 3 * JOB_SLOTS;

export class JobBoard {
  readonly #control: Int32Array;
  /** Rings of slot + 1: jobs to do, jobs done. */
  readonly #todo: Int32Array;
  readonly #done: Int32Array;
  readonly operation: Int32Array;
  readonly tag: Uint32Array;
  readonly flags: Int32Array;
  readonly result: Int32Array;
  readonly offsetBytes: Float64Array;
  readonly address: Float64Array;
  readonly length: Float64Array;
  /** The worker's own place in the ring of results. */
  #collected = 0;

  constructor(memory: SharedArrayBuffer) {
    let at = 0;
    const int32 = (count: number) => {
      const array = new Int32Array(memory, at, count);
      at += 4 * count;
      return array;
    };
    const float64 = () => {
      const array = new Float64Array(memory, at, JOB_SLOTS);
      at += 8 * JOB_SLOTS;
      return array;
    };
    this.#control = int32(WORDS);
    this.#todo = int32(JOB_SLOTS);
    this.#done = int32(JOB_SLOTS);
    this.operation = int32(JOB_SLOTS);
    this.tag = new Uint32Array(memory, at, JOB_SLOTS);
    at += 4 * JOB_SLOTS;
    this.flags = int32(JOB_SLOTS);
    this.result = int32(JOB_SLOTS);
    this.offsetBytes = float64();
    this.address = float64();
    this.length = float64();
  }

  /** Worker: offers a filled slot and wakes a thread. There are as many places as slots. */
  offer(slot: number): void {
    const put = Atomics.load(this.#control, PUT);
    Atomics.store(this.#todo, put & MASK, slot + 1);
    Atomics.store(this.#control, PUT, (put + 1) | 0);
    Atomics.notify(this.#control, PUT, 1);
  }

  /** I/O thread: takes a slot; sleeps while there is none. */
  take(): number {
    for (;;) {
      const taken = Atomics.load(this.#control, TAKEN);
      const put = Atomics.load(this.#control, PUT);
      if (taken === put) {
        Atomics.wait(this.#control, PUT, put);
        continue;
      }
      const slot = Atomics.load(this.#todo, taken & MASK);
      const next = (taken + 1) | 0;
      if (Atomics.compareExchange(this.#control, TAKEN, taken, next) === taken) return slot - 1;
    }
  }

  /** Worker: the slots of jobs that no thread has taken yet. */
  untaken(): number[] {
    const taken = Atomics.load(this.#control, TAKEN);
    const count = (Atomics.load(this.#control, PUT) - taken) | 0;
    return Array.from(
      { length: count },
      (_, i) => Atomics.load(this.#todo, (taken + i) & MASK) - 1,
    );
  }

  /** I/O thread: puts a slot among the results. */
  finish(slot: number): void {
    const place = Atomics.add(this.#control, DONE, 1) & MASK;
    Atomics.store(this.#done, place, slot + 1);
  }

  /** Worker: a slot with a result, or -1. */
  collect(): number {
    const place = this.#collected & MASK;
    const slot = Atomics.load(this.#done, place) - 1;
    if (slot < 0) return -1;
    Atomics.store(this.#done, place, 0);
    this.#collected = (this.#collected + 1) | 0;
    return slot;
  }
}
