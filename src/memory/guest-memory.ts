/**
 * Guest memory as the data path sees it: guest-physical (or front-end) address → region → host
 * address, and byte views for the few bytes that JavaScript itself reads or writes (headers, status,
 * rings, indirect tables). Addresses are Numbers below 2^53; nothing here allocates per request.
 * Only virtqueue/, blk/ and loop/ read through it, each byte once.
 */
import type { MappedRegion } from './region-table.ts';

/** Host memory as an ArrayBuffer: `koffi.view` in a worker, a plain buffer in tests. */
export type ViewHostMemory = (hostAddress: number, sizeBytes: number) => ArrayBuffer;

export class GuestMemory {
  /** Regions sorted by guest address: [start, end) and the host address of start. */
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly hosts: Float64Array;
  /** The slot of the sorted region: names it for as long as it is mapped. */
  readonly slots: Uint16Array;
  /** By slot: where the region is mapped and how JavaScript reads it. */
  readonly hostOfSlot: Float64Array;
  readonly viewOfSlot: Array<DataView | null>;
  readonly bytesOfSlot: Array<Uint8Array | null>;
  count = 0;

  readonly #viewHostMemory: ViewHostMemory;
  readonly #regions = new Map<number, MappedRegion>();
  #last = 0;

  constructor(slotCount: number, viewHostMemory: ViewHostMemory) {
    this.starts = new Float64Array(slotCount);
    this.ends = new Float64Array(slotCount);
    this.hosts = new Float64Array(slotCount);
    this.slots = new Uint16Array(slotCount);
    this.hostOfSlot = new Float64Array(slotCount);
    this.viewOfSlot = new Array<DataView | null>(slotCount).fill(null);
    this.bytesOfSlot = new Array<Uint8Array | null>(slotCount).fill(null);
    this.#viewHostMemory = viewHostMemory;
  }

  /** Adds mapped regions; the caller has checked that they do not overlap. */
  add(regions: readonly MappedRegion[]): void {
    for (const region of regions) {
      const buffer = this.#viewHostMemory(region.hostAddress, region.sizeBytes);
      this.#regions.set(region.slot, region);
      this.hostOfSlot[region.slot] = region.hostAddress;
      this.viewOfSlot[region.slot] = new DataView(buffer, 0, region.sizeBytes);
      this.bytesOfSlot[region.slot] = new Uint8Array(buffer, 0, region.sizeBytes);
    }
    this.#sort();
  }

  /** Forgets regions. No view may be used after this: the caller unmaps them next. */
  remove(slots: readonly number[]): void {
    for (const slot of slots) {
      this.#regions.delete(slot);
      this.viewOfSlot[slot] = null;
      this.bytesOfSlot[slot] = null;
      this.hostOfSlot[slot] = 0;
    }
    this.#sort();
  }

  /**
   * Index (into starts, ends, hosts, slots) of the region that holds a guest address, or -1.
   * The last hit is tried first: a guest's buffers come from one region nearly always.
   */
  find(guestAddress: number): number {
    const last = this.#last;
    if (last < this.count && guestAddress >= this.starts[last]! && guestAddress < this.ends[last]!)
      return last;
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (guestAddress < this.starts[middle]!) high = middle - 1;
      else if (guestAddress >= this.ends[middle]!) low = middle + 1;
      else {
        this.#last = middle;
        return middle;
      }
    }
    return -1;
  }

  /** Copies guest bytes, which may straddle regions, into `target`. False when any is unmapped. */
  copyOut(guestAddress: number, target: Uint8Array, lengthBytes: number): boolean {
    for (let done = 0; done < lengthBytes; done++) {
      const index = this.find(guestAddress + done);
      if (index < 0) return false;
      const bytes = this.bytesOfSlot[this.slots[index]!]!;
      target[done] = bytes[guestAddress + done - this.starts[index]!]!;
    }
    return true;
  }

  /**
   * The region slot and offset of a range given in front-end addresses (rings), or null when the
   * range is not wholly inside one region. Cold path: used when a vring starts.
   */
  findUser(userAddress: number, sizeBytes: number): { slot: number; offsetBytes: number } | null {
    for (const region of this.#regions.values()) {
      const offsetBytes = userAddress - region.userAddress;
      if (offsetBytes >= 0 && offsetBytes + sizeBytes <= region.sizeBytes) {
        return { slot: region.slot, offsetBytes };
      }
    }
    return null;
  }

  #sort(): void {
    const sorted = [...this.#regions.values()].sort((a, b) => a.guestAddress - b.guestAddress);
    this.count = sorted.length;
    this.#last = 0;
    sorted.forEach((region, index) => {
      this.starts[index] = region.guestAddress;
      this.ends[index] = region.guestAddress + region.sizeBytes;
      this.hosts[index] = region.hostAddress;
      this.slots[index] = region.slot;
    });
  }
}
