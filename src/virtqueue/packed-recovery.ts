/**
 * What a packed ring finds in an in-flight region that a process left behind: commits or rolls back the
 * batch that was being published, and copies out which chains are left. Nothing is believed: entries,
 * links, numbers and ids are bounded, none is in two places, each is read once.
 * Source: vhost-user.rst, "Inflight I/O tracking" (packed virtqueue, "When reconnecting").
 */
import { queueRegionPacked } from '../../protocol/inflight.ts';
import {
  VRING_PACKED_DESC_F_AVAIL,
  VRING_PACKED_DESC_F_USED,
  vringPackedDesc,
} from '../../protocol/virtio-ring.ts';
import { LIST_ID_FLAGS, LIST_LENGTH, LIST_WORDS } from './descriptor-chain.ts';
import { type InflightViews, inflightHeader, type QueueInflight } from './inflight-region.ts';
import {
  ADDRESS,
  COUNTER,
  ENTRY_BYTES,
  FREE_HEAD,
  ID_FLAGS,
  INFLIGHT,
  LAST,
  LENGTH,
  NEXT,
  NO_ENTRY,
  NUM,
  OLD_FREE_HEAD,
  PackedInflight,
  STEP16,
  STEP32,
  storeUsedState,
} from './packed-inflight.ts';
import {
  INDEX_MASK,
  invalidPackedBase,
  positionOf,
  usedOfBase,
  type WrappedIndex,
} from './packed-position.ts';

const HALVES = vringPackedDesc.sizeBytes / 2;
const FLAGS = vringPackedDesc.at.flags / 2;
const AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL;
const USED = 1 << VRING_PACKED_DESC_F_USED;
const WRAP = INDEX_MASK + 1;

const { at: HEADER } = queueRegionPacked;

export interface RecordedChain {
  readonly id: number;
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** Its descriptors as a DescriptorChain's list has them. */
  readonly list: Uint32Array;
  readonly counter: readonly [low: number, high: number];
}

export interface RecordedPacked {
  readonly chains: readonly RecordedChain[];
  readonly used: WrappedIndex;
  /** The free list, by entry. */
  readonly next: Uint16Array;
  readonly freeHead: number;
  readonly freeCount: number;
  readonly nextCounter: readonly [low: number, high: number];
}

/** Takes a region up, or makes it anew, for a ring that stands at `base` by whoever starts it. */
export function openPackedInflight(
  queue: QueueInflight,
  ringSize: number,
  ring16: Uint16Array,
  base: number,
): PackedInflight | string {
  const used = usedOfBase(base);
  const says = inflightHeader(queue, true, ringSize);
  if (typeof says === 'string') return says;
  if (!says) {
    return invalidPackedBase(base, ringSize) ?? new PackedInflight(queue, ringSize, used, null);
  }
  const found = readPacked(queue, ringSize, ring16);
  if (typeof found === 'string') return `in-flight region: ${found}`;
  return new PackedInflight(queue, ringSize, used, found);
}

function readPacked(
  { views, entryCount }: QueueInflight,
  ringSize: number,
  ring16: Uint16Array,
): RecordedPacked | string {
  const used = settleUsed(views, ringSize, ring16);
  if (typeof used === 'string') return used;
  /** 1: in the free list, 2: in a chain. */
  const where = new Uint8Array(entryCount);
  const next = new Uint16Array(entryCount);
  const freeHead = views.words16[FREE_HEAD]!;
  let freeCount = 0;
  for (let entry = freeHead; entry !== NO_ENTRY; entry = next[entry]!) {
    if (entry >= entryCount)
      return `the free list names entry ${entry}, expected less than ${entryCount}`;
    if (where[entry] !== 0) return `the free list names entry ${entry} twice`;
    where[entry] = 1;
    freeCount++;
    views.bytes[INFLIGHT + entry * ENTRY_BYTES] = 0;
    next[entry] = views.words16[NEXT + entry * STEP16]!;
  }
  const chains = readChains(views, ringSize, where, next);
  if (typeof chains === 'string') return chains;
  const descriptors = chains.reduce((sum, { count }) => sum + count, 0);
  if (descriptors > ringSize)
    return `${descriptors} descriptors in flight, the ring has ${ringSize}`;
  if (descriptors + freeCount !== entryCount) {
    return `${entryCount - descriptors - freeCount} entries are neither free nor in flight`;
  }
  hideUnpublished(ring16, ringSize, used, descriptors);
  const [low, high] = chains.at(-1)?.counter ?? [0xffff_ffff, 0xffff_ffff];
  const nextLow = (low + 1) >>> 0;
  const nextCounter = [nextLow, (high + (nextLow === 0 ? 1 : 0)) >>> 0] as const;
  return { chains, used, next, freeHead, freeCount, nextCounter };
}

/** Commits or rolls back the update in progress. Where the ring stands then, or a sentence. */
function settleUsed(
  views: InflightViews,
  ringSize: number,
  ring16: Uint16Array,
): WrappedIndex | string {
  const { words16 } = views;
  const used = wrappedUsed(views, HEADER.used_idx, HEADER.used_wrap_counter);
  const oldUsed = wrappedUsed(views, HEADER.old_used_idx, HEADER.old_used_wrap_counter);
  for (const [name, { index, wrap }] of [
    ['used', used],
    ['old_used', oldUsed],
  ] as const) {
    if (index >= ringSize || wrap > 1) {
      return `${name}_idx=${index}, wrap counter=${wrap}, expected less than ${ringSize} and 0 or 1`;
    }
  }
  const now = used.index + used.wrap * WRAP;
  const old = oldUsed.index + oldUsed.wrap * WRAP;
  // A batch as long as the ring ends at the same index: the wrap counters tell it.
  const published =
    now !== old &&
    (ring16[oldUsed.index * HALVES + FLAGS]! & (AVAIL | USED)) !==
      (oldUsed.wrap === 1 ? AVAIL : USED);
  if (published) words16[OLD_FREE_HEAD] = words16[FREE_HEAD]!;
  else words16[FREE_HEAD] = words16[OLD_FREE_HEAD]!;
  const stands = published ? now : old;
  storeUsedState(views, stands, stands);
  return stands;
}

function wrappedUsed({ bytes, words16 }: InflightViews, indexAt: number, wrapAt: number) {
  return { index: words16[indexAt >> 1]!, wrap: bytes[wrapAt]! };
}

/**
 * Used descriptors that were written behind one that was never shown are made available ones again: the
 * chains that they name will be answered once more, in places of which a driver must see nothing before.
 */
function hideUnpublished(
  ring16: Uint16Array,
  ringSize: number,
  used: WrappedIndex,
  outstanding: number,
): void {
  const usedAt = positionOf(used, ringSize);
  for (let step = 1; step < outstanding; step++) {
    const at = (usedAt + step) % (2 * ringSize);
    const half = (at % ringSize) * HALVES + FLAGS;
    const flags = ring16[half]!;
    const [usedBits, availBits] = at < ringSize ? [AVAIL | USED, AVAIL] : [0, USED];
    if ((flags & (AVAIL | USED)) !== usedBits) continue;
    ring16[half] = (flags & ~(AVAIL | USED)) | availBits;
  }
}

/** The chains in flight, oldest first; links go into `next`, places into `where`. */
function readChains(
  { bytes, words16, words32 }: InflightViews,
  ringSize: number,
  where: Uint8Array,
  next: Uint16Array,
): RecordedChain[] | string {
  const chains: RecordedChain[] = [];
  const ids = new Set<number>();
  for (let first = 0; first < where.length; first++) {
    if (where[first] === 1 || bytes[INFLIGHT + first * ENTRY_BYTES] === 0) continue;
    const count = words16[NUM + first * STEP16]!;
    if (count < 1 || count > ringSize)
      return `entry ${first}: num=${count}, expected 1 to ${ringSize}`;
    const list = new Uint32Array(count * LIST_WORDS);
    let last = first;
    let entry = first;
    for (let i = 0; i < count; i++) {
      if (entry >= where.length)
        return `entry ${last}: next=${entry}, expected less than ${where.length}`;
      if (where[entry] !== 0) return `entry ${entry} is in two places`;
      where[entry] = 2;
      const at = entry * STEP32;
      list[i * LIST_WORDS] = words32[ADDRESS + at]!;
      list[i * LIST_WORDS + 1] = words32[ADDRESS + at + 1]!;
      list[i * LIST_WORDS + LIST_LENGTH] = words32[LENGTH + at]!;
      list[i * LIST_WORDS + LIST_ID_FLAGS] = words32[ID_FLAGS + at]!;
      next[entry] = words16[NEXT + entry * STEP16]!;
      last = entry;
      entry = next[entry]!;
    }
    if (words16[LAST + first * STEP16] !== last)
      return `entry ${first}: last is not its last entry`;
    const id = list[(count - 1) * LIST_WORDS + LIST_ID_FLAGS]! & 0xffff;
    if (id >= ringSize || ids.has(id))
      return `entry ${first}: id=${id} is in flight twice or not below ${ringSize}`;
    ids.add(id);
    const counter = [
      words32[COUNTER + first * STEP32]!,
      words32[COUNTER + first * STEP32 + 1]!,
    ] as const;
    chains.push({ id, first, last, count, list, counter });
  }
  return chains.sort((a, b) => a.counter[1] - b.counter[1] || a.counter[0] - b.counter[0]);
}
