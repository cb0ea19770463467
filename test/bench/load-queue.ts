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
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  vringDesc,
} from '../../protocol/virtio-ring.ts';
import { signalEventfd } from '../../src/sys/eventfd.ts';
import type { LoadBuffers } from './load-buffers.ts';
import { CONTROL_STATUS_AT, CONTROL_TABLE_AT } from './load-layout.ts';
import type { LoadMemory } from './load-memory.ts';
import { descriptorsInRing, EXTRA_DESCRIPTORS, type LoadOptions } from './load-options.ts';
import { DESC_WORDS, type LoadRing, PackedLoadRing, SplitLoadRing } from './load-ring.ts';

const TWO_TO_32 = 2 ** 32;
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
  readonly #segments: number;
  readonly #headStep: number;
  readonly #ring: LoadRing;
  /** Where a descriptor's last word has its flags. */
  readonly #flagsShift: number;
  /** By place: what holds the chain, and the word at which it starts. */
  readonly #chains: Uint32Array[] = [];
  readonly #chainAt: Uint32Array;
  readonly #controls: Uint8Array[] = [];
  readonly #headers: Uint32Array[] = [];
  readonly #busy: Uint8Array;

  constructor(memory: LoadMemory, queue: number, options: LoadOptions, buffers: LoadBuffers) {
    const { depth, segments, indirect, eventIdx } = options;
    this.callFd = memory.callFds[queue]!;
    this.#kickFd = memory.kickFds[queue]!;
    this.#buffers = buffers;
    this.#segments = segments;
    this.#headStep = descriptorsInRing(segments, indirect);
    this.done = new Uint16Array(depth);
    this.offsetBytes = new Float64Array(depth);
    this.submittedAt = new Float64Array(depth);
    this.isWrite = new Uint8Array(depth);
    this.#busy = new Uint8Array(depth);
    this.#chainAt = new Uint32Array(depth);
    const ring = new (options.packed ? PackedLoadRing : SplitLoadRing)(memory, queue, eventIdx);
    this.#ring = ring;
    this.#flagsShift = options.packed ? 16 : 0;
    const { controls, controlBytes } = memory.layout;
    for (let place = 0; place < depth; place++) {
      const control = controls[queue * depth + place]!;
      this.#controls.push(memory.bytes(control, controlBytes));
      this.#headers.push(memory.words(control, HEADER_BYTES / 4));
      if (ring instanceof PackedLoadRing || indirect)
        this.#placeTable(memory, ring, place, control);
      else this.#placeDirect(ring.table, place);
      this.#writeChain(place, control, options.sizeBytes / segments);
    }
  }

  #placeTable(
    memory: LoadMemory,
    ring: SplitLoadRing | PackedLoadRing,
    place: number,
    control: number,
  ): void {
    const count = this.#segments + EXTRA_DESCRIPTORS;
    const at = control + CONTROL_TABLE_AT;
    this.#chains.push(memory.words(at, count * DESC_WORDS));
    this.#chainAt[place] = 0;
    if (ring instanceof PackedLoadRing) {
      ring.setTable(place, at, count * vringDesc.sizeBytes);
      return;
    }
    writeDescriptor(ring.table, place * DESC_WORDS, at, count * vringDesc.sizeBytes);
    ring.table[place * DESC_WORDS + 3] = VRING_DESC_F_INDIRECT;
  }

  #placeDirect(ring: Uint32Array, place: number): void {
    this.#chains.push(ring);
    this.#chainAt[place] = place * this.#headStep * DESC_WORDS;
  }

  /** Header, segments, status; for reading, until told otherwise. */
  #writeChain(place: number, control: number, segmentBytes: number): void {
    const chain = this.#chains[place]!;
    const start = this.#chainAt[place]!;
    // A packed table has its flags in the upper half, and no chaining (§2.8.7).
    const chained = (flags: number, i: number) =>
      this.#flagsShift > 0
        ? flags << this.#flagsShift
        : flags + VRING_DESC_F_NEXT + (start / DESC_WORDS + i + 1) * 2 ** 16;
    writeDescriptor(chain, start, control, HEADER_BYTES);
    chain[start + 3] = chained(0, 0);
    for (let i = 1; i <= this.#segments; i++) {
      const at = start + i * DESC_WORDS;
      writeDescriptor(chain, at, 0, segmentBytes);
      chain[at + 3] = chained(VRING_DESC_F_WRITE, i);
    }
    const status = start + (this.#segments + 1) * DESC_WORDS;
    writeDescriptor(chain, status, control + CONTROL_STATUS_AT, 1);
    chain[status + 3] = VRING_DESC_F_WRITE << this.#flagsShift;
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
    this.#ring.offer(place * this.#headStep);
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
    const writable = VRING_DESC_F_WRITE << this.#flagsShift;
    for (let i = 1; i <= this.#segments; i++) {
      const at = start + i * DESC_WORDS + 3;
      const flags = chain[at]!;
      chain[at] = write ? flags & ~writable : flags | writable;
    }
    this.isWrite[place] = write ? 1 : 0;
  }

  /** Makes submitted requests visible, and kicks when the device wants that. */
  publish(): void {
    if (!this.#ring.publish()) return;
    this.kickCount++;
    signalEventfd(this.#kickFd);
  }

  /** Takes the answers that are there; their places are in `done`. Throws for an answer to nothing. */
  collect(expectedStatus: number): number {
    const { done } = this;
    let count = 0;
    while (count < done.length) {
      const head = this.#ring.next();
      if (head < 0) break;
      const place = (head / this.#headStep) | 0;
      if (place * this.#headStep !== head || this.#busy[place] !== 1)
        throw new Error(`head ${head} was answered, and no request is out under it`);
      const status = this.#controls[place]![CONTROL_STATUS_AT]!;
      if (status !== expectedStatus) throw new Error(`a request ended with status ${status}`);
      this.#busy[place] = 0;
      done[count++] = place;
    }
    this.inFlight -= count;
    return count;
  }

  armCalls(): boolean {
    return this.#ring.armCalls();
  }

  disarmCalls(): void {
    this.#ring.disarmCalls();
  }
}

function writeDescriptor(words: Uint32Array, at: number, address: number, bytes: number): void {
  words[at] = address % TWO_TO_32;
  words[at + 1] = address / TWO_TO_32;
  words[at + 2] = bytes;
}
