/**
 * Places in a packed ring, alone so that they can be tested exhaustively. The protocol says an index and
 * a wrap counter; here the two are one position in two laps, from 0 to 2 × size: laps whose counter is 1
 * come first, so a ring starts at position 0. Source: virtio 1.3 §2.8.1, §2.8.14; vhost-user.rst
 * (vring base of packed virtqueues).
 */
import { VRING_PACKED_EVENT_F_WRAP_CTR } from '../../protocol/virtio-ring.ts';

const WRAP = 1 << VRING_PACKED_EVENT_F_WRAP_CTR;
/** The index of a wrapped index. */
export const INDEX_MASK = WRAP - 1;

/** An index in bits 0 to 14 and its lap's wrap counter in bit 15, as events and bases have it. */
export type WrappedIndex = number;

/** The position of a wrapped index, which has to be in the ring. */
export function positionOf(wrapped: WrappedIndex, size: number): number {
  const index = wrapped & INDEX_MASK;
  return (wrapped & WRAP) !== 0 ? index : index + size;
}

export function wrappedIndexOf(at: number, size: number): WrappedIndex {
  return at < size ? at | WRAP : at - size;
}

export function indexIn(at: number, size: number): number {
  return at < size ? at : at - size;
}

/** At most two laps further. */
export function advanced(at: number, count: number, size: number): number {
  const next = at + count;
  return next < 2 * size ? next : next - 2 * size;
}

/** Steps from one position to another. */
export function lapDistance(from: number, to: number, size: number): number {
  return to >= from ? to - from : to - from + 2 * size;
}

/** The two halves of the 32-bit number in SET_VRING_BASE and GET_VRING_BASE. */
export function availOfBase(base: number): WrappedIndex {
  return base & 0xffff;
}

export function usedOfBase(base: number): WrappedIndex {
  return (base >>> 16) & 0xffff;
}

/** Why a packed ring of `size` cannot go on at `base`, or null. */
export function invalidPackedBase(base: number, size: number): string | null {
  const avail = availOfBase(base);
  const used = usedOfBase(base);
  const wrong = `base=0x${base.toString(16).padStart(8, '0')}`;
  if ((avail & INDEX_MASK) >= size || (used & INDEX_MASK) >= size) {
    return `${wrong}: avail index=${avail & INDEX_MASK}, used index=${used & INDEX_MASK}, expected less than ${size}`;
  }
  const behind = lapDistance(positionOf(used, size), positionOf(avail, size), size);
  return behind <= size
    ? null
    : `${wrong}: ${behind} descriptors in flight, expected at most ${size}`;
}
