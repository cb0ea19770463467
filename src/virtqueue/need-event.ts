/**
 * The wrapping 16-bit arithmetic of ring indices, alone so that it can be tested exhaustively.
 * Source: virtio 1.3 §2.7.7.1 and §2.7.10 (vring_need_event).
 */

/** Steps from `from` to `to` modulo 2^16. */
export function idxDistance(from: number, to: number): number {
  return (to - from) & 0xffff;
}

/**
 * Whether moving an index from `oldIdx` to `newIdx` passes `eventIdx`, i.e. eventIdx is in
 * [oldIdx, newIdx): the other side asked to be notified once the entry at eventIdx is there.
 */
export function vringNeedEvent(eventIdx: number, newIdx: number, oldIdx: number): boolean {
  return ((newIdx - eventIdx - 1) & 0xffff) < ((newIdx - oldIdx) & 0xffff);
}
