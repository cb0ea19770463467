/**
 * The virtio features that a disk offers, and what the acked ones mean for its cache.
 * Feature words are BigInt: control path only. Source: virtio 1.3 §5.2.3, §5.2.5.2, §5.2.6.2.
 */
import { bitsToWord } from '../../protocol/layout.ts';
import {
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from '../../protocol/virtio-blk.ts';
import {
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import type { DiskShape } from './disk-shape.ts';

/** Whether a feature word has a bit. */
export function hasFeature(word: bigint, bit: number): boolean {
  return ((word >> BigInt(bit)) & 1n) === 1n;
}

/**
 * What GET_FEATURES answers. SIZE_MAX is not offered: vloop has no limit on a segment, and a bit with
 * an invented value only shrinks the guest's requests. NOTIFICATION_DATA changes what a guest writes to
 * its front-end; the kick that comes of it is the same eventfd.
 */
export function offeredFeatures(shape: DiskShape): bigint {
  let word = bitsToWord(
    VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_BLK_SIZE,
    VIRTIO_BLK_F_FLUSH,
    VIRTIO_BLK_F_TOPOLOGY,
    VIRTIO_BLK_F_CONFIG_WCE,
    VIRTIO_BLK_F_MQ,
    VIRTIO_RING_F_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX,
    VHOST_F_LOG_ALL,
    VHOST_USER_F_PROTOCOL_FEATURES,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_IN_ORDER,
    VIRTIO_F_NOTIFICATION_DATA,
    VIRTIO_F_RING_RESET,
    VIRTIO_F_ACCESS_PLATFORM,
  );
  if (shape.readOnly) word |= bitsToWord(VIRTIO_BLK_F_RO);
  else word |= bitsToWord(VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES);
  return word;
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
