/**
 * io_uring's shared-memory formats: SQE, CQE, setup parameters and ring offsets, opcodes and flags.
 * Source: linux/io_uring.h. Only what vloop uses is named. Data only.
 */
import { codes, struct } from './layout.ts';

export const ioUringSqe = struct('io_uring_sqe', 'linux/io_uring.h', 64, {
  opcode: ['u8', 'IORING_OP_*'],
  flags: ['u8', 'IOSQE_*'],
  ioprio: ['u16', 'I/O priority, or flags of the opcode'],
  fd: ['i32', 'file descriptor, or index of a registered file'],
  off: ['u64', 'offset into the file (addr2 of some opcodes)'],
  addr: ['u64', 'buffer, iovec array, or length for FALLOCATE'],
  len: ['u32', 'buffer size, iovec count, or mode for FALLOCATE'],
  rw_flags: ['u32', 'RWF_*, fsync_flags, poll32_events, timeout_flags…'],
  user_data: ['u64', 'given back in the CQE'],
  buf_index: ['u16', 'registered buffer or buffer group'],
  personality: ['u16', 'credentials'],
  file_index: ['u32', 'splice_fd_in or direct descriptor'],
  addr3: ['u64', 'opcode specific'],
  pad2: ['u64', 'reserved'],
});

export const ioUringCqe = struct('io_uring_cqe', 'linux/io_uring.h', 16, {
  user_data: ['u64', 'from the SQE'],
  res: ['i32', 'result, or -errno'],
  flags: ['u32', 'IORING_CQE_F_*'],
});

export const ioSqringOffsets = struct('io_sqring_offsets', 'linux/io_uring.h', 40, {
  head: ['u32', 'offset of the head in the SQ ring mapping'],
  tail: ['u32', 'offset of the tail'],
  ring_mask: ['u32', 'offset of the mask'],
  ring_entries: ['u32', 'offset of the number of entries'],
  flags: ['u32', 'offset of IORING_SQ_* flags'],
  dropped: ['u32', 'offset of the count of invalid SQEs'],
  array: ['u32', 'offset of the index array'],
  resv1: ['u32', 'reserved'],
  user_addr: ['u64', 'reserved'],
});

export const ioCqringOffsets = struct('io_cqring_offsets', 'linux/io_uring.h', 40, {
  head: ['u32', 'offset of the head in the CQ ring mapping'],
  tail: ['u32', 'offset of the tail'],
  ring_mask: ['u32', 'offset of the mask'],
  ring_entries: ['u32', 'offset of the number of entries'],
  overflow: ['u32', 'offset of the count of lost CQEs'],
  cqes: ['u32', 'offset of the CQE array'],
  flags: ['u32', 'offset of IORING_CQ_* flags'],
  resv1: ['u32', 'reserved'],
  user_addr: ['u64', 'reserved'],
});

export const ioUringParams = struct('io_uring_params', 'linux/io_uring.h', 120, {
  sq_entries: ['u32', 'out: SQ entries'],
  cq_entries: ['u32', 'in with CQSIZE, out: CQ entries'],
  flags: ['u32', 'IORING_SETUP_*'],
  sq_thread_cpu: ['u32', 'SQPOLL only'],
  sq_thread_idle: ['u32', 'SQPOLL only'],
  features: ['u32', 'out: IORING_FEAT_*'],
  wq_fd: ['u32', 'ATTACH_WQ only'],
  resv: ['bytes[12]', 'reserved'],
  sq_off: ['bytes[40]', 'out: io_sqring_offsets'],
  cq_off: ['bytes[40]', 'out: io_cqring_offsets'],
});

export const ioUringRsrcUpdate = struct('io_uring_rsrc_update', 'linux/io_uring.h', 16, {
  offset: ['u32', 'slot, or -1 for any'],
  resv: ['u32', 'reserved'],
  data: ['u64', 'the file descriptor'],
});

export const IORING_OP_NOP = 0;
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;
export const IORING_OP_FSYNC = 3;
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_POLL_REMOVE = 7;
export const IORING_OP_TIMEOUT = 11;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_FALLOCATE = 17;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;

export const ioUringOps = codes('IORING_OP', 'linux/io_uring.h', {
  IORING_OP_NOP,
  IORING_OP_READV,
  IORING_OP_WRITEV,
  IORING_OP_FSYNC,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_FALLOCATE,
  IORING_OP_READ,
  IORING_OP_WRITE,
});

export const IOSQE_FIXED_FILE = 1 << 0;

export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_CLAMP = 1 << 4;
export const IORING_SETUP_SUBMIT_ALL = 1 << 7;
export const IORING_SETUP_COOP_TASKRUN = 1 << 8;
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;

export const IORING_FEAT_SINGLE_MMAP = 1 << 0;
export const IORING_FEAT_NODROP = 1 << 1;

export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_SQ_TASKRUN = 1 << 2;

export const IORING_ENTER_GETEVENTS = 1 << 0;
export const IORING_ENTER_REGISTERED_RING = 1 << 4;

export const IORING_REGISTER_FILES = 2;
export const IORING_REGISTER_FILES_UPDATE = 6;
export const IORING_REGISTER_RING_FDS = 20;

export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;

export const IORING_POLL_ADD_MULTI = 1 << 0;
export const IORING_FSYNC_DATASYNC = 1 << 0;
export const IORING_CQE_F_MORE = 1 << 1;
