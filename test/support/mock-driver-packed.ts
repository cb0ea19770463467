/**
 * The driver side of a packed virtqueue behind the same calls as the split one (mock-driver.ts): chains
 * get a buffer id when they are written and places in the ring when they are offered. Its arithmetic is
 * the spec's, an index and a wrap counter, and shares nothing with the device's. `raw*` methods write
 * what no driver should. Source: virtio 1.3 §2.8.21, §2.8.22 and the driver requirements of §2.8.
 */
import {
  VIRTQUEUE_SIZE_MAX,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_PACKED_EVENT_FLAG_DESC,
  VRING_PACKED_EVENT_FLAG_DISABLE,
  VRING_PACKED_EVENT_FLAG_ENABLE,
  vringPackedDesc,
  vringPackedDescEvent,
  vringPackedRingBytes,
} from '../../protocol/virtio-ring.ts';
import type { ChainOptions, DriverBuffer, RingDriver, UsedElement } from './mock-driver.ts';
import type { GuestRam } from './mock-driver-memory.ts';
import type { RingPlace } from './mock-driver-ring.ts';

export const AVAIL = 1 << 7;
export const USED = 1 << 15;
const WRAP = 1 << 15;
const DESC_BYTES = vringPackedDesc.sizeBytes;

/** A packed descriptor field by field: any value, however wrong. */
export interface RawPackedDescriptor {
  readonly address?: number | bigint;
  readonly lengthBytes?: number;
  readonly id?: number;
  readonly flags?: number;
}

/** An index in the ring and the wrap counter that goes with it. */
export interface RingSpot {
  readonly index: number;
  readonly wrap: boolean;
}

export interface PackedDriverOptions {
  readonly size: number;
  readonly place: RingPlace;
  readonly eventIdx?: boolean;
  /** Where the ring starts: what SET_VRING_BASE has to say. */
  readonly base?: number;
}

/** Both indices at 0, both wrap counters 1. */
export const PACKED_BASE = 0x8000_8000;

/** The customary layout: descriptor ring, driver area, device area. */
export function packedRingPlace(start: number, size: number): RingPlace & { readonly end: number } {
  const avail = start + vringPackedRingBytes(size);
  const used = avail + vringPackedDescEvent.sizeBytes;
  return { desc: start, avail, used, end: used + vringPackedDescEvent.sizeBytes };
}

export function encodePacked(descriptor: RawPackedDescriptor): Uint8Array {
  const { address = 0, lengthBytes = 0, id = 0, flags = 0 } = descriptor;
  const view = new DataView(new ArrayBuffer(DESC_BYTES));
  view.setBigUint64(vringPackedDesc.at.addr, BigInt(address), true);
  view.setUint32(vringPackedDesc.at.len, lengthBytes, true);
  view.setUint16(vringPackedDesc.at.id, id, true);
  view.setUint16(vringPackedDesc.at.flags, flags, true);
  return new Uint8Array(view.buffer);
}

/** The 32-bit number of SET_VRING_BASE. */
export function packedBase(avail: RingSpot, used: RingSpot = avail): number {
  return wrapped(avail) + wrapped(used) * 0x1_0000;
}

function wrapped({ index, wrap }: RingSpot): number {
  return index + (wrap ? WRAP : 0);
}

function spotOf(word: number): RingSpot {
  return { index: word & (WRAP - 1), wrap: (word & WRAP) !== 0 };
}

export class PackedMockDriver implements RingDriver {
  readonly ram: GuestRam;
  readonly size: number;
  readonly place: RingPlace;
  readonly eventIdx: boolean;
  usedHead = 0;
  usedLengthBytes = 0;
  freeCount: number;

  readonly #ring: DataView;
  readonly #ring16: Uint16Array;
  readonly #driverEvent: Uint16Array;
  readonly #deviceEvent: Uint16Array;
  readonly #freeIds: number[];
  /** By id: the descriptors of its chain, without the flags of a lap. */
  readonly #chains = new Map<number, readonly RawPackedDescriptor[]>();
  #avail: RingSpot;
  #used: RingSpot;
  /** The first descriptor that the device may not see yet, and its flags. */
  #hidden: { spot: RingSpot; flags: number } | null = null;
  #offeredCount = 0;

  constructor(
    ram: GuestRam,
    { size, place, eventIdx = false, base = PACKED_BASE }: PackedDriverOptions,
  ) {
    if (size < 1 || size > VIRTQUEUE_SIZE_MAX) throw new Error(`ring size ${size}`);
    this.ram = ram;
    this.size = size;
    this.place = place;
    this.eventIdx = eventIdx;
    const part = (address: number, sizeBytes: number) => {
      const { region, at } = ram.place(address, sizeBytes);
      return { buffer: region.bytes.buffer, at: region.bytes.byteOffset + at };
    };
    const ring = part(place.desc, vringPackedRingBytes(size));
    const driver = part(place.avail, vringPackedDescEvent.sizeBytes);
    const device = part(place.used, vringPackedDescEvent.sizeBytes);
    this.#ring = new DataView(ring.buffer, ring.at, vringPackedRingBytes(size));
    this.#ring16 = new Uint16Array(ring.buffer, ring.at, vringPackedRingBytes(size) / 2);
    this.#driverEvent = new Uint16Array(driver.buffer, driver.at, 2);
    this.#deviceEvent = new Uint16Array(device.buffer, device.at, 2);
    this.#freeIds = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.freeCount = size;
    this.#avail = spotOf(base & 0xffff);
    this.#used = spotOf(base >>> 16);
    this.#ring16.fill(0);
    // A ring that starts elsewhere has been used up to there in this lap, and whole in the last one.
    for (let index = 0; index < size; index++) {
      const lap = index < this.#used.index ? this.#used.wrap : !this.#used.wrap;
      this.#setFlags(index, lap ? AVAIL | USED : 0);
    }
    this.#driverEvent.fill(0);
    this.#deviceEvent.fill(0);
    if (eventIdx) this.armCalls();
  }

  get userPlace(): RingPlace {
    const { desc, avail, used } = this.place;
    return {
      desc: this.ram.userAddress(desc),
      avail: this.ram.userAddress(avail),
      used: this.ram.userAddress(used),
    };
  }

  /** Where the next descriptor goes. */
  get avail(): RingSpot {
    return this.#avail;
  }

  /** Where the next used descriptor is expected. */
  get used(): RingSpot {
    return this.#used;
  }

  get usedIdx(): number {
    return this.#used.index;
  }

  /** The device's event structure: offset with wrap counter, flags. */
  get deviceEvent(): { readonly spot: RingSpot; readonly flags: number } {
    return { spot: spotOf(this.#deviceEvent[0]!), flags: this.#deviceEvent[1]! };
  }

  addChain(buffers: readonly DriverBuffer[], options: ChainOptions = {}): number {
    const id = this.writeChain(buffers, options);
    this.offer(id);
    return id;
  }

  /** Keeps a chain for `offer`; an indirect table is written at once. Throws when there is no room. */
  writeChain(
    buffers: readonly DriverBuffer[],
    { indirectAt, directCount }: ChainOptions = {},
  ): number {
    if (directCount !== undefined) throw new Error('a packed list mixes no kinds (§2.8.5)');
    if (buffers.length === 0) throw new Error('a chain has at least one descriptor');
    const list = buffers.map((buffer, i) => ({
      address: buffer.address,
      lengthBytes: buffer.lengthBytes,
      flags:
        (buffer.writable ? VRING_DESC_F_WRITE : 0) |
        (i + 1 < buffers.length && indirectAt === undefined ? VRING_DESC_F_NEXT : 0),
    }));
    if (indirectAt !== undefined) this.rawTable(indirectAt, list);
    const lengthBytes = list.length * DESC_BYTES;
    const inRing =
      indirectAt === undefined
        ? list
        : [{ address: indirectAt, lengthBytes, flags: VRING_DESC_F_INDIRECT }];
    if (inRing.length > this.freeCount) {
      throw new Error(`${inRing.length} descriptors, ${this.freeCount} free`);
    }
    const id = this.#freeIds.pop()!;
    this.#chains.set(id, inRing);
    this.freeCount -= inRing.length;
    return id;
  }

  /** Puts a chain that is written into the ring; its first descriptor is there after `publish`. */
  offer(id: number): void {
    const list = this.#chains.get(id);
    if (list === undefined) throw new Error(`id ${id} is no chain`);
    let first: { spot: RingSpot; flags: number } | null = null;
    for (const descriptor of list) {
      const spot = this.#avail;
      const flags = (descriptor.flags ?? 0) | (spot.wrap ? AVAIL : USED);
      this.rawDescriptor(spot.index, { ...descriptor, id, flags: this.#flagsAt(spot.index) });
      if (first === null) first = { spot, flags };
      else this.#setFlags(spot.index, flags);
      this.#avail = this.#after(spot, 1);
      this.#offeredCount++;
    }
    if (this.#hidden === null) this.#hidden = first;
    else this.#setFlags(first!.spot.index, first!.flags);
  }

  /** Makes what was offered visible. True: the device wants a kick (§2.8.21.3). */
  publish(): boolean {
    const hidden = this.#hidden;
    if (hidden === null) return false;
    const count = this.#offeredCount;
    this.#hidden = null;
    this.#offeredCount = 0;
    this.#setFlags(hidden.spot.index, hidden.flags);
    const flags = Atomics.load(this.#deviceEvent, 1);
    if (flags !== VRING_PACKED_EVENT_FLAG_DESC) return flags !== VRING_PACKED_EVENT_FLAG_DISABLE;
    const wanted = spotOf(Atomics.load(this.#deviceEvent, 0));
    let spot = hidden.spot;
    for (let i = 0; i < count; i++) {
      if (spot.index === wanted.index && spot.wrap === wanted.wrap) return true;
      spot = this.#after(spot, 1);
    }
    return false;
  }

  /** Takes the next used descriptor into usedHead and usedLengthBytes. False: there is none. */
  nextUsed(): boolean {
    const { index } = this.#used;
    if (!this.#isUsed()) return false;
    const at = index * DESC_BYTES;
    this.usedHead = this.#ring.getUint16(at + vringPackedDesc.at.id, true);
    const written = (this.#flagsAt(index) & VRING_DESC_F_WRITE) !== 0;
    this.usedLengthBytes = written ? this.#ring.getUint32(at + vringPackedDesc.at.len, true) : 0;
    // `free` refuses an id that nobody gave; there is no telling how much of the ring it covers.
    const skipped = this.#chains.get(this.usedHead)?.length ?? 1;
    this.#used = this.#after(this.#used, skipped);
    return true;
  }

  collect(): UsedElement[] {
    const elements: UsedElement[] = [];
    while (this.nextUsed()) {
      elements.push({ head: this.usedHead, lengthBytes: this.usedLengthBytes });
      this.free(this.usedHead);
    }
    return elements;
  }

  free(id: number): void {
    const list = this.#chains.get(id);
    if (list === undefined) throw new Error(`used descriptor names id ${id}, not in use`);
    this.#chains.delete(id);
    this.#freeIds.push(id);
    this.freeCount += list.length;
  }

  isInUse(id: number): boolean {
    return this.#chains.has(id);
  }

  suppressCalls(): void {
    this.rawDriverEvent(0, VRING_PACKED_EVENT_FLAG_DISABLE);
  }

  armCalls(): boolean {
    if (this.eventIdx) this.rawDriverEvent(wrapped(this.#used), VRING_PACKED_EVENT_FLAG_DESC);
    else this.rawDriverEvent(0, VRING_PACKED_EVENT_FLAG_ENABLE);
    return this.#isUsed();
  }

  /** What the device reads of the driver's wish for calls: any two 16-bit numbers. */
  rawDriverEvent(offWrap: number, flags: number): void {
    Atomics.store(this.#driverEvent, 0, offWrap);
    Atomics.store(this.#driverEvent, 1, flags);
  }

  /** Any descriptor of the ring, any field. Fields left out become 0. */
  rawDescriptor(index: number, descriptor: RawPackedDescriptor): void {
    this.ram.write(this.place.desc + index * DESC_BYTES, encodePacked(descriptor));
  }

  /** Any descriptors from a guest address on: an indirect table, or the whole ring. */
  rawTable(address: number, descriptors: readonly RawPackedDescriptor[]): void {
    for (const [index, descriptor] of descriptors.entries()) {
      this.ram.write(address + index * DESC_BYTES, encodePacked(descriptor));
    }
  }

  /**
   * A chain of any descriptors at the next places, visible at once; AVAIL or USED is flipped in its
   * flags. It is remembered by the id of its last descriptor, unless that one is in use.
   */
  rawChain(descriptors: readonly RawPackedDescriptor[]): void {
    const spots = descriptors.map((_, i) => this.#after(this.#avail, i));
    for (const [i, descriptor] of [...descriptors.entries()].reverse()) {
      const { index, wrap } = spots[i]!;
      this.rawDescriptor(index, {
        ...descriptor,
        flags: (descriptor.flags ?? 0) ^ (wrap ? AVAIL : USED),
      });
    }
    this.#avail = this.#after(this.#avail, descriptors.length);
    const id = descriptors.at(-1)?.id ?? 0;
    if (this.#chains.has(id)) return;
    this.#chains.set(id, descriptors);
    this.freeCount -= descriptors.length;
    if (this.#freeIds.includes(id)) this.#freeIds.splice(this.#freeIds.indexOf(id), 1);
  }

  #after({ index, wrap }: RingSpot, count: number): RingSpot {
    const next = index + count;
    return { index: next % this.size, wrap: Math.floor(next / this.size) % 2 === 0 ? wrap : !wrap };
  }

  #isUsed(): boolean {
    const { index, wrap } = this.#used;
    return (this.#flagsAt(index) & (AVAIL | USED)) === (wrap ? AVAIL | USED : 0);
  }

  #flagsAt(index: number): number {
    return Atomics.load(this.#ring16, (index * DESC_BYTES + vringPackedDesc.at.flags) / 2);
  }

  #setFlags(index: number, flags: number): void {
    Atomics.store(this.#ring16, (index * DESC_BYTES + vringPackedDesc.at.flags) / 2, flags);
  }
}
