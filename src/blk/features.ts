/**
 * The virtio features that a disk offers, and what the acked ones mean for its cache.
 * Feature words are BigInt: control path only. Source: virtio 1.3 §5.2.3, §5.2.5.2, §5.2.6.2.
 */
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  virtioBlkFeatures,
} from '../../protocol/virtio-blk.ts';
import { ringFeatures } from '../../protocol/virtio-ring.ts';
import type { DiskShape } from './disk-shape.ts';
import { offeredVirtioWord } from './virtio-features.ts';

/** Whether a feature word has a bit. */
export function hasFeature(word: bigint, bit: number): boolean {
  return ((word >> BigInt(bit)) & 1n) === 1n;
}

/** The names of a feature word's bits, those of the block device first. */
export function featureNames(word: bigint): string[] {
  const known = [virtioBlkFeatures, ringFeatures].flatMap(({ values }) => Object.entries(values));
  return known.filter(([, bit]) => hasFeature(word, bit)).map(([name]) => name);
}

/** What GET_FEATURES answers. */
export function offeredFeatures(shape: DiskShape): bigint {
  const word = offeredVirtioWord(shape.readOnly);
  return shape.discard ? word : word & ~(1n << BigInt(VIRTIO_BLK_F_DISCARD));
}

/**
 * Whether each write must be durable before it completes (§5.2.6.2): with CONFIG_WCE the writeback
 * byte decides, but a driver that cannot flush gets writeback = 0; without CONFIG_WCE a driver that
 * acked FLUSH has a write-back cache, and one that acked neither has none.
 */
export function isWriteThrough(acked: bigint, writeback: boolean): boolean {
  const canFlush = hasFeature(acked, VIRTIO_BLK_F_FLUSH);
  if (!canFlush) return true;
  return hasFeature(acked, VIRTIO_BLK_F_CONFIG_WCE) && !writeback;
}
