/**
 * Whoever traces a disk: gives its workers memory to write requests into, takes what is there, and takes the
 * memory back when nobody has asked for a while. One looks on at a time.
 */
import { REQUEST_TRACE_BYTES, RequestTrace, type TracedRequest } from '../loop/request-trace.ts';
import type { LoopWorkers } from './loop-workers.ts';

/** Whoever does not ask for so long has gone. */
const FORGOTTEN_MS = 5000;

export interface TraceLook {
  readonly id: number;
  readonly requests: readonly TracedRequest[];
  /** Left out since the last look: they came faster than they were taken. */
  readonly lost: number;
}

export class DiskTrace {
  readonly #workers: LoopWorkers;
  #traces: readonly RequestTrace[] = [];
  #lastId = 0;
  #active = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(workers: LoopWorkers) {
    this.#workers = workers;
  }

  /** Begins, with the operations whose bits are set. Null: somebody else looks on. */
  async begin(ops: number): Promise<TraceLook | null> {
    if (this.#active) return null;
    this.#active = true;
    const id = ++this.#lastId;
    const memories = Array.from(
      { length: this.#workers.count },
      () => new SharedArrayBuffer(REQUEST_TRACE_BYTES),
    );
    this.#traces = memories.map((memory) => new RequestTrace(memory));
    this.#watch();
    await Promise.all(
      memories.map((memory, worker) =>
        this.#workers.ask(worker, { kind: 'setTrace', memory, ops }),
      ),
    );
    return { id, requests: [], lost: 0 };
  }

  /** What has ended since the last look, of each worker in order. Null: it is another one's trace, or over. */
  take(id: number, most: number): TraceLook | null {
    if (!this.#active || id !== this.#lastId) return null;
    this.#watch();
    let left = most;
    const requests = this.#traces.flatMap((trace) => {
      const taken = trace.take(left);
      left -= taken.length;
      return taken;
    });
    const lost = this.#traces.reduce((sum, trace) => sum + trace.takeLost(), 0);
    return { id, requests, lost };
  }

  end(id: number): void {
    if (this.#active && id === this.#lastId) this.#stop();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop(), FORGOTTEN_MS).unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#active = false;
    this.#traces = [];
    void this.#workers.askAll({ kind: 'setTrace', memory: null, ops: 0 });
  }
}
