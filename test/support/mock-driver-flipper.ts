/**
 * A guest that changes its mind: views of guest memory that count how often each byte is read and,
 * on request, overwrite a byte as soon as it was read. A device that reads a byte twice is counted, and
 * acts on two different values (the double-fetch class of bugs).
 */
import type { GuestMemory } from '../../src/memory/guest-memory.ts';

export class ReadCounts {
  readonly counts: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #flip: boolean;

  constructor(bytes: Uint8Array, flip: boolean) {
    this.counts = new Uint32Array(bytes.length);
    this.#bytes = bytes;
    this.#flip = flip;
  }

  read(at: number, sizeBytes: number): void {
    for (let i = at; i < at + sizeBytes; i++) {
      this.counts[i]!++;
      if (this.#flip) this.#bytes[i] = this.#bytes[i]! ^ 0xff;
    }
  }

  /** The offsets that were read more than once. */
  get repeated(): number[] {
    return [...this.counts.keys()].filter((at) => this.counts[at]! > 1);
  }

  get total(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }
}

/** A DataView whose reads are counted; only the widths that the data path uses. */
export class CountedView extends DataView<ArrayBufferLike> {
  readonly reads: ReadCounts;

  constructor(bytes: Uint8Array, flip: boolean) {
    super(bytes.buffer, bytes.byteOffset, bytes.length);
    this.reads = new ReadCounts(bytes, flip);
  }

  override getUint8(at: number): number {
    const value = super.getUint8(at);
    this.reads.read(at, 1);
    return value;
  }

  override getUint16(at: number, littleEndian?: boolean): number {
    const value = super.getUint16(at, littleEndian);
    this.reads.read(at, 2);
    return value;
  }

  override getUint32(at: number, littleEndian?: boolean): number {
    const value = super.getUint32(at, littleEndian);
    this.reads.read(at, 4);
    return value;
  }

  override getBigUint64(at: number, littleEndian?: boolean): bigint {
    const value = super.getBigUint64(at, littleEndian);
    this.reads.read(at, 8);
    return value;
  }
}

/** Makes the device's view of one region count (and flip): both of the ways it reads a region. */
export function countReads(memory: GuestMemory, slot: number, flip: boolean): ReadCounts {
  const bytes = memory.bytesOfSlot[slot]!;
  const view = new CountedView(bytes, flip);
  memory.viewOfSlot[slot] = view;
  memory.bytesOfSlot[slot] = new Proxy(bytes, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      const at = typeof key === 'string' ? Number(key) : Number.NaN;
      if (Number.isInteger(at)) view.reads.read(at, 1);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return view.reads;
}
