/**
 * A backing file through I/O threads that make blocking calls (`--aio=threads`): for buffered files where
 * io_uring is forbidden. Works everywhere; each operation costs two wake-ups.
 */
import {
  type BackingPort,
  type IoPlace,
  ioPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
  type ResultSink,
} from '../loop/backing-port.ts';
import { JOB_SLOTS, type JobBoard } from './job-board.ts';

export class ThreadsFile implements BackingPort {
  readonly #board: JobBoard;
  readonly #free: number[] = [];
  /** Operations that found the board full, six numbers each, oldest first; done ones before the start. */
  readonly #overflow: number[] = [];
  #overflowStart = 0;
  readonly #place = ioPlace(0, 0);

  constructor(board: JobBoard) {
    this.#board = board;
    for (let slot = JOB_SLOTS - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const address = place[PLACE_ADDRESS]!;
    const slot = this.#free.pop();
    if (slot === undefined) {
      this.#overflow.push(operation, tag, offsetBytes, address, length, flags);
      return;
    }
    const board = this.#board;
    board.operation[slot] = operation;
    board.tag[slot] = tag;
    board.offsetBytes[slot] = offsetBytes;
    board.address[slot] = address;
    board.length[slot] = length;
    board.flags[slot] = flags;
    board.offer(slot);
  }

  reap(sink: ResultSink): number {
    const board = this.#board;
    let count = 0;
    for (let slot = board.collect(); slot >= 0; slot = board.collect()) {
      const tag = board.tag[slot]!;
      const result = board.result[slot]!;
      this.#free.push(slot);
      sink.onResult(tag, result);
      count++;
    }
    if (count > 0 && this.#overflow.length > 0) this.#resubmit();
    return count;
  }

  unbegun(): number[] {
    const waiting = this.#overflow.slice(this.#overflowStart);
    const overflow = waiting.filter((_, i) => i % 6 === 1);
    return [...this.#board.untaken().map((slot) => this.#board.tag[slot]!), ...overflow];
  }

  /** As many as there are free slots: the others stay where they are, however many wait. */
  #resubmit(): void {
    const waiting = this.#overflow;
    const place = this.#place;
    let i = this.#overflowStart;
    for (; i < waiting.length && this.#free.length > 0; i += 6) {
      place[PLACE_OFFSET_BYTES] = waiting[i + 2]!;
      place[PLACE_ADDRESS] = waiting[i + 3]!;
      this.submit(waiting[i]!, waiting[i + 1]!, place, waiting[i + 4]!, waiting[i + 5]!);
    }
    if (2 * i >= waiting.length) {
      waiting.splice(0, i);
      i = 0;
    }
    this.#overflowStart = i;
  }
}
