/**
 * One queue of the load generator, driver side: chains are written once, a place each; a request then rewrites its
 * header, now and then a few flags or addresses, and one avail entry. Typed arrays only, nothing is allocated for a
 * request. Source: virtio 1.3 §2.7.13, §2.7.14, §5.2.6.
 */
import {
  SECTOR_SIZE,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  virtioBlkOuthdr,
} from '../../protocol/virtio-blk.ts';
import {
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
  vringDesc,
} from '../../protocol/virtio-ring.ts';
import { signalEventfd } from '../../src/sys/eventfd.ts';
import { loadAcquire16, storeRelease16 } from '../../src/virtqueue/barrier.ts';
import { vringNeedEvent } from '../../src/virtqueue/need-event.ts';
import { ringPlace } from '../support/mock-driver-ring.ts';
import type { LoadBuffers } from './load-buffers.ts';
import { CONTROL_STATUS_AT, CONTROL_TABLE_AT } from './load-layout.ts';
import type { LoadMemory } from './load-memory.ts';
import { descriptorsInRing, EXTRA_DESCRIPTORS, type LoadOptions } from './load-options.ts';

const FLAGS = 0;
const IDX = 1;
const RING = 2;
const TWO_TO_32 = 2 ** 32;
/** A descriptor in 32-bit words: address low and high, length, flags and next. */
const DESC_WORDS = vringDesc.sizeBytes / 4;
const HEADER_BYTES = virtioBlkOuthdr.sizeBytes;

/** A status that no device answers: still there when nothing was written. */
export const STATUS_UNTOUCHED = 0xee;

export class LoadQueue {
  /** Places whose requests the last `collect` found answered; the first `collect()` of them. */
  readonly done: Uint16Array;
  /** By place, written before `submit`: a Number handed over as an argument would be boxed. */
  readonly offsetBytes: Float64Array;
  readonly submittedAt: Float64Array;
  readonly isWrite: Uint8Array;
  readonly callFd: number;
  inFlight = 0;
  kickCount = 0;

  readonly #kickFd: number;
  readonly #buffers: LoadBuffers;
  readonly #eventIdx: boolean;
  readonly #segments: number;
  readonly #ringSize: number;
  readonly #headStep: number;
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #used32: Uint32Array;
  /** By place: what holds the chain, and the word at which it starts. */
  readonly #chains: Uint32Array[] = [];
  readonly #chainAt: Uint32Array;
  readonly #controls: Uint8Array[] = [];
  readonly #headers: Uint32Array[] = [];
  readonly #busy: Uint8Array;
  #availIdx = 0;
  #publishedIdx = 0;
  #usedIdx = 0;

  constructor(memory: LoadMemory, queue: number, options: LoadOptions, buffers: LoadBuffers) {
    const { ringSize, depth, segments, indirect, eventIdx } = options;
    this.callFd = memory.callFds[queue]!;
    this.#kickFd = memory.kickFds[queue]!;
    this.#buffers = buffers;
    this.#eventIdx = eventIdx;
    this.#segments = segments;
    this.#ringSize = ringSize;
    this.#headStep = descriptorsInRing(segments, indirect);
    this.done = new Uint16Array(depth);
    this.offsetBytes = new Float64Array(depth);
    this.submittedAt = new Float64Array(depth);
    this.isWrite = new Uint8Array(depth);
    this.#busy = new Uint8Array(depth);
    this.#chainAt = new Uint32Array(depth);
    const { desc, avail, used } = ringPlace(memory.layout.rings[queue]!, ringSize);
    this.#avail = memory.halves(avail, ringSize + 3);
    this.#used = memory.halves(used, 4 * ringSize + 3);
    this.#used32 = memory.words(used, 2 * ringSize + 1);
    const table = memory.words(desc, ringSize * DESC_WORDS);
    const { controls, controlBytes } = memory.layout;
    for (let place = 0; place < depth; place++) {
      const control = controls[queue * depth + place]!;
      this.#controls.push(memory.bytes(control, controlBytes));
      this.#headers.push(memory.words(control, HEADER_BYTES / 4));
      if (indirect) this.#placeTable(memory, table, place, control);
      else this.#placeDirect(table, place);
      this.#writeChain(place, control, options.sizeBytes / segments);
    }
    if (!eventIdx) this.#avail[FLAGS] = VRING_AVAIL_F_NO_INTERRUPT;
  }

  #placeTable(memory: LoadMemory, ring: Uint32Array, place: number, control: number): void {
    const count = this.#segments + EXTRA_DESCRIPTORS;
    const at = control + CONTROL_TABLE_AT;
    this.#chains.push(memory.words(at, count * DESC_WORDS));
    this.#chainAt[place] = 0;
    writeDescriptor(ring, place * DESC_WORDS, at, count * vringDesc.sizeBytes);
    ring[place * DESC_WORDS + 3] = VRING_DESC_F_INDIRECT;
  }

  #placeDirect(ring: Uint32Array, place: number): void {
    this.#chains.push(ring);
    this.#chainAt[place] = place * this.#headStep * DESC_WORDS;
  }

  /** Header, segments, status; for reading, until told otherwise. */
  #writeChain(place: number, control: number, segmentBytes: number): void {
    const chain = this.#chains[place]!;
    const start = this.#chainAt[place]!;
    const next = (i: number) => (start / DESC_WORDS + i + 1) * 2 ** 16;
    writeDescriptor(chain, start, control, HEADER_BYTES);
    chain[start + 3] = VRING_DESC_F_NEXT + next(0);
    for (let i = 1; i <= this.#segments; i++) {
      const at = start + i * DESC_WORDS;
      writeDescriptor(chain, at, 0, segmentBytes);
      chain[at + 3] = VRING_DESC_F_NEXT + VRING_DESC_F_WRITE + next(i);
    }
    const status = start + (this.#segments + 1) * DESC_WORDS;
    writeDescriptor(chain, status, control + CONTROL_STATUS_AT, 1);
    chain[status + 3] = VRING_DESC_F_WRITE;
    this.#buffers.give(chain, start + DESC_WORDS, place);
  }

  /** Puts a request on a free place. It is visible after `publish`. */
  submit(place: number, write: boolean): void {
    const sector = this.offsetBytes[place]! / SECTOR_SIZE;
    const header = this.#headers[place]!;
    header[0] = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
    header[2] = sector % TWO_TO_32;
    header[3] = sector / TWO_TO_32;
    this.#controls[place]![CONTROL_STATUS_AT] = STATUS_UNTOUCHED;
    if (this.isWrite[place] !== Number(write)) this.#turn(place, write);
    this.#avail[RING + (this.#availIdx & (this.#ringSize - 1))] = place * this.#headStep;
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
    this.#busy[place] = 1;
    this.inFlight++;
  }

  /** Other buffers for the next request of a free place, at random. */
  changeBuffers(place: number): void {
    this.#buffers.change(this.#chains[place]!, this.#chainAt[place]! + DESC_WORDS, place);
  }

  /** The data descriptors become readable or writable for the device. */
  #turn(place: number, write: boolean): void {
    const chain = this.#chains[place]!;
    const start = this.#chainAt[place]!;
    for (let i = 1; i <= this.#segments; i++) {
      const at = start + i * DESC_WORDS + 3;
      const flags = chain[at]!;
      chain[at] = write ? flags & ~VRING_DESC_F_WRITE : flags | VRING_DESC_F_WRITE;
    }
    this.isWrite[place] = write ? 1 : 0;
  }

  /** Makes submitted requests visible, and kicks when the device wants that. */
  publish(): void {
    const oldIdx = this.#publishedIdx;
    const newIdx = this.#availIdx;
    if (oldIdx === newIdx) return;
    // Also the full barrier before avail_event or flags are read (§2.7.13.4.1).
    storeRelease16(this.#avail, IDX, newIdx);
    this.#publishedIdx = newIdx;
    const wanted = this.#eventIdx
      ? vringNeedEvent(loadAcquire16(this.#used, RING + 4 * this.#ringSize), newIdx, oldIdx)
      : (loadAcquire16(this.#used, FLAGS) & VRING_USED_F_NO_NOTIFY) === 0;
    if (!wanted) return;
    this.kickCount++;
    signalEventfd(this.#kickFd);
  }

  /** Takes the answers that are there; their places are in `done`. Throws for an answer to nothing. */
  collect(expectedStatus: number): number {
    const end = loadAcquire16(this.#used, IDX);
    let count = 0;
    while (this.#usedIdx !== end) {
      const head = this.#used32[1 + 2 * (this.#usedIdx & (this.#ringSize - 1))]!;
      const place = (head / this.#headStep) | 0;
      if (place * this.#headStep !== head || this.#busy[place] !== 1)
        throw new Error(`head ${head} was answered, and no request is out under it`);
      const status = this.#controls[place]![CONTROL_STATUS_AT]!;
      if (status !== expectedStatus) throw new Error(`a request ended with status ${status}`);
      this.#busy[place] = 0;
      this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
      this.done[count++] = place;
    }
    this.inFlight -= count;
    return count;
  }

  /** Asks for a call at the next answer. False when an answer is there already: no call may come. */
  armCalls(): boolean {
    if (this.#eventIdx) storeRelease16(this.#avail, RING + this.#ringSize, this.#usedIdx);
    else storeRelease16(this.#avail, FLAGS, 0);
    // Pairs with the device's full barrier between used.idx and used_event (§2.7.7.2).
    return loadAcquire16(this.#used, IDX) === this.#usedIdx;
  }

  /** With EVENT_IDX nothing is to do: used_event has been passed. */
  disarmCalls(): void {
    if (!this.#eventIdx) storeRelease16(this.#avail, FLAGS, VRING_AVAIL_F_NO_INTERRUPT);
  }
}

function writeDescriptor(words: Uint32Array, at: number, address: number, bytes: number): void {
  words[at] = address % TWO_TO_32;
  words[at + 1] = address / TWO_TO_32;
  words[at + 2] = bytes;
}
