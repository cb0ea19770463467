/**
 * The header and the payloads of vhost-user messages, and the codes that stand in their fields.
 * Source: QEMU docs/interop/vhost-user.rst, "Message Specification". Data only.
 */
import { codes, struct } from './layout.ts';

const SOURCE = 'vhost-user.rst';

export const vhostUserHeader = struct('vhost_user_header', SOURCE, 12, {
  request: ['u32', 'VHOST_USER_*'],
  flags: ['u32', 'bits 0-1 version (1), bit 2 reply, bit 3 need_reply'],
  size: ['u32', 'payload bytes'],
});

export const vhostUserU64 = struct('u64', SOURCE, 8, {
  value: ['u64', 'a 64-bit number'],
});

export const vhostVringState = struct('vhost_vring_state', SOURCE, 8, {
  index: ['u32', 'vring index'],
  num: ['u32', 'size, base or enable bit'],
});

export const vhostVringAddr = struct('vhost_vring_addr', SOURCE, 40, {
  index: ['u32', 'vring index'],
  flags: ['u32', 'bit 0 VHOST_VRING_F_LOG'],
  desc_user_addr: ['u64', 'descriptor table, front-end address'],
  used_user_addr: ['u64', 'used ring, front-end address'],
  avail_user_addr: ['u64', 'avail ring, front-end address'],
  log_guest_addr: ['u64', 'used ring for dirty logging, guest address'],
});

export const vhostMemoryRegion = struct('vhost_memory_region', SOURCE, 32, {
  guest_addr: ['u64', 'guest-physical address'],
  size: ['u64', 'bytes'],
  user_addr: ['u64', 'front-end address'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostMemoryHead = struct('vhost_memory', SOURCE, 8, {
  nregions: ['u32', 'number of vhost_memory_region that follow'],
  padding: ['u32', 'reserved'],
});

export const vhostSingleMemoryRegion = struct('vhost_single_memory_region', SOURCE, 40, {
  padding: ['u64', 'reserved'],
  guest_addr: ['u64', 'guest-physical address'],
  size: ['u64', 'bytes'],
  user_addr: ['u64', 'front-end address'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostUserConfigHead = struct('vhost_user_config', SOURCE, 12, {
  offset: ['u32', 'first byte of the config space'],
  size: ['u32', 'bytes that follow'],
  flags: ['u32', '0 writable fields, 1 live migration'],
});

export const vhostUserLog = struct('vhost_user_log', SOURCE, 16, {
  mmap_size: ['u64', 'bytes of the dirty log'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostTransferState = struct('vhost_transfer_state', SOURCE, 8, {
  direction: ['u32', '0 save: back-end to front-end, 1 load'],
  phase: ['u32', '0: all vrings are stopped'],
});

export const VHOST_USER_TRANSFER_STATE_DIRECTION_SAVE = 0;
export const VHOST_USER_TRANSFER_STATE_DIRECTION_LOAD = 1;
export const VHOST_USER_TRANSFER_STATE_PHASE_STOPPED = 0;
/** In the reply to SET_DEVICE_STATE_FD: no fd comes with it. Bits 0-7 are an error. */
export const VHOST_USER_DEVICE_STATE_NOFD_MASK = 0x100;

/** A bit of the dirty log stands for a page of this size, whatever the machines' pages are. */
export const VHOST_LOG_PAGE = 0x1000;

export const vhostIotlbMsg = struct('vhost_iotlb_msg', SOURCE, 32, {
  iova: ['u64', 'I/O virtual address'],
  size: ['u64', 'bytes'],
  uaddr: ['u64', 'front-end address'],
  perm: ['u8', 'VHOST_ACCESS_*'],
  type: ['u8', 'VHOST_IOTLB_*'],
  padding: ['bytes[6]', 'the C struct ends at a multiple of 8'],
});

export const VHOST_ACCESS_RO = 1;
export const VHOST_ACCESS_WO = 2;
export const VHOST_ACCESS_RW = 3;

export const VHOST_IOTLB_MISS = 1;
export const VHOST_IOTLB_UPDATE = 2;
export const VHOST_IOTLB_INVALIDATE = 3;
export const VHOST_IOTLB_ACCESS_FAIL = 4;

export const vhostIotlbTypes = codes('VHOST_IOTLB (type)', SOURCE, {
  VHOST_IOTLB_MISS,
  VHOST_IOTLB_UPDATE,
  VHOST_IOTLB_INVALIDATE,
  VHOST_IOTLB_ACCESS_FAIL,
});
