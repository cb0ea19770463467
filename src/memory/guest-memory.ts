/**
 * Guest memory as the data path sees it: guest-physical (or front-end) address → region → host
 * address, and byte views for the few bytes that JavaScript itself reads or writes (headers, status,
 * rings, indirect tables). Addresses are Numbers below 2^53; nothing here allocates per request.
 * Only virtqueue/, blk/ and loop/ read through it, each byte once.
 */
import type { MappedRegion } from './region-table.ts';

/**
 * Pieces that the span of all regions is cut into. Every one knows its first region, so that a look-up
 * does not depend on how many there are: a guest's buffers lie all over its memory, and a search that
 * branches on random addresses costs a mispredicted jump a step (64 regions: 37 ns, this way 7).
 */
const BUCKETS = 4096;

/** Host memory as an ArrayBuffer: `koffi.view` in a worker, a plain buffer in tests. */
export type ViewHostMemory = (hostAddress: number, sizeBytes: number) => ArrayBuffer;

/** How the data path finds guest memory: by the regions, or by the IOTLB in front of them. */
export type AddressTable = Pick<
  GuestMemory,
  | 'starts'
  | 'ends'
  | 'hosts'
  | 'slots'
  | 'hostOfSlot'
  | 'viewOfSlot'
  | 'bytesOfSlot'
  | 'find'
  | 'findReadable'
  | 'copyOut'
  | 'findUser'
  | 'guestAddressOf'
>;

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
  /** By bucket, and one past the last: the first sorted region that ends after the bucket's start. */
  readonly #firstOfBucket = new Uint16Array(BUCKETS + 1);
  /** All regions lie in [base, base + span). */
  #base = 0;
  #span = 0;
  /** Buckets a byte: a power of two, so that the product is exact and the cut the same as in #cut. */
  #scale = 1;

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
   * Index (into starts, ends, hosts, slots) of the region that holds a guest address, or -1. One bucket
   * names one region nearly always; where small regions crowd beside a large gap, the few of a bucket
   * are searched by halves.
   */
  find(guestAddress: number): number {
    const offset = guestAddress - this.#base;
    if (!(offset >= 0 && offset < this.#span)) return -1;
    const bucket = (offset * this.#scale) | 0;
    let low = this.#firstOfBucket[bucket]!;
    let high = this.#firstOfBucket[bucket + 1]!;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (guestAddress < this.ends[middle]!) high = middle;
      else low = middle + 1;
    }
    return guestAddress >= this.starts[low]! ? low : -1;
  }

  /** The same for what the device itself reads: without an IOMMU all of memory is readable. */
  findReadable(guestAddress: number): number {
    return this.find(guestAddress);
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

  /** The guest address of a byte of a mapped region. Cold path. */
  guestAddressOf(slot: number, offsetBytes: number): number {
    return this.#regions.get(slot)!.guestAddress + offsetBytes;
  }

  #sort(): void {
    const sorted = [...this.#regions.values()].sort((a, b) => a.guestAddress - b.guestAddress);
    this.count = sorted.length;
    sorted.forEach((region, index) => {
      this.starts[index] = region.guestAddress;
      this.ends[index] = region.guestAddress + region.sizeBytes;
      this.hosts[index] = region.hostAddress;
      this.slots[index] = region.slot;
    });
    this.#cut();
  }

  /** Cuts the span of the regions into buckets. */
  #cut(): void {
    const last = this.count - 1;
    this.#base = last < 0 ? 0 : this.starts[0]!;
    this.#span = last < 0 ? 0 : this.ends[last]! - this.#base;
    let bucketBytes = 1;
    while (bucketBytes * BUCKETS < this.#span) bucketBytes *= 2;
    this.#scale = 1 / bucketBytes;
    let region = 0;
    for (let bucket = 0; bucket <= BUCKETS; bucket++) {
      const start = this.#base + bucket * bucketBytes;
      while (region < last && this.ends[region]! <= start) region++;
      this.#firstOfBucket[bucket] = region;
    }
  }
}
