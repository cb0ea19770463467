/**
 * One descriptor chain, copied out of guest memory into private arrays and reused for every request,
 * whatever the ring's layout. A field of a descriptor is read once; checks and use see the same copy.
 * Walking is bounded by the table it walks.
 * Source: virtio 1.3 §2.7.5 (descriptor table, indirect descriptors), §2.8.5–2.8.7 (packed lists).
 */
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  vringDesc,
  vringPackedDesc,
} from '../../protocol/virtio-ring.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
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

const { addr: DESC_ADDR, len: DESC_LEN, flags: DESC_FLAGS } = vringDesc.at;
const DESC_BYTES = vringDesc.sizeBytes;
/** `next` follows `flags`: one load takes both. In a packed descriptor it takes `id`, then `flags`. */
const HIGH_SHIFT = 8 * (vringDesc.at.next - DESC_FLAGS);
const PACKED_FLAGS_SHIFT = 8 * (vringPackedDesc.at.flags - vringPackedDesc.at.id);

/** A descriptor in the 32-bit units of `list`: address low and high, length, id and flags. */
export const LIST_WORDS = DESC_BYTES / 4;
export const LIST_LENGTH = vringPackedDesc.at.len / 4;
export const LIST_ID_FLAGS = vringPackedDesc.at.id / 4;

/**
 * Descriptors that one indirect table may hold. The spec's limit is the queue size (§2.7.5.3.1), but
 * Linux sizes its tables by SEG_MAX whatever the ring's size is, and QEMU takes up to 1024.
 */
export const INDIRECT_TABLE_MAX = 1024;

/** Pieces of a chain: a descriptor gives one more for each region border that it straddles. */
const SEGMENTS_MAX = 2 * INDIRECT_TABLE_MAX;

/** High halves of addresses from here on make a sum with a 32-bit length reach 2^53. */
const ADDRESS_HIGH_LIMIT = 0x1fffff;

/** The end of a walk at a descriptor that names an indirect table; other ends are 0 or a violation. */
const AT_INDIRECT = 1;

const TWO_TO_32 = 2 ** 32;

/** §2.7.5.2: no chain is longer than 2^32 bytes in total; used.len could not tell its length. */
const CHAIN_BYTES_MAX = TWO_TO_32;

export class DescriptorChain {
  /** What names the chain in the ring: the head's index, or a packed ring's buffer id. */
  head = 0;
  /** Segments in order: readable ones first, then writable ones. */
  segmentCount = 0;
  /** How many of them are device-readable. */
  readableCount = 0;
  readonly hostAddress: Float64Array;
  readonly lengthBytes: Float64Array;
  /** The memory slot that each segment lies in. */
  readonly slot: Uint16Array;
  /**
   * The descriptors of a packed ring that make up the chain, as the ring held them when it was taken;
   * used elements overwrite them there. `listCount` of them, LIST_WORDS each.
   */
  readonly list: Uint32Array;
  listCount = 0;

  readonly #listView: DataView;
  readonly #indirectBytes: Uint8Array;
  readonly #indirectView: DataView;
  #writableSeen = false;
  #totalBytes = 0;
  /** The table being walked: its bytes, and where in them the first entry is. */
  #table: DataView;
  #tableAt = 0;
  /** A packed table: every entry of it, in order, and no flag but WRITE means anything (§2.8.7). */
  #inOrder = false;
  /** The descriptor that names an indirect table, where it is and what its flags were when read. */
  #indirectAt = 0;
  #indirectFlags = 0;

  constructor(ringSize: number) {
    const segments = Math.max(SEGMENTS_MAX, 2 * ringSize);
    this.hostAddress = new Float64Array(segments);
    this.lengthBytes = new Float64Array(segments);
    this.slot = new Uint16Array(segments);
    this.list = new Uint32Array(LIST_WORDS * ringSize);
    this.#listView = new DataView(this.list.buffer);
    this.#indirectBytes = new Uint8Array(DESC_BYTES * Math.max(INDIRECT_TABLE_MAX, ringSize));
    this.#indirectView = new DataView(this.#indirectBytes.buffer);
    this.#table = this.#indirectView;
  }

  /**
   * Copies the chain that starts at `head` of a split ring's descriptor table of `ringSize` entries.
   * Answers 0, or the violation.
   */
  walk(
    memory: AddressTable,
    table: DataView,
    ringSize: number,
    head: number,
    indirectAllowed: boolean,
  ): number {
    this.#begin(head, table, false);
    const end = this.#walkTable(memory, ringSize, head);
    if (end !== AT_INDIRECT) return end;
    if (!indirectAllowed) return INDIRECT_NOT_NEGOTIATED;
    if ((this.#indirectFlags & VRING_DESC_F_NEXT) !== 0) return INDIRECT_WITH_NEXT;
    const count = this.#findTable(memory, table, Math.max(INDIRECT_TABLE_MAX, ringSize));
    if (count < 0) return count;
    const indirectEnd = this.#walkTable(memory, count, 0);
    return indirectEnd === AT_INDIRECT ? INDIRECT_NESTED : indirectEnd;
  }

  /**
   * The same for the chain that stands in `list`, of a packed ring of `ringSize` entries. A chain is
   * either one descriptor that names an indirect table or has no such descriptor (§2.8.5).
   */
  walkList(memory: AddressTable, ringSize: number, indirectAllowed: boolean): number {
    const { list, listCount } = this;
    const last = list[(listCount - 1) * LIST_WORDS + LIST_ID_FLAGS]!;
    this.#begin(last & 0xffff, this.#listView, true);
    let anyFlags = last;
    for (let i = 1; i < listCount; i++) anyFlags |= list[(i - 1) * LIST_WORDS + LIST_ID_FLAGS]!;
    if ((anyFlags & (VRING_DESC_F_INDIRECT << PACKED_FLAGS_SHIFT)) === 0) {
      return this.#walkTable(memory, listCount, 0);
    }
    if (!indirectAllowed) return INDIRECT_NOT_NEGOTIATED;
    if (listCount > 1) return INDIRECT_WITH_NEXT;
    this.#indirectAt = 0;
    const count = this.#findTable(memory, this.#listView, Math.max(INDIRECT_TABLE_MAX, ringSize));
    return count < 0 ? count : this.#walkTable(memory, count, 0);
  }

  #begin(head: number, table: DataView, inOrder: boolean): void {
    this.head = head;
    this.segmentCount = 0;
    this.readableCount = 0;
    this.#writableSeen = false;
    this.#totalBytes = 0;
    this.#table = table;
    this.#tableAt = 0;
    this.#inOrder = inOrder;
  }

  /**
   * Adds the buffers that `count` entries from `first` on name, each split where it crosses from one
   * memory region into the next; all of them, if they are in order. Runs for each segment of each
   * request: what it needs is in locals.
   */
  #walkTable(memory: AddressTable, count: number, first: number): number {
    const { hostAddress, lengthBytes, slot } = this;
    const table = this.#table;
    const tableAt = this.#tableAt;
    const inOrder = this.#inOrder;
    let segments = this.segmentCount;
    let totalBytes = this.#totalBytes;
    let writableSeen = this.#writableSeen;
    // The region of the address before; none at first.
    let start = 0;
    let end = 0;
    let toHost = 0;
    let regionSlot = 0;
    let index = first;
    for (let budget = count; budget > 0; budget--) {
      const at = tableAt + index * DESC_BYTES;
      const word = table.getUint32(at + DESC_FLAGS, true);
      const flags = inOrder ? word >>> PACKED_FLAGS_SHIFT : word;
      if ((flags & VRING_DESC_F_INDIRECT) !== 0 && !inOrder) {
        this.#totalBytes = totalBytes;
        this.#writableSeen = writableSeen;
        this.#indirectAt = at;
        this.#indirectFlags = flags;
        return AT_INDIRECT;
      }
      const high = table.getUint32(at + DESC_ADDR + 4, true);
      let address = high * TWO_TO_32 + table.getUint32(at + DESC_ADDR, true);
      let remaining = table.getUint32(at + DESC_LEN, true);
      if ((flags & VRING_DESC_F_WRITE) !== 0) writableSeen = true;
      else if (writableSeen) return CHAIN_READABLE_AFTER_WRITABLE;
      // A zero-length buffer touches nothing, whatever its address says; it has used up budget.
      if (remaining > 0 && high >= ADDRESS_HIGH_LIMIT) return CHAIN_ADDRESS_TOO_LARGE;
      totalBytes += remaining;
      if (totalBytes > CHAIN_BYTES_MAX) return CHAIN_TOO_LONG;
      while (remaining > 0) {
        if (address < start || address >= end) {
          const region = memory.find(address);
          if (region < 0) return CHAIN_ADDRESS_UNMAPPED;
          start = memory.starts[region]!;
          end = memory.ends[region]!;
          toHost = memory.hosts[region]! - start;
          regionSlot = memory.slots[region]!;
        }
        if (segments === hostAddress.length) return CHAIN_TOO_LONG;
        const piece = Math.min(remaining, end - address);
        hostAddress[segments] = address + toHost;
        lengthBytes[segments] = piece;
        slot[segments++] = regionSlot;
        address += piece;
        remaining -= piece;
      }
      this.segmentCount = segments;
      if (!writableSeen) this.readableCount = segments;
      if (inOrder) index++;
      else if ((flags & VRING_DESC_F_NEXT) === 0) return 0;
      else index = word >>> HIGH_SHIFT;
      if (index >= count && !inOrder) return CHAIN_NEXT_OUT_OF_RANGE;
    }
    return inOrder ? 0 : CHAIN_TOO_LONG;
  }

  /**
   * Finds the table that an indirect descriptor of the ring names: how many entries it has, or the
   * violation. The WRITE flag of that descriptor is ignored (§2.7.5.3, §2.8.7).
   */
  #findTable(memory: AddressTable, ring: DataView, limit: number): number {
    const at = this.#indirectAt;
    const lengthBytes = ring.getUint32(at + DESC_LEN, true);
    const count = lengthBytes / DESC_BYTES;
    if (count < 1 || count > limit || !Number.isInteger(count)) return INDIRECT_LENGTH;
    const high = ring.getUint32(at + DESC_ADDR + 4, true);
    if (high >= ADDRESS_HIGH_LIMIT) return CHAIN_ADDRESS_TOO_LARGE;
    const address = high * TWO_TO_32 + ring.getUint32(at + DESC_ADDR, true);

    // The table is read in place when one region holds it (each field once, into locals), and
    // gathered into private memory when it straddles regions.
    const region = memory.findReadable(address);
    if (region < 0) return INDIRECT_UNMAPPED;
    this.#table = memory.viewOfSlot[memory.slots[region]!]!;
    this.#tableAt = address - memory.starts[region]!;
    if (address + lengthBytes > memory.ends[region]!) {
      if (!memory.copyOut(address, this.#indirectBytes, lengthBytes)) return INDIRECT_UNMAPPED;
      this.#table = this.#indirectView;
      this.#tableAt = 0;
    }
    return count;
  }
}
