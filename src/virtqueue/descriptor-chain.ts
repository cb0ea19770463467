/**
 * One descriptor chain, copied out of guest memory into private arrays and reused for every request.
 * A field of a descriptor is read once; checks and use see the same copy. Walking is bounded by the
 * table it walks. Source: virtio 1.3 §2.7.5 (descriptor table, indirect descriptors).
 */
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  vringDesc,
} from '../../protocol/virtio-ring.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import {
  CHAIN_ADDRESS_TOO_LARGE,
  CHAIN_ADDRESS_UNMAPPED,
  CHAIN_NEXT_OUT_OF_RANGE,
  CHAIN_READABLE_AFTER_WRITABLE,
  CHAIN_TOO_LONG,
  INDIRECT_LENGTH,
  INDIRECT_NESTED,
  INDIRECT_NOT_NEGOTIATED,
  INDIRECT_UNMAPPED,
  INDIRECT_WITH_NEXT,
} from './ring-violation.ts';

const { addr: DESC_ADDR, len: DESC_LEN, flags: DESC_FLAGS, next: DESC_NEXT } = vringDesc.at;
const DESC_BYTES = vringDesc.sizeBytes;

/**
 * Descriptors that one indirect table may hold. The spec's limit is the queue size (§2.7.5.3.1), but
 * Linux sizes its tables by SEG_MAX whatever the ring's size is, and QEMU takes up to 1024.
 */
export const INDIRECT_TABLE_MAX = 1024;

/** Pieces of a chain: a descriptor gives one more for each region border that it straddles. */
const SEGMENTS_MAX = 2 * INDIRECT_TABLE_MAX;

/** High halves of addresses from here on make a sum with a 32-bit length reach 2^53. */
const ADDRESS_HIGH_LIMIT = 0x1fffff;

const TWO_TO_32 = 2 ** 32;

/** §2.7.5.2: no chain is longer than 2^32 bytes in total; used.len could not tell its length. */
const CHAIN_BYTES_MAX = TWO_TO_32;

export class DescriptorChain {
  head = 0;
  /** Segments in order: readable ones first, then writable ones. */
  segmentCount = 0;
  /** How many of them are device-readable. */
  readableCount = 0;
  readonly hostAddress: Float64Array;
  readonly lengthBytes: Float64Array;
  /** The memory slot that each segment lies in. */
  readonly slot: Uint16Array;

  readonly #indirectBytes: Uint8Array;
  readonly #indirectView: DataView;
  #writableSeen = false;
  #totalBytes = 0;

  constructor(ringSize: number) {
    const segments = Math.max(SEGMENTS_MAX, 2 * ringSize);
    this.hostAddress = new Float64Array(segments);
    this.lengthBytes = new Float64Array(segments);
    this.slot = new Uint16Array(segments);
    this.#indirectBytes = new Uint8Array(DESC_BYTES * Math.max(INDIRECT_TABLE_MAX, ringSize));
    this.#indirectView = new DataView(this.#indirectBytes.buffer);
  }

  /**
   * Copies the chain that starts at `head` of a descriptor table of `ringSize` entries.
   * Answers 0, or the violation.
   */
  walk(
    memory: GuestMemory,
    table: DataView,
    ringSize: number,
    head: number,
    indirectAllowed: boolean,
  ): number {
    this.head = head;
    this.segmentCount = 0;
    this.readableCount = 0;
    this.#writableSeen = false;
    this.#totalBytes = 0;
    let index = head;
    for (let budget = ringSize; budget > 0; budget--) {
      const at = index * DESC_BYTES;
      const flags = table.getUint16(at + DESC_FLAGS, true);
      if ((flags & VRING_DESC_F_INDIRECT) !== 0) {
        if (!indirectAllowed) return INDIRECT_NOT_NEGOTIATED;
        if ((flags & VRING_DESC_F_NEXT) !== 0) return INDIRECT_WITH_NEXT;
        return this.#walkIndirect(memory, table, at, Math.max(INDIRECT_TABLE_MAX, ringSize));
      }
      const failure = this.#append(memory, table, at, flags);
      if (failure < 0) return failure;
      if ((flags & VRING_DESC_F_NEXT) === 0) return 0;
      index = table.getUint16(at + DESC_NEXT, true);
      if (index >= ringSize) return CHAIN_NEXT_OUT_OF_RANGE;
    }
    return CHAIN_TOO_LONG;
  }

  /** §2.7.5.3: the WRITE flag of the descriptor that names the table is ignored. */
  #walkIndirect(memory: GuestMemory, table: DataView, at: number, limit: number): number {
    const lengthBytes = table.getUint32(at + DESC_LEN, true);
    const count = lengthBytes / DESC_BYTES;
    if (count < 1 || count > limit || !Number.isInteger(count)) return INDIRECT_LENGTH;
    const high = table.getUint32(at + DESC_ADDR + 4, true);
    if (high >= ADDRESS_HIGH_LIMIT) return CHAIN_ADDRESS_TOO_LARGE;
    const address = high * TWO_TO_32 + table.getUint32(at + DESC_ADDR, true);

    // The table is read in place when one region holds it (each field once, into locals), and
    // gathered into private memory when it straddles regions.
    const region = memory.find(address);
    if (region < 0) return INDIRECT_UNMAPPED;
    let view = memory.viewOfSlot[memory.slots[region]!]!;
    let base = address - memory.starts[region]!;
    if (address + lengthBytes > memory.ends[region]!) {
      if (!memory.copyOut(address, this.#indirectBytes, lengthBytes)) return INDIRECT_UNMAPPED;
      view = this.#indirectView;
      base = 0;
    }
    let index = 0;
    for (let budget = count; budget > 0; budget--) {
      const entry = base + index * DESC_BYTES;
      const flags = view.getUint16(entry + DESC_FLAGS, true);
      if ((flags & VRING_DESC_F_INDIRECT) !== 0) return INDIRECT_NESTED;
      const failure = this.#append(memory, view, entry, flags);
      if (failure < 0) return failure;
      if ((flags & VRING_DESC_F_NEXT) === 0) return 0;
      index = view.getUint16(entry + DESC_NEXT, true);
      if (index >= count) return CHAIN_NEXT_OUT_OF_RANGE;
    }
    return CHAIN_TOO_LONG;
  }

  /** Adds one buffer, split where it crosses from one memory region into the next. */
  #append(memory: GuestMemory, view: DataView, at: number, flags: number): number {
    const high = view.getUint32(at + DESC_ADDR + 4, true);
    const low = view.getUint32(at + DESC_ADDR, true);
    let remaining = view.getUint32(at + DESC_LEN, true);
    if ((flags & VRING_DESC_F_WRITE) !== 0) this.#writableSeen = true;
    else if (this.#writableSeen) return CHAIN_READABLE_AFTER_WRITABLE;
    // A zero-length buffer touches nothing, whatever its address says; it has used up budget.
    if (remaining === 0) return 0;
    if (high >= ADDRESS_HIGH_LIMIT) return CHAIN_ADDRESS_TOO_LARGE;
    this.#totalBytes += remaining;
    if (this.#totalBytes > CHAIN_BYTES_MAX) return CHAIN_TOO_LONG;
    let address = high * TWO_TO_32 + low;
    while (remaining > 0) {
      const region = memory.find(address);
      if (region < 0) return CHAIN_ADDRESS_UNMAPPED;
      const room = memory.ends[region]! - address;
      const piece = Math.min(remaining, room);
      const segment = this.segmentCount;
      if (segment === this.hostAddress.length) return CHAIN_TOO_LONG;
      this.hostAddress[segment] = memory.hosts[region]! + (address - memory.starts[region]!);
      this.lengthBytes[segment] = piece;
      this.slot[segment] = memory.slots[region]!;
      this.segmentCount = segment + 1;
      if (!this.#writableSeen) this.readableCount = segment + 1;
      address += piece;
      remaining -= piece;
    }
    return 0;
  }
}
