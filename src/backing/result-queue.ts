/**
 * Results that are there before anyone may be told: the port promises not to deliver inside `submit`.
 * A ring of numbers that grows to what was ever in flight and then allocates no more.
 */
import type { ResultSink } from '../loop/backing-port.ts';

export class ResultQueue {
  #tags = new Uint32Array(256);
  #results = new Int32Array(256);
  #head = 0;
  #count = 0;

  push(tag: number, result: number): void {
    if (this.#count === this.#tags.length) this.#grow();
    const at = (this.#head + this.#count) & (this.#tags.length - 1);
    this.#tags[at] = tag;
    this.#results[at] = result;
    this.#count++;
  }

  /** Delivers what is there now; results pushed meanwhile wait for the next time. How many. */
  deliver(sink: ResultSink): number {
    const count = this.#count;
    for (let i = 0; i < count; i++) {
      const at = this.#head;
      this.#head = (at + 1) & (this.#tags.length - 1);
      this.#count--;
      sink.onResult(this.#tags[at]!, this.#results[at]!);
    }
    return count;
  }

  #grow(): void {
    const { length } = this.#tags;
    const tags = new Uint32Array(2 * length);
    const results = new Int32Array(2 * length);
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#head + i) & (length - 1);
      tags[i] = this.#tags[from]!;
      results[i] = this.#results[from]!;
    }
    this.#tags = tags;
    this.#results = results;
    this.#head = 0;
  }
}
