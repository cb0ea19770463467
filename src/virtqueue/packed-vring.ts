/**
 * A packed virtqueue, device side: one ring of descriptors that both sides write; who wants to be told of what is in
 * packed-events.ts. Works on typed arrays over the ring's own bytes; knows no fds and no
 * device. Geometry is frozen in the constructor; any size. Source: virtio 1.3 §2.8.
 */
import {
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  vringPackedDesc,
} from '../../protocol/virtio-ring.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
import { fenceLoads, loadAcquire16, storeRelease32 } from './barrier.ts';
import {
  type DescriptorChain,
  LIST_ID_FLAGS,
  LIST_LENGTH,
  LIST_WORDS,
} from './descriptor-chain.ts';
import { PackedEvents, type PackedEventsParts } from './packed-events.ts';
import type { PackedInflight } from './packed-inflight.ts';
import { AVAIL, copyList, FLAGS_SHIFT, USED } from './packed-list.ts';
import {
  advanced,
  indexIn,
  lapDistance,
  positionOf,
  type WrappedIndex,
  wrappedIndexOf,
} from './packed-position.ts';
import type { RingPosition } from './ring-position.ts';
import { CHAIN_MISS, HEAD_IN_FLIGHT, HEAD_OUT_OF_RANGE, RING_OVERRUN } from './ring-violation.ts';
import type { Vring } from './vring.ts';

// In 16-bit units of a descriptor.
const HALVES = vringPackedDesc.sizeBytes / 2;
const FLAGS = vringPackedDesc.at.flags / 2;

/** Chains that `availableCount` looks for: three times the largest batch that anybody takes. */
const LOOK_AHEAD_MAX = 192;

export interface PackedVringParts extends PackedEventsParts {
  /**
   * The descriptor ring, in 32-bit and in 16-bit units. Signed: what `Atomics` answers of an unsigned one is
   * boxed from 2^31 on, which is every other lap's flags.
   */
  readonly ring32: Int32Array;
  readonly ring16: Uint16Array;
}

export interface PackedVringOptions {
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** The next descriptors to take and to use. */
  readonly avail: WrappedIndex;
  readonly used: WrappedIndex;
  /** Where chains in flight are recorded; null: nowhere. */
  readonly inflight: PackedInflight | null;
}

export class PackedVring implements Vring {
  readonly size: number;
  inFlightCount = 0;
  broken = 0;

  readonly #memory: AddressTable;
  readonly #ring32: Int32Array;
  readonly #ring16: Uint16Array;
  readonly #events: PackedEvents;
  readonly #indirect: boolean;
  /** By buffer id: the descriptors of its chain while it is in flight, else 0. */
  readonly #listCount: Uint16Array;
  /**
   * Positions (packed-position.ts): next to take, next to write used, next that the driver looks at. From
   * #usedAt to #availAt are the descriptors that were taken and not replaced by used ones.
   */
  #availAt: number;
  #usedAt: number;
  #publishedAt: number;
  /** Id and flags of the used descriptor at #publishedAt, which show it and all after it to the driver. */
  #firstWord = 0;
  /** How many chains were seen whole from #availAt on, and where the look ahead goes on. */
  #seenCount = 0;
  #seenAt = 0;
  readonly #inflight: PackedInflight | null;
  /** How many of the recorded chains have been taken up again. */
  #takenUp = 0;
  #takingUp = false;

  constructor(memory: AddressTable, parts: PackedVringParts, options: PackedVringOptions) {
    this.#memory = memory;
    this.size = parts.size;
    this.#ring32 = parts.ring32;
    this.#ring16 = parts.ring16;
    this.#events = new PackedEvents(parts, options.eventIdx);
    this.#indirect = options.indirect;
    this.#listCount = new Uint16Array(parts.size);
    this.#availAt = positionOf(options.avail, parts.size);
    this.#usedAt = positionOf(options.used, parts.size);
    this.#publishedAt = this.#usedAt;
    const inflight = options.inflight;
    this.#inflight = inflight;
    if (inflight?.recovered) {
      // What was taken and not answered lies between the two places, and is recorded.
      this.#usedAt = positionOf(inflight.used, parts.size);
      this.#publishedAt = this.#usedAt;
      let recordedCount = 0;
      for (const { id, count } of inflight.recorded) {
        this.#listCount[id] = count;
        recordedCount += count;
      }
      this.#availAt = advanced(this.#usedAt, recordedCount, this.size);
    }
  }

  get base(): number {
    const avail = wrappedIndexOf(this.#availAt, this.size);
    const used = wrappedIndexOf(this.#usedAt, this.size);
    return (avail | (used << 16)) >>> 0;
  }

  availableCount(): number {
    if (this.broken !== 0) return 0;
    if (!this.#isAvailable(this.#availAt)) {
      this.#seenCount = 0;
      return 0;
    }
    const { size } = this;
    const ring = this.#ring16;
    const seenCount = this.#seenCount;
    const at = seenCount > 0 ? this.#seenAt : this.#availAt;
    let count = seenCount;
    let index = indexIn(at, this.size);
    let inThisLap = at < size ? AVAIL : USED;
    for (let budget = size; budget > 0 && count < LOOK_AHEAD_MAX; budget--) {
      const flags = ring[index * HALVES + FLAGS]!;
      if ((flags & (AVAIL | USED)) !== inThisLap) break;
      if (++index === size) {
        index = 0;
        inThisLap ^= AVAIL | USED;
      }
      if ((flags & VRING_DESC_F_NEXT) === 0) count++;
    }
    // They were seen by plain loads: one fence for all of them costs less than an acquire for each.
    if (count > seenCount) fenceLoads();
    this.#seenCount = count;
    this.#seenAt = inThisLap === AVAIL ? index : index + size;
    // A chain whose end is not there is none that a driver may make; `pop` says what is wrong with it.
    return count === 0 ? 1 : count;
  }

  pop(chain: DescriptorChain): number {
    if (this.broken !== 0) return 0;
    // What was pushed and not published is the device's still: the driver cannot know that it is back.
    const limit = this.size - lapDistance(this.#publishedAt, this.#availAt, this.size);
    const seen = this.#seenCount > 0;
    const count = copyList(this.#ring32, this.#availAt, this.size, limit, seen, chain.list);
    if (count === 0) return 0;
    if (count < 0) return this.#violate(count);
    chain.listCount = count;
    const failure = chain.walkList(this.#memory, this.size, this.#indirect);
    if (failure < 0) return this.#violate(failure);
    const id = chain.head;
    if (id >= this.size) return this.#violate(HEAD_OUT_OF_RANGE);
    if (this.#listCount[id] !== 0) return this.#violate(HEAD_IN_FLIGHT);
    if (this.#inflight !== null) {
      // Descriptors that were given back and not yet shown to the driver are not its own.
      if (!this.#inflight.hasRoom(count)) return this.#violate(RING_OVERRUN);
      this.#inflight.take(chain.list, count, id);
    }
    this.#listCount[id] = count;
    this.inFlightCount++;
    this.#availAt = advanced(this.#availAt, count, this.size);
    if (this.#seenCount > 0) this.#seenCount--;
    return 1;
  }

  popRecorded(chain: DescriptorChain): number {
    const recorded = this.#inflight?.recorded ?? [];
    this.#takingUp = this.broken === 0 && this.#takenUp < recorded.length;
    if (!this.#takingUp) return 0;
    const { list, count } = recorded[this.#takenUp]!;
    chain.list.set(list);
    chain.listCount = count;
    const failure = chain.walkList(this.#memory, this.size, this.#indirect);
    if (failure < 0) return this.#violate(failure);
    this.#takenUp++;
    this.inFlightCount++;
    return 1;
  }

  break(violation: number): void {
    this.broken = violation;
  }

  refuse(id: number, violation: number): void {
    this.broken = violation;
    // Nobody will push it: left in flight, it would keep a stop waiting for ever.
    this.inFlightCount--;
    // What was recorded stays so, and was taken long ago.
    if (this.#takingUp) return;
    const count = this.#listCount[id]!;
    this.#listCount[id] = 0;
    this.#availAt = advanced(this.#availAt, 2 * this.size - count, this.size);
    if (this.#inflight !== null) this.#inflight.untake(id);
  }

  push(id: number, writtenBytes: number): void {
    if (this.#inflight !== null) this.#inflight.answer(id);
    const at = this.#usedAt;
    const index = indexIn(at, this.size);
    const lap = at < this.size ? AVAIL | USED : 0;
    const flags = writtenBytes > 0 ? lap | VRING_DESC_F_WRITE : lap;
    const word = id | (flags << FLAGS_SHIFT);
    this.#ring32[index * LIST_WORDS + LIST_LENGTH] = writtenBytes;
    // The driver looks at one descriptor (§2.8.2): the flags of that one are held back until `publish`.
    if (at === this.#publishedAt) this.#firstWord = word;
    else this.#ring32[index * LIST_WORDS + LIST_ID_FLAGS] = word;
    const count = this.#listCount[id]!;
    this.#usedAt = advanced(at, count, this.size);
    this.#listCount[id] = 0;
    this.inFlightCount--;
  }

  publish(): boolean {
    const oldAt = this.#publishedAt;
    const newAt = this.#usedAt;
    if (oldAt === newAt) return false;
    if (this.#inflight !== null) this.#inflight.beginPublish(wrappedIndexOf(newAt, this.size));
    // Pairs with the driver's read barrier after it sees the flags (§2.8.22); the full barrier keeps
    // the load below after it, so that a driver which arms in between is not missed.
    const first = indexIn(oldAt, this.size) * LIST_WORDS + LIST_ID_FLAGS;
    storeRelease32(this.#ring32, first, this.#firstWord);
    this.#publishedAt = newAt;
    if (this.#inflight !== null) this.#inflight.endPublish();
    return this.#events.wantsCall(oldAt, newAt);
  }

  suppressKicks(): void {
    this.#events.suppressKicks();
  }

  armKicks(): boolean {
    if (this.broken !== 0) return false;
    this.#events.armKicks(this.#availAt);
    // Pairs with the driver's barrier between flags and its look at this structure (§2.8.21.3.1).
    return this.availableCount() !== 0;
  }

  position(): RingPosition {
    const { size } = this;
    return {
      layout: 'packed',
      next_avail_idx: indexIn(this.#availAt, this.size),
      avail_wrap: this.#availAt < size,
      next_is_available: this.#isAvailable(this.#availAt),
      next_used_idx: indexIn(this.#usedAt, this.size),
      used_wrap: this.#usedAt < size,
      published_idx: indexIn(this.#publishedAt, this.size),
      published_wrap: this.#publishedAt < size,
      ...this.#events.texts(),
    };
  }

  /** Whether the driver has made the descriptor at a position available in this lap (§2.8.1). */
  #isAvailable(at: number): boolean {
    const flags = loadAcquire16(this.#ring16, indexIn(at, this.size) * HALVES + FLAGS);
    return (flags & (AVAIL | USED)) === (at < this.size ? AVAIL : USED);
  }

  #violate(violation: number): number {
    if (violation !== CHAIN_MISS) this.broken = violation;
    return violation;
  }
}
