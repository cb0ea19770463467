/**
 * The driver side of a split virtqueue, complete and reusable: descriptor chains, indirect tables,
 * the avail ring, kick decisions, the used ring, notification suppression. It works on guest memory
 * that somebody else provides (see mock-driver-memory.ts) and decides nothing about where buffers lie.
 * `raw*` methods write what no driver should. Nothing in offer/publish/nextUsed allocates, so a load
 * generator can write its chains once and offer them again and again.
 * Source: virtio 1.3 §2.7.13, §2.7.14 and the driver requirements of §2.7.
 */
import {
  VIRTQUEUE_SIZE_MAX,
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
  vringAvailBytes,
  vringDesc,
  vringDescTableBytes,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';
import type { GuestRam } from './mock-driver-memory.ts';
import { encodeDescriptor, type RawDescriptor, type RingPlace } from './mock-driver-ring.ts';

/** One buffer of a chain, as the driver thinks of it. */
export interface DriverBuffer {
  readonly address: number;
  readonly lengthBytes: number;
  /** Device-writable. */
  readonly writable?: boolean;
}

export interface UsedElement {
  readonly head: number;
  readonly lengthBytes: number;
}

export interface MockDriverOptions {
  readonly size: number;
  readonly place: RingPlace;
  readonly eventIdx?: boolean;
  /** Where both indices start; also what SET_VRING_BASE has to say. Written to the rings. */
  readonly base?: number;
}

export interface ChainOptions {
  /** Guest address of an indirect table (16 bytes a buffer) to be written and used. */
  readonly indirectAt?: number;
  /** With indirectAt: how many leading buffers stay in the ring, before the table (§2.7.5.3.2). */
  readonly directCount?: number;
}

/** What drivers of both layouts can do; mock-driver-packed.ts has the other one. */
export interface RingDriver {
  readonly size: number;
  readonly place: RingPlace;
  readonly userPlace: RingPlace;
  readonly eventIdx: boolean;
  readonly freeCount: number;
  readonly usedHead: number;
  readonly usedLengthBytes: number;
  /** Where the next used element is, for messages. */
  readonly usedIdx: number;
  addChain(buffers: readonly DriverBuffer[], options?: ChainOptions): number;
  writeChain(buffers: readonly DriverBuffer[], options?: ChainOptions): number;
  offer(head: number): void;
  publish(): boolean;
  nextUsed(): boolean;
  collect(): UsedElement[];
  free(head: number): void;
  isInUse(head: number): boolean;
  suppressCalls(): void;
  armCalls(): boolean;
}

const FLAGS = 0;
const IDX = 1;
const RING = 2;
const END_OF_FREE = 0xffff;

export class MockDriver implements RingDriver {
  readonly ram: GuestRam;
  readonly size: number;
  readonly place: RingPlace;
  readonly eventIdx: boolean;
  /** The element that `nextUsed` found. */
  usedHead = 0;
  usedLengthBytes = 0;
  freeCount: number;

  readonly #desc: DataView;
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #used32: Uint32Array;
  /** Free descriptors as a list through this array, as Linux keeps it; also the length of chains. */
  readonly #nextFree: Uint16Array;
  readonly #chainLength: Uint16Array;
  #freeHead = 0;
  #availIdx: number;
  #publishedIdx: number;
  #usedIdx: number;

  constructor(ram: GuestRam, { size, place, eventIdx = false, base = 0 }: MockDriverOptions) {
    if (size < 1 || size > VIRTQUEUE_SIZE_MAX) throw new Error(`ring size ${size}`);
    this.ram = ram;
    this.size = size;
    this.place = place;
    this.eventIdx = eventIdx;
    const part = (address: number, sizeBytes: number) => {
      const { region, at } = ram.place(address, sizeBytes);
      return { buffer: region.bytes.buffer, at: region.bytes.byteOffset + at };
    };
    const desc = part(place.desc, vringDescTableBytes(size));
    const avail = part(place.avail, vringAvailBytes(size));
    const used = part(place.used, vringUsedBytes(size));
    this.#desc = new DataView(desc.buffer, desc.at, vringDescTableBytes(size));
    this.#avail = new Uint16Array(avail.buffer, avail.at, vringAvailBytes(size) / 2);
    this.#used = new Uint16Array(used.buffer, used.at, vringUsedBytes(size) / 2);
    this.#used32 = new Uint32Array(used.buffer, used.at, 1 + 2 * size);
    this.#nextFree = Uint16Array.from({ length: size }, (_, index) =>
      index + 1 < size ? index + 1 : END_OF_FREE,
    );
    this.#chainLength = new Uint16Array(size);
    this.freeCount = size;
    this.#availIdx = base;
    this.#publishedIdx = base;
    this.#usedIdx = base;
    this.#avail.fill(0);
    this.#used.fill(0);
    this.#avail[IDX] = base;
    this.#used[IDX] = base;
    // With EVENT_IDX a fresh driver wants to hear of the very next element.
    if (eventIdx) this.#avail[RING + size] = base;
  }

  /** The rings' addresses as SET_VRING_ADDR wants them. */
  get userPlace(): RingPlace {
    const { desc, avail, used } = this.place;
    return {
      desc: this.ram.userAddress(desc),
      avail: this.ram.userAddress(avail),
      used: this.ram.userAddress(used),
    };
  }

  /** Writes a chain and makes it available (not yet visible: `publish`). Answers its head. */
  addChain(buffers: readonly DriverBuffer[], options: ChainOptions = {}): number {
    const head = this.writeChain(buffers, options);
    this.offer(head);
    return head;
  }

  /** Writes a chain into free descriptors. Throws when there are too few. */
  writeChain(buffers: readonly DriverBuffer[], options: ChainOptions = {}): number {
    const { indirectAt } = options;
    const directCount = indirectAt === undefined ? buffers.length : (options.directCount ?? 0);
    const count = directCount + (indirectAt === undefined ? 0 : 1);
    if (count === 0) throw new Error('a chain has at least one descriptor');
    if (count > this.freeCount) throw new Error(`${count} descriptors, ${this.freeCount} free`);
    const head = this.#freeHead;
    let index = head;
    for (let i = 0; i < count; i++) {
      const next = this.#nextFree[index]!;
      const more = i + 1 < count;
      if (i < directCount) this.#writeBuffer(index, buffers[i]!, more ? next : null);
      else this.#writeIndirect(index, buffers.slice(directCount), indirectAt!);
      if (!more) this.#freeHead = next;
      index = next;
    }
    this.#chainLength[head] = count;
    this.freeCount -= count;
    return head;
  }

  /** Puts a chain that is written into the avail ring. */
  offer(head: number): void {
    this.#avail[RING + (this.#availIdx & (this.size - 1))] = head;
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
  }

  /** Makes what was offered visible. True: the device wants a kick (§2.7.13.4). */
  publish(): boolean {
    const old = this.#publishedIdx;
    const now = this.#availIdx;
    if (old === now) return false;
    Atomics.store(this.#avail, IDX, now);
    this.#publishedIdx = now;
    if (!this.eventIdx) return (Atomics.load(this.#used, FLAGS) & VRING_USED_F_NO_NOTIFY) === 0;
    const event = Atomics.load(this.#used, RING + 4 * this.size);
    return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
  }

  /** Takes the next used element into usedHead and usedLengthBytes. False: there is none. */
  nextUsed(): boolean {
    if (Atomics.load(this.#used, IDX) === this.#usedIdx) return false;
    const element = 1 + 2 * (this.#usedIdx & (this.size - 1));
    this.usedHead = this.#used32[element]!;
    this.usedLengthBytes = this.#used32[element + 1]!;
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    return true;
  }

  /** Takes all new used elements and frees their descriptors. */
  collect(): UsedElement[] {
    const elements: UsedElement[] = [];
    while (this.nextUsed()) {
      elements.push({ head: this.usedHead, lengthBytes: this.usedLengthBytes });
      this.free(this.usedHead);
    }
    return elements;
  }

  /** Gives the descriptors of a chain back. Throws for a head that is not a chain of this driver. */
  free(head: number): void {
    if (!this.isInUse(head)) throw new Error(`used element names head ${head}, not in use`);
    const count = this.#chainLength[head]!;
    let last = head;
    for (let i = 1; i < count; i++) last = this.#nextFree[last]!;
    this.#nextFree[last] = this.#freeHead;
    this.#freeHead = head;
    this.#chainLength[head] = 0;
    this.freeCount += count;
  }

  /** Whether a head names a chain that was written and not freed. */
  isInUse(head: number): boolean {
    return (this.#chainLength[head] ?? 0) > 0;
  }

  /** Asks for no calls. */
  suppressCalls(): void {
    // With EVENT_IDX there is no flag: an index already passed is the closest thing (§2.7.7.1).
    if (this.eventIdx) this.rawUsedEvent((this.#usedIdx - 1) & 0xffff);
    else Atomics.store(this.#avail, FLAGS, VRING_AVAIL_F_NO_INTERRUPT);
  }

  /** Asks for a call at the next element. True: one is there already. */
  armCalls(): boolean {
    if (this.eventIdx) this.rawUsedEvent(this.#usedIdx);
    else Atomics.store(this.#avail, FLAGS, 0);
    return Atomics.load(this.#used, IDX) !== this.#usedIdx;
  }

  get availIdx(): number {
    return this.#availIdx;
  }

  /** used.idx as the device wrote it. */
  get usedIdx(): number {
    return Atomics.load(this.#used, IDX);
  }

  get usedFlags(): number {
    return Atomics.load(this.#used, FLAGS);
  }

  get availEvent(): number {
    return Atomics.load(this.#used, RING + 4 * this.size);
  }

  /** Any descriptor of the ring, any field. Fields left out become 0. */
  rawDescriptor(index: number, descriptor: RawDescriptor): void {
    const at = this.place.desc + index * vringDesc.sizeBytes;
    this.ram.write(at, encodeDescriptor(descriptor));
  }

  /** Any descriptors from a guest address on: the whole ring's table, or an indirect one. */
  rawTable(address: number, descriptors: readonly RawDescriptor[]): void {
    for (const [index, descriptor] of descriptors.entries()) {
      this.ram.write(address + index * vringDesc.sizeBytes, encodeDescriptor(descriptor));
    }
  }

  /** An entry of the avail ring, not counted and not visible. */
  rawAvailEntry(slot: number, head: number): void {
    this.#avail[RING + slot] = head;
  }

  /** avail.idx as it stands in memory; the driver's own count follows. */
  rawAvailIdx(value: number): void {
    this.#availIdx = value & 0xffff;
    this.#publishedIdx = this.#availIdx;
    Atomics.store(this.#avail, IDX, this.#availIdx);
  }

  rawAvailFlags(value: number): void {
    Atomics.store(this.#avail, FLAGS, value);
  }

  rawUsedEvent(value: number): void {
    Atomics.store(this.#avail, RING + this.size, value);
  }

  #writeBuffer(index: number, buffer: DriverBuffer, next: number | null): void {
    const at = index * vringDesc.sizeBytes;
    this.#setDescriptor(
      at,
      buffer.address,
      buffer.lengthBytes,
      bufferFlags(buffer, next),
      next ?? 0,
    );
  }

  #writeIndirect(index: number, buffers: readonly DriverBuffer[], tableAt: number): void {
    buffers.forEach((buffer, i) => {
      const next = i + 1 < buffers.length ? i + 1 : null;
      const { address, lengthBytes } = buffer;
      const flags = bufferFlags(buffer, next);
      const encoded = encodeDescriptor({ address, lengthBytes, flags, next: next ?? 0 });
      this.ram.write(tableAt + i * vringDesc.sizeBytes, encoded);
    });
    const at = index * vringDesc.sizeBytes;
    const tableBytes = buffers.length * vringDesc.sizeBytes;
    this.#setDescriptor(at, tableAt, tableBytes, VRING_DESC_F_INDIRECT, 0);
  }

  #setDescriptor(at: number, address: number, size: number, flags: number, next: number): void {
    this.#desc.setUint32(at + vringDesc.at.addr, address % 2 ** 32, true);
    this.#desc.setUint32(at + vringDesc.at.addr + 4, Math.floor(address / 2 ** 32), true);
    this.#desc.setUint32(at + vringDesc.at.len, size, true);
    this.#desc.setUint16(at + vringDesc.at.flags, flags, true);
    this.#desc.setUint16(at + vringDesc.at.next, next, true);
  }
}

function bufferFlags(buffer: DriverBuffer, next: number | null): number {
  return (buffer.writable ? VRING_DESC_F_WRITE : 0) | (next === null ? 0 : VRING_DESC_F_NEXT);
}
