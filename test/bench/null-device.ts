/**
 * A device that does nothing as fast as it can, in a thread of this process: it moves heads from the avail ring to
 * the used ring, calls when asked to, and looks at no descriptor. What a client reaches against it is the client's
 * own ceiling. It always spins and never asks for kicks.
 */
import { Worker } from 'node:worker_threads';
import { within } from '../support/waiting.ts';
import type { LoadMemory } from './load-memory.ts';
import type { NullDeviceRings } from './null-device-thread.ts';

const START_TIMEOUT_MS = 10_000;

export class NullDevice {
  readonly #worker: Worker;
  readonly #stop: Int32Array;

  private constructor(worker: Worker, stop: Int32Array) {
    this.#worker = worker;
    this.#stop = stop;
  }

  /** Serves the rings of these memories; resolves once it does. */
  static async start(memories: readonly LoadMemory[], eventIdx: boolean): Promise<NullDevice> {
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const workerData: NullDeviceRings = {
      stop,
      eventIdx,
      rings: memories.flatMap(({ shared, layout, ringSize, callFds }) => {
        const { fd, mmapOffset, sizeBytes, guestAddress } = shared.regions[0]!;
        return callFds.map((callFd, queue) => ({
          fd,
          mmapOffset,
          mappedBytes: sizeBytes,
          ringAt: layout.rings[queue]! - guestAddress,
          ringSize,
          callFd,
        }));
      }),
    };
    const script = new URL('./null-device-thread.ts', import.meta.url);
    const worker = new Worker(script, { workerData });
    const started = new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
    await within('start of the null device', START_TIMEOUT_MS, started);
    return new NullDevice(worker, stop);
  }

  /** Ends the thread; no ring is touched after this. */
  async end(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    Atomics.store(this.#stop, 0, 1);
    await within('end of the null device', START_TIMEOUT_MS, ended);
  }
}
