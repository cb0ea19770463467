/**
 * In-flight tracking of a packed ring: a copy of every chain that was taken and not answered, because used
 * descriptors overwrite the ring, kept in memory that outlives this process. Entries are either in the free
 * list or in a chain in flight; what the list says decides, marks of free entries mean nothing.
 * Source: vhost-user.rst, "Inflight I/O tracking" (packed virtqueue).
 */
import { descStatePacked, queueRegionPacked } from '../../protocol/inflight.ts';
import { LIST_LENGTH, LIST_WORDS } from './descriptor-chain.ts';
import { beginInflight, type InflightViews, type QueueInflight } from './inflight-region.ts';
import { INDEX_MASK, type WrappedIndex } from './packed-position.ts';
import type { RecordedPacked } from './packed-recovery.ts';

export const FREE_HEAD = queueRegionPacked.at.free_head >> 1;
export const OLD_FREE_HEAD = queueRegionPacked.at.old_free_head >> 1;
/** used_idx, old_used_idx and both wrap counters lie in eight aligned bytes, which one store writes. */
const USED_STATE = queueRegionPacked.at.used_idx >> 3;

const HEADER_BYTES = queueRegionPacked.sizeBytes;
export const ENTRY_BYTES = descStatePacked.sizeBytes;
// Positions of the first entry's fields, and the distance to the next entry's, in units of each view.
export const INFLIGHT = HEADER_BYTES + descStatePacked.at.inflight;
export const NEXT = (HEADER_BYTES + descStatePacked.at.next) >> 1;
export const LAST = (HEADER_BYTES + descStatePacked.at.last) >> 1;
export const NUM = (HEADER_BYTES + descStatePacked.at.num) >> 1;
export const STEP16 = ENTRY_BYTES >> 1;
export const COUNTER = (HEADER_BYTES + descStatePacked.at.counter) >> 2;
export const ID_FLAGS = (HEADER_BYTES + descStatePacked.at.id) >> 2;
export const LENGTH = (HEADER_BYTES + descStatePacked.at.len) >> 2;
export const ADDRESS = (HEADER_BYTES + descStatePacked.at.addr) >> 2;
export const STEP32 = ENTRY_BYTES >> 2;

/** Ends the free list. */
export const NO_ENTRY = 0xffff;

/** The eight bytes as one number: its top bits are padding, so it is never one that a copy could change. */
const scratch = new DataView(new ArrayBuffer(8));

export function storeUsedState(
  views: InflightViews,
  used: WrappedIndex,
  oldUsed: WrappedIndex,
): void {
  scratch.setUint16(0, used & INDEX_MASK, true);
  scratch.setUint16(2, oldUsed & INDEX_MASK, true);
  scratch.setUint8(4, used >> 15);
  scratch.setUint8(5, oldUsed >> 15);
  views.words64[USED_STATE] = scratch.getFloat64(0, true);
}

/** Makes a queue region anew: everything is free, the ring stands at `used`. */
export function beginPacked(queue: QueueInflight, used: WrappedIndex): void {
  const { views, entryCount } = queue;
  const fill = () => {
    for (let entry = 0; entry < entryCount; entry++) {
      views.bytes[INFLIGHT + entry * ENTRY_BYTES] = 0;
      views.words16[NEXT + entry * STEP16] = entry + 1 < entryCount ? entry + 1 : NO_ENTRY;
    }
    views.words16[FREE_HEAD] = 0;
    views.words16[OLD_FREE_HEAD] = 0;
    storeUsedState(views, used, used);
  };
  beginInflight(queue, fill);
}

/** The stores are plain, for the reasons given in split-inflight.ts. */
export class PackedInflight {
  /** Chains that were in flight when the region was taken up, in the order in which they were taken. */
  readonly recorded: RecordedPacked['chains'];
  readonly recovered: boolean;
  /** Where the ring stands, by the region or by whoever starts it. */
  readonly used: WrappedIndex;

  readonly #views: InflightViews;
  readonly #counter = new Uint32Array(2);
  /** The region's links and list, which are not read back. */
  readonly #next: Uint16Array;
  #freeHead: number;
  #freeCount: number;
  /** By buffer id: the first entry of its chain; by first entry: the last one, and how many. */
  readonly #entryOfId: Uint16Array;
  readonly #lastOf: Uint16Array;
  readonly #countOf: Uint16Array;
  /** First entries of the chains answered since the last publish. */
  readonly #batch: Uint16Array;
  #batchSize = 0;
  #publishing: WrappedIndex;

  /** `found`: what readPacked found in a region that has something to say; else null, and it is begun. */
  constructor(
    queue: QueueInflight,
    ringSize: number,
    used: WrappedIndex,
    found: RecordedPacked | null,
  ) {
    const { views, entryCount } = queue;
    this.#views = views;
    this.#next = new Uint16Array(entryCount);
    this.#entryOfId = new Uint16Array(ringSize);
    this.#lastOf = new Uint16Array(entryCount);
    this.#countOf = new Uint16Array(entryCount);
    this.#batch = new Uint16Array(entryCount);
    this.recovered = found !== null;
    this.recorded = found?.chains ?? [];
    this.used = found?.used ?? used;
    this.#publishing = this.used;
    if (found === null) {
      beginPacked(queue, used);
      for (let entry = 0; entry < entryCount; entry++) this.#next[entry] = entry + 1;
      this.#next[entryCount - 1] = NO_ENTRY;
      this.#freeHead = 0;
      this.#freeCount = entryCount;
      return;
    }
    this.#next.set(found.next);
    this.#freeHead = found.freeHead;
    this.#freeCount = found.freeCount;
    this.#counter.set(found.nextCounter);
    for (const { id, first, last, count } of found.chains) {
      this.#entryOfId[id] = first;
      this.#lastOf[first] = last;
      this.#countOf[first] = count;
    }
  }

  /** Whether a chain of `count` descriptors can be recorded. */
  hasRoom(count: number): boolean {
    return count <= this.#freeCount;
  }

  /** A chain has been taken: `count` descriptors of `list`. */
  take(list: Uint32Array, count: number, id: number): void {
    const { bytes, words16, words32 } = this.#views;
    const next = this.#next;
    const counter = this.#counter;
    const first = this.#freeHead;
    words32[COUNTER + first * STEP32] = counter[0]!;
    words32[COUNTER + first * STEP32 + 1] = counter[1]!;
    counter[0]!++;
    if (counter[0] === 0) counter[1]!++;
    bytes[INFLIGHT + first * ENTRY_BYTES] = 1;
    let entry = first;
    let last = first;
    for (let i = 0; i < count; i++) {
      const from = i * LIST_WORDS;
      const to = entry * STEP32;
      words32[ADDRESS + to] = list[from]!;
      words32[ADDRESS + to + 1] = list[from + 1]!;
      words32[LENGTH + to] = list[from + LIST_LENGTH]!;
      words32[ID_FLAGS + to] = list[from + LIST_LENGTH + 1]!;
      last = entry;
      entry = next[entry]!;
    }
    words16[LAST + first * STEP16] = last;
    words16[NUM + first * STEP16] = count;
    words16[FREE_HEAD] = entry;
    // Up to here the entries are free ones: killed before this store, the chain was never taken.
    words16[OLD_FREE_HEAD] = entry;
    this.#freeHead = entry;
    this.#freeCount -= count;
    this.#entryOfId[id] = first;
    this.#lastOf[first] = last;
    this.#countOf[first] = count;
  }

  /** The chain taken last counts as never taken: its entries are the head of the free list again. */
  untake(id: number): void {
    const { bytes, words16 } = this.#views;
    const first = this.#entryOfId[id]!;
    words16[FREE_HEAD] = first;
    words16[OLD_FREE_HEAD] = first;
    bytes[INFLIGHT + first * ENTRY_BYTES] = 0;
    this.#freeHead = first;
    this.#freeCount += this.#countOf[first]!;
  }

  /**
   * A chain is being answered. Its entries stay where they are until `beginPublish`, so that chains taken in
   * between find free_head and old_free_head the same.
   */
  answer(id: number): void {
    this.#batch[this.#batchSize++] = this.#entryOfId[id]!;
  }

  /** Before the flags that show the batch to the driver are stored; the ring then stands at `used`. */
  beginPublish(used: WrappedIndex): void {
    const { words16 } = this.#views;
    for (let i = 0; i < this.#batchSize; i++) {
      const first = this.#batch[i]!;
      const last = this.#lastOf[first]!;
      words16[NEXT + last * STEP16] = this.#freeHead;
      words16[FREE_HEAD] = first;
      this.#next[last] = this.#freeHead;
      this.#freeHead = first;
      this.#freeCount += this.#countOf[first]!;
    }
    storeUsedState(this.#views, used, this.#publishing);
    this.#publishing = used;
  }

  /** After: the batch is no longer in flight, and then it has never been. */
  endPublish(): void {
    const { bytes, words16 } = this.#views;
    for (let i = 0; i < this.#batchSize; i++) {
      bytes[INFLIGHT + this.#batch[i]! * ENTRY_BYTES] = 0;
    }
    this.#batchSize = 0;
    words16[OLD_FREE_HEAD] = this.#freeHead;
    storeUsedState(this.#views, this.#publishing, this.#publishing);
  }
}
