/**
 * A split virtqueue, device side: avail ring in, used ring out, notification suppression in both
 * directions. Works on typed arrays over the ring's own bytes; knows no fds and no device.
 * Geometry is frozen in the constructor. Source: virtio 1.3 §2.7.
 */
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY } from '../../protocol/virtio-ring.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
import { loadAcquire16, storeRelease16 } from './barrier.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { idxDistance, vringNeedEvent } from './need-event.ts';
import type { RingPosition } from './ring-position.ts';
import { AVAIL_IDX_JUMP, CHAIN_MISS, HEAD_IN_FLIGHT, HEAD_OUT_OF_RANGE } from './ring-violation.ts';
import type { SplitInflight } from './split-inflight.ts';
import type { Vring } from './vring.ts';

// Positions in 16-bit units: both rings open with flags, idx (vring_avail, vring_used).
const FLAGS = 0;
const IDX = 1;
const RING = 2;

export interface SplitVringParts {
  readonly size: number;
  readonly desc: DataView;
  /** Avail ring, size + 3 units: flags, idx, ring[size], used_event. */
  readonly avail: Uint16Array;
  /** Used ring, 4 × size + 3 units: flags, idx, ring[size] of {id, len}, avail_event. */
  readonly used: Uint16Array;
  /** The same used ring in 32-bit units, without avail_event. */
  readonly used32: Uint32Array;
}

export interface SplitVringOptions {
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** The next avail index to take (SET_VRING_BASE). */
  readonly base: number;
  /** Where heads in flight are recorded; null: nowhere. */
  readonly inflight: SplitInflight | null;
}

export class SplitVring implements Vring {
  readonly size: number;
  inFlightCount = 0;
  broken = 0;

  readonly #memory: AddressTable;
  readonly #desc: DataView;
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #used32: Uint32Array;
  readonly #mask: number;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  /** One byte a head: 1 while it is in flight (CVE-2026-45782: the same head taken twice). */
  readonly #inFlight: Uint8Array;
  #nextAvailIdx: number;
  /** The last avail.idx seen: re-read only when everything up to it has been taken. */
  #seenAvailIdx: number;
  #nextUsedIdx: number;
  #publishedUsedIdx: number;
  readonly #inflight: SplitInflight | null;
  /** How many of the recorded heads have been taken up again. */
  #takenUp = 0;
  #takingUp = false;

  constructor(memory: AddressTable, parts: SplitVringParts, options: SplitVringOptions) {
    this.#memory = memory;
    this.size = parts.size;
    this.#mask = parts.size - 1;
    this.#desc = parts.desc;
    this.#avail = parts.avail;
    this.#used = parts.used;
    this.#used32 = parts.used32;
    this.#eventIdx = options.eventIdx;
    this.#indirect = options.indirect;
    this.#inFlight = new Uint8Array(parts.size);
    this.#nextAvailIdx = options.base & 0xffff;
    this.#seenAvailIdx = this.#nextAvailIdx;
    // A ring that was stopped goes on where its used index stands in guest memory.
    this.#nextUsedIdx = loadAcquire16(parts.used, IDX);
    this.#publishedUsedIdx = this.#nextUsedIdx;
    // With EVENT_IDX flags must be 0 (§2.7.10.2), also where a device without it left NO_NOTIFY.
    if (options.eventIdx) storeRelease16(parts.used, FLAGS, 0);
    const inflight = options.inflight;
    this.#inflight = inflight;
    if (inflight?.recovered) {
      // Whatever was taken was either answered or is recorded: that says where the avail ring stands.
      this.#nextAvailIdx = (this.#nextUsedIdx + inflight.recorded.length) & 0xffff;
      this.#seenAvailIdx = this.#nextAvailIdx;
      for (const head of inflight.recorded) this.#inFlight[head] = 1;
    }
  }

  get base(): number {
    return this.#nextAvailIdx;
  }

  availableCount(): number {
    if (this.broken !== 0) return 0;
    const next = this.#nextAvailIdx;
    // An index that a driver takes back does not take back what was seen.
    return (
      idxDistance(next, loadAcquire16(this.#avail, IDX)) || idxDistance(next, this.#seenAvailIdx)
    );
  }

  pop(chain: DescriptorChain): number {
    if (this.broken !== 0) return 0;
    const nextAvailIdx = this.#nextAvailIdx;
    if (nextAvailIdx === this.#seenAvailIdx) {
      // Pairs with the driver's write barrier between ring entries and avail.idx (§2.7.13.3).
      const availIdx = loadAcquire16(this.#avail, IDX);
      if (availIdx === nextAvailIdx) return 0;
      if (idxDistance(nextAvailIdx, availIdx) > this.size) return this.#violate(AVAIL_IDX_JUMP);
      this.#seenAvailIdx = availIdx;
    }
    const head = this.#avail[RING + (nextAvailIdx & this.#mask)]!;
    if (head >= this.size) return this.#violate(HEAD_OUT_OF_RANGE);
    if (this.#inFlight[head] !== 0) return this.#violate(HEAD_IN_FLIGHT);
    const failure = chain.walk(this.#memory, this.#desc, this.size, head, this.#indirect);
    if (failure < 0) return this.#violate(failure);
    this.#inFlight[head] = 1;
    this.inFlightCount++;
    if (this.#inflight !== null) this.#inflight.take(head);
    this.#nextAvailIdx = (nextAvailIdx + 1) & 0xffff;
    return 1;
  }

  popRecorded(chain: DescriptorChain): number {
    const recorded = this.#inflight?.recorded ?? [];
    this.#takingUp = this.broken === 0 && this.#takenUp < recorded.length;
    if (!this.#takingUp) return 0;
    const head = recorded[this.#takenUp]!;
    const failure = chain.walk(this.#memory, this.#desc, this.size, head, this.#indirect);
    if (failure < 0) return this.#violate(failure);
    this.#takenUp++;
    this.inFlightCount++;
    return 1;
  }

  break(violation: number): void {
    this.broken = violation;
  }

  refuse(head: number, violation: number): void {
    this.broken = violation;
    // Nobody will push it: left in flight, it would keep a stop waiting for ever.
    this.inFlightCount--;
    // What was recorded stays so, and was taken long ago.
    if (this.#takingUp) return;
    this.#inFlight[head] = 0;
    this.#nextAvailIdx = (this.#nextAvailIdx - 1) & 0xffff;
    if (this.#inflight !== null) this.#inflight.untake(head);
  }

  push(head: number, writtenBytes: number): void {
    if (this.#inflight !== null) this.#inflight.answer(head);
    const element = 1 + 2 * (this.#nextUsedIdx & this.#mask);
    this.#used32[element] = head;
    this.#used32[element + 1] = writtenBytes;
    this.#nextUsedIdx = (this.#nextUsedIdx + 1) & 0xffff;
    this.#inFlight[head] = 0;
    this.inFlightCount--;
  }

  publish(): boolean {
    const oldIdx = this.#publishedUsedIdx;
    const newIdx = this.#nextUsedIdx;
    if (oldIdx === newIdx) return false;
    // Pairs with the driver's read barrier after it sees used.idx (§2.7.14); the full barrier keeps
    // the loads below after it, so that a driver which arms in between is not missed.
    storeRelease16(this.#used, IDX, newIdx);
    this.#publishedUsedIdx = newIdx;
    if (this.#inflight !== null) this.#inflight.settle(newIdx);
    if (this.#eventIdx) {
      const usedEvent = loadAcquire16(this.#avail, RING + this.size);
      return vringNeedEvent(usedEvent, newIdx, oldIdx);
    }
    return (loadAcquire16(this.#avail, FLAGS) & VRING_AVAIL_F_NO_INTERRUPT) === 0;
  }

  suppressKicks(): void {
    // With EVENT_IDX flags stay 0 (§2.7.10.2), and an avail_event that the driver has passed already
    // brings no kick.
    if (!this.#eventIdx) storeRelease16(this.#used, FLAGS, VRING_USED_F_NO_NOTIFY);
  }

  armKicks(): boolean {
    if (this.broken !== 0) return false;
    if (this.#eventIdx) storeRelease16(this.#used, RING + 4 * this.size, this.#nextAvailIdx);
    else storeRelease16(this.#used, FLAGS, 0);
    // Pairs with the driver's full barrier between avail.idx and reading avail_event (§2.7.13.4.1).
    return this.availableCount() !== 0;
  }

  position(): RingPosition {
    const driver = loadAcquire16(this.#avail, IDX);
    const availFlags = loadAcquire16(this.#avail, FLAGS);
    const usedFlags = loadAcquire16(this.#used, FLAGS);
    return {
      layout: 'split',
      avail_idx: driver,
      last_avail_idx: this.#nextAvailIdx,
      seen_avail_idx: this.#seenAvailIdx,
      used_idx: this.#publishedUsedIdx,
      next_used_idx: this.#nextUsedIdx,
      event_idx: this.#eventIdx,
      // With EVENT_IDX each side names an index, else a flag says all or nothing.
      driver_wants_call: this.#eventIdx
        ? `at ${loadAcquire16(this.#avail, RING + this.size)}`
        : (availFlags & VRING_AVAIL_F_NO_INTERRUPT) === 0
          ? 'always'
          : 'never',
      device_wants_kick: this.#eventIdx
        ? `at ${loadAcquire16(this.#used, RING + 4 * this.size)}`
        : (usedFlags & VRING_USED_F_NO_NOTIFY) === 0
          ? 'always'
          : 'never',
    };
  }

  #violate(violation: number): number {
    if (violation !== CHAIN_MISS) this.broken = violation;
    return violation;
  }
}
