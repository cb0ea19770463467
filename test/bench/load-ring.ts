/**
 * The rings of the load generator, driver side, in both layouts: heads out, heads back, calls wanted or not. A head
 * stands for a chain of its own ring descriptors, which its queue has written. Typed arrays only, nothing is
 * allocated for a request. Source: virtio 1.3 §2.7.13, §2.7.14 (split), §2.8.21, §2.8.22 (packed).
 */
import {
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_PACKED_EVENT_FLAG_DESC,
  VRING_PACKED_EVENT_FLAG_DISABLE,
  VRING_PACKED_EVENT_FLAG_ENABLE,
  VRING_USED_F_NO_NOTIFY,
  vringDesc,
} from '../../protocol/virtio-ring.ts';
import {
  loadAcquire16,
  loadAcquire32,
  storeRelease16,
  storeRelease32,
} from '../../src/virtqueue/barrier.ts';
import { vringNeedEvent } from '../../src/virtqueue/need-event.ts';
import { packedRingPlace } from '../support/mock-driver-packed.ts';
import { ringPlace } from '../support/mock-driver-ring.ts';
import type { LoadMemory } from './load-memory.ts';

const FLAGS = 0;
const IDX = 1;
const RING = 2;
/** A descriptor in 32-bit words: address low and high, length, flags and next (packed: id and flags). */
export const DESC_WORDS = vringDesc.sizeBytes / 4;
const AVAIL = 1 << 7;
const USED = 1 << 15;

export interface LoadRing {
  offer(head: number): void;
  /** Makes offered heads visible. True: the device wants a kick. */
  publish(): boolean;
  /** The next answered head, or -1. */
  next(): number;
  /** Asks for a call at the next answer. False when an answer is there already: no call may come. */
  armCalls(): boolean;
  disarmCalls(): void;
}

export class SplitLoadRing implements LoadRing {
  /** The descriptor table, which the queue writes once. */
  readonly table: Uint32Array;
  readonly #size: number;
  readonly #eventIdx: boolean;
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #used32: Uint32Array;
  #availIdx = 0;
  #publishedIdx = 0;
  #usedIdx = 0;
  /** used.idx as it was when everything before it had been taken. */
  #seenUsedIdx = 0;

  constructor(memory: LoadMemory, queue: number, eventIdx: boolean) {
    const size = memory.ringSize;
    const { desc, avail, used } = ringPlace(memory.layout.rings[queue]!, size);
    this.#size = size;
    this.#eventIdx = eventIdx;
    this.table = memory.words(desc, size * DESC_WORDS);
    this.#avail = memory.halves(avail, size + 3);
    this.#used = memory.halves(used, 4 * size + 3);
    this.#used32 = memory.words(used, 2 * size + 1);
    if (!eventIdx) this.#avail[FLAGS] = VRING_AVAIL_F_NO_INTERRUPT;
  }

  offer(head: number): void {
    this.#avail[RING + (this.#availIdx & (this.#size - 1))] = head;
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
  }

  publish(): boolean {
    const oldIdx = this.#publishedIdx;
    const newIdx = this.#availIdx;
    if (oldIdx === newIdx) return false;
    // Also the full barrier before avail_event or flags are read (§2.7.13.4.1).
    storeRelease16(this.#avail, IDX, newIdx);
    this.#publishedIdx = newIdx;
    return this.#eventIdx
      ? vringNeedEvent(loadAcquire16(this.#used, RING + 4 * this.#size), newIdx, oldIdx)
      : (loadAcquire16(this.#used, FLAGS) & VRING_USED_F_NO_NOTIFY) === 0;
  }

  next(): number {
    const usedIdx = this.#usedIdx;
    if (usedIdx === this.#seenUsedIdx) {
      this.#seenUsedIdx = loadAcquire16(this.#used, IDX);
      if (usedIdx === this.#seenUsedIdx) return -1;
    }
    this.#usedIdx = (usedIdx + 1) & 0xffff;
    return this.#used32[1 + 2 * (usedIdx & (this.#size - 1))]!;
  }

  armCalls(): boolean {
    if (this.#eventIdx) storeRelease16(this.#avail, RING + this.#size, this.#usedIdx);
    else storeRelease16(this.#avail, FLAGS, 0);
    // Pairs with the device's full barrier between used.idx and used_event (§2.7.7.2).
    return loadAcquire16(this.#used, IDX) === this.#usedIdx;
  }

  /** With EVENT_IDX nothing is to do: used_event has been passed. */
  disarmCalls(): void {
    if (!this.#eventIdx) storeRelease16(this.#avail, FLAGS, VRING_AVAIL_F_NO_INTERRUPT);
  }
}

/** Every head is an indirect table: one descriptor of the ring, written again for each request. */
export class PackedLoadRing implements LoadRing {
  readonly #size: number;
  readonly #eventIdx: boolean;
  readonly #ring32: Uint32Array;
  readonly #ring16: Uint16Array;
  readonly #driverEvent: Int32Array;
  readonly #deviceEvent: Int32Array;
  /** By head: address and length of its table. */
  readonly #tables: Uint32Array;
  #avail = 0;
  #availWrap = true;
  #used = 0;
  #usedWrap = true;
  /** Offered and not visible; the first of them, and its flags, which are written last. */
  #hidden = 0;
  #hiddenAt = 0;
  #hiddenFlags = 0;

  constructor(memory: LoadMemory, queue: number, eventIdx: boolean) {
    const size = memory.ringSize;
    const { desc, avail, used } = packedRingPlace(memory.layout.rings[queue]!, size);
    this.#size = size;
    this.#eventIdx = eventIdx;
    const driverEvent = memory.words(avail, 1);
    const deviceEvent = memory.words(used, 1);
    this.#ring32 = memory.words(desc, size * DESC_WORDS);
    this.#ring16 = memory.halves(desc, size * 2 * DESC_WORDS);
    this.#driverEvent = new Int32Array(driverEvent.buffer, driverEvent.byteOffset, 1);
    this.#deviceEvent = new Int32Array(deviceEvent.buffer, deviceEvent.byteOffset, 1);
    this.#tables = new Uint32Array(size * DESC_WORDS);
    this.disarmCalls();
  }

  setTable(head: number, address: number, lengthBytes: number): void {
    this.#tables[head * DESC_WORDS] = address;
    this.#tables[head * DESC_WORDS + 1] = address / 2 ** 32;
    this.#tables[head * DESC_WORDS + 2] = lengthBytes;
  }

  offer(head: number): void {
    const at = this.#avail;
    const to = at * DESC_WORDS;
    const from = head * DESC_WORDS;
    const flags = VRING_DESC_F_INDIRECT | (this.#availWrap ? AVAIL : USED);
    this.#ring32[to] = this.#tables[from]!;
    this.#ring32[to + 1] = this.#tables[from + 1]!;
    this.#ring32[to + 2] = this.#tables[from + 2]!;
    this.#ring16[2 * to + 6] = head;
    if (this.#hidden++ === 0) {
      this.#hiddenAt = at;
      this.#hiddenFlags = flags;
    } else this.#ring16[2 * to + 7] = flags;
    this.#avail = at + 1 === this.#size ? 0 : at + 1;
    if (this.#avail === 0) this.#availWrap = !this.#availWrap;
  }

  publish(): boolean {
    const count = this.#hidden;
    if (count === 0) return false;
    this.#hidden = 0;
    // Also the full barrier before the device's event structure is read (§2.8.21.3.1).
    storeRelease16(this.#ring16, 2 * DESC_WORDS * this.#hiddenAt + 7, this.#hiddenFlags);
    const event = loadAcquire32(this.#deviceEvent, 0);
    const flags = event >>> 16;
    if (flags !== VRING_PACKED_EVENT_FLAG_DESC) return flags !== VRING_PACKED_EVENT_FLAG_DISABLE;
    // How far the wanted descriptor lies behind the next one to offer: in this batch or not.
    const wantedWrap = (event & 0x8000) !== 0;
    const behind =
      this.#avail - (event & 0x7fff) + (wantedWrap === this.#availWrap ? 0 : this.#size);
    return behind > 0 && behind <= count;
  }

  next(): number {
    if (!this.#isUsed()) return -1;
    const at = this.#used;
    this.#used = at + 1 === this.#size ? 0 : at + 1;
    if (this.#used === 0) this.#usedWrap = !this.#usedWrap;
    return this.#ring16[2 * DESC_WORDS * at + 6]!;
  }

  armCalls(): boolean {
    const event = this.#eventIdx
      ? this.#used + (this.#usedWrap ? 0x8000 : 0) + VRING_PACKED_EVENT_FLAG_DESC * 0x1_0000
      : VRING_PACKED_EVENT_FLAG_ENABLE;
    storeRelease32(this.#driverEvent, 0, event);
    // Pairs with the device's full barrier between used flags and its look at this structure.
    return !this.#isUsed();
  }

  disarmCalls(): void {
    storeRelease32(this.#driverEvent, 0, VRING_PACKED_EVENT_FLAG_DISABLE * 0x1_0000);
  }

  #isUsed(): boolean {
    const flags = loadAcquire16(this.#ring16, 2 * DESC_WORDS * this.#used + 7);
    return (flags & (AVAIL | USED)) === (this.#usedWrap ? AVAIL | USED : 0);
  }
}
