/**
 * Virtqueue wire formats: split and packed ring layouts, descriptor flags, ring feature bits.
 * Source: virtio 1.3 §2.7 (split virtqueues), §2.8 (packed virtqueues), §6 (reserved feature bits);
 * linux/virtio_ring.h.
 * Data only; imports nothing but the layout declarations.
 */
import { codes, struct } from './layout.ts';

export const vringDesc = struct('vring_desc', 'virtio 1.3 §2.7.5', 16, {
  addr: ['le64', 'guest-physical address of the buffer'],
  len: ['le32', 'length of the buffer in bytes'],
  flags: ['le16', 'VRING_DESC_F_*'],
  next: ['le16', 'index of the next descriptor, if flags has NEXT'],
});

/** The fixed head of the avail ring; `ring[num]` of le16 and `used_event` follow. */
export const vringAvail = struct('vring_avail', 'virtio 1.3 §2.7.6', 4, {
  flags: ['le16', 'VRING_AVAIL_F_*'],
  idx: ['le16', 'where the driver puts the next head, free-running'],
});

export const vringUsedElem = struct('vring_used_elem', 'virtio 1.3 §2.7.8', 8, {
  id: ['le32', 'head index of the descriptor chain'],
  len: ['le32', 'bytes written to the writable part of the chain'],
});

/** The fixed head of the used ring; `ring[num]` of vring_used_elem and `avail_event` follow. */
export const vringUsed = struct('vring_used', 'virtio 1.3 §2.7.8', 4, {
  flags: ['le16', 'VRING_USED_F_*'],
  idx: ['le16', 'where the device puts the next element, free-running'],
});

export const VRING_DESC_F_NEXT = 1;
export const VRING_DESC_F_WRITE = 2;
export const VRING_DESC_F_INDIRECT = 4;
export const VRING_AVAIL_F_NO_INTERRUPT = 1;
export const VRING_USED_F_NO_NOTIFY = 1;

export const vringDescFlags = codes('VRING_DESC_F', 'virtio 1.3 §2.7.5', {
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_DESC_F_INDIRECT,
});

/** A ring has at most so many entries (virtio 1.3 §2.7, §2.8); a split ring a power of two. */
export const VIRTQUEUE_SIZE_MAX = 32768;

/** Alignment of the three parts of a split ring (virtio 1.3 §2.7). */
export const VRING_DESC_ALIGN_SIZE = 16;
export const VRING_AVAIL_ALIGN_SIZE = 2;
export const VRING_USED_ALIGN_SIZE = 4;

/** Bytes of the descriptor table of a ring with `num` entries. */
export function vringDescTableBytes(num: number): number {
  return vringDesc.sizeBytes * num;
}

/** Bytes of the avail ring: flags, idx, ring[num], used_event. */
export function vringAvailBytes(num: number): number {
  return vringAvail.sizeBytes + 2 * num + 2;
}

/** Bytes of the used ring: flags, idx, ring[num], avail_event. */
export function vringUsedBytes(num: number): number {
  return vringUsed.sizeBytes + vringUsedElem.sizeBytes * num + 2;
}

/** A descriptor of a packed ring, or of an indirect table for one; also what the device writes back. */
export const vringPackedDesc = struct('vring_packed_desc', 'virtio 1.3 §2.8.13', 16, {
  addr: ['le64', 'guest-physical address of the buffer; unused when used'],
  len: ['le32', 'length of the buffer in bytes; when used, bytes written to it'],
  id: ['le16', 'buffer id, in the last descriptor of a list'],
  flags: ['le16', 'VRING_DESC_F_*, and VRING_PACKED_DESC_F_* by bit number'],
});

/** Driver area and device area of a packed ring: which notifications its writer wants. */
export const vringPackedDescEvent = struct('vring_packed_desc_event', 'virtio 1.3 §2.8.14', 4, {
  off_wrap: ['le16', 'ring offset in bits 0 to 14, wrap counter in VRING_PACKED_EVENT_F_WRAP_CTR'],
  flags: ['le16', 'VRING_PACKED_EVENT_FLAG_*'],
});

/** Bit numbers in the flags of a packed descriptor. */
export const VRING_PACKED_DESC_F_AVAIL = 7;
export const VRING_PACKED_DESC_F_USED = 15;
/** The bit number of the wrap counter beside an offset. */
export const VRING_PACKED_EVENT_F_WRAP_CTR = 15;

export const VRING_PACKED_EVENT_FLAG_ENABLE = 0;
export const VRING_PACKED_EVENT_FLAG_DISABLE = 1;
export const VRING_PACKED_EVENT_FLAG_DESC = 2;

export const vringPackedEventFlags = codes('VRING_PACKED_EVENT_FLAG', 'virtio 1.3 §2.8.10', {
  VRING_PACKED_EVENT_FLAG_ENABLE,
  VRING_PACKED_EVENT_FLAG_DISABLE,
  VRING_PACKED_EVENT_FLAG_DESC,
});

/** Alignment of the parts of a packed ring (virtio 1.3 §2.8.10.1); the ring's is VRING_DESC_ALIGN_SIZE. */
export const PACKED_EVENT_ALIGN_SIZE = 4;

/** Bytes of the descriptor ring of a packed ring with `num` entries. */
export function vringPackedRingBytes(num: number): number {
  return vringPackedDesc.sizeBytes * num;
}

/** Feature bits that belong to the transport and the rings (bit numbers). */
export const VIRTIO_F_NOTIFY_ON_EMPTY = 24;
export const VHOST_F_LOG_ALL = 26;
export const VIRTIO_F_ANY_LAYOUT = 27;
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
export const VIRTIO_RING_F_EVENT_IDX = 29;
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_ACCESS_PLATFORM = 33;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_IN_ORDER = 35;
export const VIRTIO_F_ORDER_PLATFORM = 36;
export const VIRTIO_F_NOTIFICATION_DATA = 38;
export const VIRTIO_F_RING_RESET = 40;

export const ringFeatures = codes('ring features (bits)', 'virtio 1.3 §6, vhost-user', {
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VHOST_F_LOG_ALL,
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_RESET,
});
