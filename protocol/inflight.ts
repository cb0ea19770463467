/**
 * The in-flight region: memory that back-end and front-end share, in which the back-end records which
 * heads it has taken and not yet answered, so that a back-end started later can finish them.
 * One queue region after the other, each a header and an array of entries.
 * Source: vhost-user.rst, "Inflight I/O tracking", "Inflight description". Data only.
 */
import { struct } from './layout.ts';

const SOURCE = 'vhost-user.rst';

/** Payload of GET_INFLIGHT_FD and SET_INFLIGHT_FD. QEMU's C struct has four bytes of padding behind it. */
export const vhostUserInflight = struct('vhost_user_inflight', SOURCE, 20, {
  mmap_size: ['u64', 'bytes of the region'],
  mmap_offset: ['u64', 'where it starts in the file'],
  num_queues: ['u16', 'queue regions in it'],
  queue_size: ['u16', 'entries of each'],
});

/** Zero means that a queue region has not been initialised. */
export const INFLIGHT_VERSION = 1;

/** Queue regions start at multiples of this: a cache line, and what DPDK and libvhost-user do. */
export const INFLIGHT_ALIGN_SIZE = 64;

export const queueRegionSplit = struct('QueueRegionSplit', SOURCE, 16, {
  features: ['u64', '0'],
  version: ['u16', 'INFLIGHT_VERSION, or 0: not initialised'],
  desc_num: ['u16', 'entries'],
  last_batch_head: ['u16', 'head that was answered last'],
  used_idx: ['u16', 'used.idx, once the entries of the batch before it are cleared'],
});

export const descStateSplit = struct('DescStateSplit', SOURCE, 16, {
  inflight: ['u8', '1: the head was taken and not answered'],
  padding: ['bytes[5]', 'unused'],
  next: ['u16', 'head that was answered before this one'],
  counter: ['u64', 'order in which heads were taken'],
});

export const queueRegionPacked = struct('QueueRegionPacked', SOURCE, 32, {
  features: ['u64', '0'],
  version: ['u16', 'INFLIGHT_VERSION, or 0: not initialised'],
  desc_num: ['u16', 'entries'],
  free_head: ['u16', 'first free entry'],
  old_free_head: ['u16', 'the same before the update in progress'],
  used_idx: ['u16', 'where the next used descriptor goes'],
  old_used_idx: ['u16', 'the same before the update in progress'],
  used_wrap_counter: ['u8', 'device wrap counter'],
  old_used_wrap_counter: ['u8', 'the same before the update in progress'],
  padding: ['bytes[10]', 'unused: 7 declared, 3 to the alignment of the entries'],
});

export const descStatePacked = struct('DescStatePacked', SOURCE, 32, {
  inflight: ['u8', '1: the chain that starts here was taken and not answered'],
  padding: ['u8', 'unused'],
  next: ['u16', 'next entry of the chain, or next free entry'],
  last: ['u16', 'last entry of the chain'],
  num: ['u16', 'entries of the chain'],
  counter: ['u64', 'order in which chains were taken'],
  id: ['u16', 'buffer id of the descriptor'],
  flags: ['u16', 'flags of the descriptor'],
  len: ['u32', 'length of the descriptor'],
  addr: ['u64', 'address of the descriptor'],
});

/** Bytes of a queue region with `entries` entries. */
export function queueRegionBytes(packed: boolean, entries: number): number {
  return packed
    ? queueRegionPacked.sizeBytes + descStatePacked.sizeBytes * entries
    : queueRegionSplit.sizeBytes + descStateSplit.sizeBytes * entries;
}

/** The distance from one queue region to the next. */
export function queueRegionStride(packed: boolean, entries: number): number {
  return Math.ceil(queueRegionBytes(packed, entries) / INFLIGHT_ALIGN_SIZE) * INFLIGHT_ALIGN_SIZE;
}
