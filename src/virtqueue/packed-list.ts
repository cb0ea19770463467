/**
 * Descriptors of a packed ring: whose one is by its flags, and the copy of a chain's list out of the ring. Each word is
 * read once; what the driver writes afterwards changes nothing. Source: virtio 1.3 §2.8.1, §2.8.5.
 */
import {
  VRING_DESC_F_NEXT,
  VRING_PACKED_DESC_F_AVAIL,
  VRING_PACKED_DESC_F_USED,
  vringPackedDesc,
} from '../../protocol/virtio-ring.ts';
import { loadAcquire32 } from './barrier.ts';
import { LIST_ID_FLAGS, LIST_LENGTH, LIST_WORDS } from './descriptor-chain.ts';
import { indexIn } from './packed-position.ts';
import { CHAIN_TOO_LONG, RING_OVERRUN } from './ring-violation.ts';

export const AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL;
export const USED = 1 << VRING_PACKED_DESC_F_USED;
/** A descriptor's flags in the word that holds id and flags. */
export const FLAGS_SHIFT = 8 * (vringPackedDesc.at.flags - vringPackedDesc.at.id);

/**
 * Copies the descriptors of the chain at a position: how many, 0 when it is not there, or the violation. `limit`: how
 * many the driver can have made available; what was not given back is none of them, whatever its flags say. `seen`: the
 * chain's head was seen already, and a fence was made.
 */
export function copyList(
  ring: Int32Array,
  at: number,
  size: number,
  limit: number,
  seen: boolean,
  list: Uint32Array,
): number {
  let index = indexIn(at, size);
  // Pairs with the driver's write barrier before it sets the first descriptor's flags (§2.8.21.1);
  // the fence after the look ahead does so for a head that was seen then.
  let word = seen
    ? ring[index * LIST_WORDS + LIST_ID_FLAGS]!
    : loadAcquire32(ring, index * LIST_WORDS + LIST_ID_FLAGS);
  if (((word >>> FLAGS_SHIFT) & (AVAIL | USED)) !== (at < size ? AVAIL : USED)) return 0;
  for (let count = 0; count < limit; ) {
    const from = index * LIST_WORDS;
    const to = count * LIST_WORDS;
    list[to] = ring[from]!;
    list[to + 1] = ring[from + 1]!;
    list[to + LIST_LENGTH] = ring[from + LIST_LENGTH]!;
    list[to + LIST_ID_FLAGS] = word;
    count++;
    if ((word & (VRING_DESC_F_NEXT << FLAGS_SHIFT)) === 0) return count;
    index = index + 1 === size ? 0 : index + 1;
    word = ring[index * LIST_WORDS + LIST_ID_FLAGS]!;
  }
  return limit === size ? CHAIN_TOO_LONG : RING_OVERRUN;
}
