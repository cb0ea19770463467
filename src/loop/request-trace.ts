/**
 * Requests as they end, for somebody who looks on: a bounded ring in memory that one worker writes and the
 * main thread reads. A worker has one only while a disk is traced; when the reader is too slow, requests
 * are left out and counted. What a request was, never what it carried.
 */
import type { CommandBoard } from './command-board.ts';
import type { TurnClock } from './turn-clock.ts';

/** A power of two. */
export const TRACE_RECORDS = 8192;
const MASK = TRACE_RECORDS - 1;
const FLOATS = 8;

// Words of the control array.
const PUT = 0;
const TAKEN = 1;
const LOST = 2;
const WORDS = 4;

export const REQUEST_TRACE_BYTES = 4 * WORDS + 8 * FLOATS * TRACE_RECORDS;

export interface TracedRequest {
  /** When it was taken from its ring (turn-clock.ts), and how long it took. */
  readonly startMs: number;
  readonly tookMs: number;
  readonly queue: number;
  readonly head: number;
  readonly op: number;
  readonly status: number;
  readonly firstBytes: number;
  readonly lengthBytes: number;
}

export class RequestTrace {
  readonly #control: Int32Array;
  readonly #records: Float64Array;
  readonly #ops: number;

  /** `ops`: a bit for each OP_* that is wanted. */
  constructor(memory: SharedArrayBuffer, ops = -1) {
    this.#control = new Int32Array(memory, 0, WORDS);
    this.#records = new Float64Array(memory, 4 * WORDS);
    this.#ops = ops;
  }

  /** Worker: a request ends with `status`. */
  record(queue: number, head: number, board: CommandBoard, status: number, clock: TurnClock): void {
    const op = board.op[head]!;
    if ((this.#ops & (1 << op)) === 0) return;
    const control = this.#control;
    const put = Atomics.load(control, PUT);
    // Pairs with the reader's store after it has read: the place is free.
    if (((put - Atomics.load(control, TAKEN)) | 0) >= TRACE_RECORDS) {
      Atomics.add(control, LOST, 1);
      return;
    }
    const records = this.#records;
    const at = (put & MASK) * FLOATS;
    const startMs = board.startMs[head]!;
    records[at] = startMs;
    records[at + 1] = clock.ms[0]! - startMs;
    records[at + 2] = board.firstBytes[head]!;
    records[at + 3] = board.lengthBytes[head]!;
    records[at + 4] = queue;
    records[at + 5] = head;
    records[at + 6] = op;
    records[at + 7] = status;
    // After the record: pairs with the reader's load.
    Atomics.store(control, PUT, (put + 1) | 0);
  }

  /** Reader: takes what there is, `most` at a time. */
  take(most = TRACE_RECORDS): TracedRequest[] {
    const taken = Atomics.load(this.#control, TAKEN);
    const count = Math.min((Atomics.load(this.#control, PUT) - taken) | 0, most);
    const records = this.#records;
    const requests = Array.from({ length: count }, (_, i): TracedRequest => {
      const at = ((taken + i) & MASK) * FLOATS;
      return {
        startMs: records[at]!,
        tookMs: records[at + 1]!,
        firstBytes: records[at + 2]!,
        lengthBytes: records[at + 3]!,
        queue: records[at + 4]!,
        head: records[at + 5]!,
        op: records[at + 6]!,
        status: records[at + 7]!,
      };
    });
    Atomics.store(this.#control, TAKEN, (taken + count) | 0);
    return requests;
  }

  /** Reader: how many were left out since it last asked. */
  takeLost(): number {
    return Atomics.exchange(this.#control, LOST, 0);
  }
}
