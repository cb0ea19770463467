/**
 * Aligned buffers for guest buffers that direct I/O cannot take and for data that a transfer module changes, fixed in number. A command that finds
 * none waits its turn; the queue of waiting tags is bounded by the heads in flight.
 */
import type { HostMemory } from './host-memory.ts';

/** One request of usual size in one piece; larger ones go through in pieces. */
export const BOUNCE_BYTES = 256 * 1024;
const BOUNCE_COUNT = 16;

export class BounceBuffers {
  /** Of the first buffer; the others follow it. */
  readonly address: number;
  /** Of all of them. */
  readonly sizeBytes = BOUNCE_BYTES * BOUNCE_COUNT;
  readonly #memory: ArrayBuffer;
  /** The last view of each buffer: a load's requests are mostly of one size. */
  readonly #views: Uint8Array[];
  readonly #free: number[] = [];
  readonly #waiting: number[] = [];

  constructor(hostMemory: HostMemory) {
    const { address, buffer: memory } = hostMemory.allocate(this.sizeBytes);
    this.address = address;
    this.#memory = memory;
    this.#views = Array.from({ length: BOUNCE_COUNT }, () => new Uint8Array(memory, 0, 0));
    for (let buffer = 0; buffer < BOUNCE_COUNT; buffer++) this.#free.push(buffer);
  }

  addressOf(buffer: number): number {
    return this.address + buffer * BOUNCE_BYTES;
  }

  /** The first bytes of a buffer. */
  bytesOf(buffer: number, lengthBytes: number): Uint8Array {
    const last = this.#views[buffer]!;
    if (last.length === lengthBytes) return last;
    const view = new Uint8Array(this.#memory, buffer * BOUNCE_BYTES, lengthBytes);
    this.#views[buffer] = view;
    return view;
  }

  /** A buffer for `tag`, or -1: the tag is then handed out by a later `release`. */
  acquire(tag: number): number {
    const buffer = this.#free.pop();
    if (buffer !== undefined) return buffer;
    this.#waiting.push(tag);
    return -1;
  }

  /** Gives a buffer back. The tag that waited longest and may try again, or -1. */
  release(buffer: number): number {
    this.#free.push(buffer);
    return this.#waiting.shift() ?? -1;
  }
}
