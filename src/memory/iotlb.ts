/**
 * The IOTLB of one worker: the translations that the front-end has sent, I/O virtual address → memory of a
 * region, in the shape in which the data path finds regions. A cache: what is not there is asked for, and
 * what has not been used for long goes when it is full. An entry that commands in flight use keeps its slot
 * until they have ended, whatever happens to the translation. Source: vhost-user.rst, "IOMMU support".
 */
import {
  VHOST_ACCESS_RO,
  VHOST_ACCESS_RW,
  VHOST_ACCESS_WO,
} from '../../protocol/vhost-user-payloads.ts';
import type { AddressTable, GuestMemory } from './guest-memory.ts';

export const ACCESS_READ = VHOST_ACCESS_RO;
export const ACCESS_WRITE = VHOST_ACCESS_WO;
export const ACCESS_BOTH = VHOST_ACCESS_RW;

/** Translations kept at once: 32 MiB in pages of 4 KiB, which front-ends use for most of a guest's memory. */
export const IOTLB_ENTRIES_MAX = 8192;
/** When it is full, so many of the oldest go at once: to look for them takes time. */
const EVICTED_AT_ONCE = IOTLB_ENTRIES_MAX / 8;

/** What is asked for, and what a hole is: the smallest page that an IOMMU has. */
export const IOTLB_PAGE_BYTES = 4096;

/** The entry that stands for a page without translation: its "host address" is the address itself. */
const HOLE = IOTLB_ENTRIES_MAX;
export const HOLE_SLOT = IOTLB_ENTRIES_MAX;

/** A translation as the front-end sends it; Numbers below 2^53, sums too. */
export interface IotlbUpdate {
  readonly iova: number;
  readonly sizeBytes: number;
  readonly userAddress: number;
  /** ACCESS_*. */
  readonly access: number;
}

/** A translation as the main thread has checked it: the bytes lie inside the region of `slot`. */
export interface Translation {
  readonly iova: number;
  readonly sizeBytes: number;
  readonly slot: number;
  readonly offsetBytes: number;
  /** ACCESS_*. */
  readonly access: number;
}

export class Iotlb implements AddressTable {
  /** Entries sorted by address, and the hole at the end. */
  readonly starts = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly ends = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly hosts = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly slots = new Uint16Array(IOTLB_ENTRIES_MAX + 1);
  count = 0;

  /** By slot of an entry: where it starts, in the address space of the driver and in this process. */
  readonly startOfSlot = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly hostOfSlot = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly viewOfSlot = new Array<DataView | null>(IOTLB_ENTRIES_MAX + 1).fill(null);
  readonly bytesOfSlot = new Array<Uint8Array | null>(IOTLB_ENTRIES_MAX + 1).fill(null);
  readonly accessOfSlot = new Uint8Array(IOTLB_ENTRIES_MAX + 1);
  /** Commands in flight that use the entry. */
  readonly usesOfSlot = new Uint32Array(IOTLB_ENTRIES_MAX + 1);

  /** Look-ups that found nothing since somebody set it to 0, and the address of the last. */
  misses = 0;
  missedAt = 0;

  readonly #memory: GuestMemory;
  readonly #regionOfSlot = new Uint16Array(IOTLB_ENTRIES_MAX + 1);
  readonly #endOfSlot = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly #ageOfSlot = new Float64Array(IOTLB_ENTRIES_MAX + 1);
  readonly #freeSlots: number[];
  /** Slots whose translation is gone and that commands in flight still use. */
  #lingering: number[] = [];
  #age = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
    this.#freeSlots = Array.from({ length: IOTLB_ENTRIES_MAX }, (_, i) => HOLE_SLOT - 1 - i);
    // Whoever walks into a hole reads zeroes there and finds out afterwards.
    const zeroes = new ArrayBuffer(IOTLB_PAGE_BYTES);
    this.slots[HOLE] = HOLE_SLOT;
    this.viewOfSlot[HOLE_SLOT] = new DataView(zeroes);
    this.bytesOfSlot[HOLE_SLOT] = new Uint8Array(zeroes);
  }

  /** Index of the entry that holds an address, or of the hole, which is then the page around it. */
  find(iova: number): number {
    const low = this.#firstEndingAfter(iova);
    return low < this.count && iova >= this.starts[low]! ? low : this.#hole(iova);
  }

  /** The same for what the device itself reads. */
  findReadable(iova: number): number {
    const index = this.find(iova);
    const readable = (this.accessOfSlot[this.slots[index]!]! & ACCESS_READ) !== 0;
    return index === HOLE || readable ? index : this.#hole(iova);
  }

  /** Copies bytes that may lie in several entries. False: one is missing, see `missedAt`. */
  copyOut(iova: number, target: Uint8Array, lengthBytes: number): boolean {
    for (let done = 0; done < lengthBytes; ) {
      const index = this.findReadable(iova + done);
      if (index === HOLE) return false;
      const from = iova + done - this.starts[index]!;
      const piece = Math.min(lengthBytes - done, this.ends[index]! - (iova + done));
      const bytes = this.bytesOfSlot[this.slots[index]!]!;
      for (let i = 0; i < piece; i++) target[done + i] = bytes[from + i]!;
      done += piece;
    }
    return true;
  }

  /**
   * A ring's place, or null when its pages are not all there or do not follow each other in one region.
   * A view of the first entry's memory may go on past its end then.
   */
  findUser(iova: number, sizeBytes: number): { slot: number; offsetBytes: number } | null {
    const first = this.find(iova);
    if (first === HOLE) return null;
    const slot = this.slots[first]!;
    const offsetBytes = iova - this.starts[first]!;
    const hostStart = this.hosts[first]! + offsetBytes;
    for (let index = first; this.ends[index]! < iova + sizeBytes; ) {
      const next = this.find(this.ends[index]!);
      if (next === HOLE) return null;
      const sameRegion = this.#regionOfSlot[this.slots[next]!] === this.#regionOfSlot[slot];
      const follows = this.hosts[next]! === hostStart + (this.starts[next]! - iova);
      if (!sameRegion || !follows) return null;
      index = next;
    }
    return { slot, offsetBytes };
  }

  /** The guest-physical address behind a place that `findUser` has found. */
  guestAddressOf(slot: number, offsetBytes: number): number {
    const region = this.#regionOfSlot[slot]!;
    const regionStart = this.#memory.hostOfSlot[region]!;
    return this.#memory.guestAddressOf(region, this.hostOfSlot[slot]! - regionStart + offsetBytes);
  }

  /** The pages of [iova, iova + sizeBytes) that are not known, or not for this access; at most `limit`. */
  missingPages(iova: number, sizeBytes: number, access: number, limit: number): number[] {
    const pages: number[] = [];
    const end = iova + sizeBytes;
    for (let at = iova; at < end && pages.length < limit; ) {
      const index = this.find(at);
      if ((this.accessOfSlot[this.slots[index]!]! & access) !== access) {
        const page = at - (at % IOTLB_PAGE_BYTES);
        pages.push(page);
        at = page + IOTLB_PAGE_BYTES;
      } else {
        at = this.ends[index]!;
      }
    }
    return pages;
  }

  /** Takes a translation in, in place of any that it overlaps. False: every slot is in use. */
  update({ iova, sizeBytes, slot: region, offsetBytes, access }: Translation): boolean {
    const bytes = this.#memory.bytesOfSlot[region];
    if (!bytes) return false;
    this.invalidate(iova, iova + sizeBytes);
    if (this.count === IOTLB_ENTRIES_MAX || this.#freeSlots.length === 0) this.#evict();
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return false;
    const at = bytes.byteOffset + offsetBytes;
    this.startOfSlot[slot] = iova;
    this.#endOfSlot[slot] = iova + sizeBytes;
    this.hostOfSlot[slot] = this.#memory.hostOfSlot[region]! + offsetBytes;
    this.viewOfSlot[slot] = new DataView(bytes.buffer, at, sizeBytes);
    this.bytesOfSlot[slot] = new Uint8Array(bytes.buffer, at, sizeBytes);
    this.accessOfSlot[slot] = access;
    this.usesOfSlot[slot] = 0;
    this.#regionOfSlot[slot] = region;
    this.#ageOfSlot[slot] = this.#age++;
    this.#insert(slot);
    return true;
  }

  /** Forgets what is known of [start, end). Commands in flight may still use it: see `isUsed`. */
  invalidate(start: number, end: number): void {
    const first = this.#firstEndingAfter(start);
    let after = first;
    while (after < this.count && this.starts[after]! < end) after++;
    this.#remove(first, after);
  }

  /** Forgets what lies in a region; nothing may be in flight there. */
  dropRegion(region: number): void {
    for (let index = this.count - 1; index >= 0; index--) {
      if (this.#regionOfSlot[this.slots[index]!] === region) this.#remove(index, index + 1);
    }
  }

  /** Whether commands in flight use what was forgotten of [start, end). */
  isUsed(start: number, end: number): boolean {
    return this.#lingering.some(
      (slot) => this.startOfSlot[slot]! < end && this.#endOfSlot[slot]! > start,
    );
  }

  hold(slot: number): void {
    this.usesOfSlot[slot]!++;
  }

  release(slot: number): void {
    if (--this.usesOfSlot[slot]! > 0 || this.#lingering.length === 0) return;
    const at = this.#lingering.indexOf(slot);
    if (at < 0) return;
    this.#lingering.splice(at, 1);
    this.#free(slot);
  }

  /** Makes the hole the page around an address, as far as no entry reaches into it. */
  #hole(iova: number): number {
    this.misses++;
    this.missedAt = iova;
    const start = iova - (iova % IOTLB_PAGE_BYTES);
    this.starts[HOLE] = start;
    this.ends[HOLE] = start + IOTLB_PAGE_BYTES;
    this.hosts[HOLE] = start;
    return HOLE;
  }

  #firstEndingAfter(iova: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (iova < this.ends[middle]!) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #insert(slot: number): void {
    const at = this.#firstEndingAfter(this.startOfSlot[slot]!);
    for (const column of [this.starts, this.ends, this.hosts, this.slots]) {
      column.copyWithin(at + 1, at, this.count);
    }
    this.starts[at] = this.startOfSlot[slot]!;
    this.ends[at] = this.#endOfSlot[slot]!;
    this.hosts[at] = this.hostOfSlot[slot]!;
    this.slots[at] = slot;
    this.count++;
  }

  #remove(first: number, after: number): void {
    if (after === first) return;
    for (let index = first; index < after; index++) {
      const slot = this.slots[index]!;
      if (this.usesOfSlot[slot]! > 0) this.#lingering.push(slot);
      else this.#free(slot);
    }
    for (const column of [this.starts, this.ends, this.hosts, this.slots]) {
      column.copyWithin(first, after, this.count);
    }
    this.count -= after - first;
  }

  #free(slot: number): void {
    this.viewOfSlot[slot] = null;
    this.bytesOfSlot[slot] = null;
    this.#freeSlots.push(slot);
  }

  /** Makes room: the oldest entries that no command uses. */
  #evict(): void {
    const unused = [...this.slots.subarray(0, this.count)].filter(
      (slot) => this.usesOfSlot[slot] === 0,
    );
    unused.sort((a, b) => this.#ageOfSlot[a]! - this.#ageOfSlot[b]!);
    for (const slot of unused.slice(0, EVICTED_AT_ONCE)) {
      const index = this.#firstEndingAfter(this.startOfSlot[slot]!);
      this.#remove(index, index + 1);
    }
  }
}
