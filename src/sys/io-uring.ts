/**
 * io_uring(7) by its three system calls: set-up and mapping, enter, register. The queues' arithmetic
 * is src/uring; nothing here knows what a request is. Call numbers are the same on every architecture.
 */
import { closeSync } from 'node:fs';
import {
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_REGISTER_FILES,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_RING_FDS,
  IORING_SETUP_CLAMP,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  ioCqringOffsets,
  ioSqringOffsets,
  ioUringCqe,
  ioUringParams,
  ioUringRsrcUpdate,
  ioUringSqe,
} from '../../protocol/io-uring.ts';
import { EINVAL, MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE } from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';
import { unmap, viewMemory } from './mmap.ts';

// libc has no wrappers; on x86-64 syscall() takes its arguments in registers like every function.
const setup = declare('int syscall(long, unsigned int, uintptr_t)');
const enter = declare(
  'int syscall(long, int, unsigned int, unsigned int, unsigned int, uintptr_t, size_t)',
);
const register = declare('int syscall(long, int, unsigned int, uintptr_t, unsigned int)');
const mmap = declare('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)');
const NR_io_uring_setup = 425;
const NR_io_uring_enter = 426;
const NR_io_uring_register = 427;

/**
 * Best first. DEFER_TASKRUN (Linux 6.1) keeps completions from interrupting the worker; COOP_TASKRUN
 * (5.19) does the same halfway; older kernels get a plain ring.
 */
const SETUP_FLAGS = [
  IORING_SETUP_SUBMIT_ALL |
    IORING_SETUP_SINGLE_ISSUER |
    IORING_SETUP_DEFER_TASKRUN |
    IORING_SETUP_TASKRUN_FLAG,
  IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
  0,
];

/** The memory of a ring, as views. */
export interface UringMapping {
  readonly fd: number;
  readonly flags: number;
  readonly sqEntries: number;
  readonly cqEntries: number;
  /** SQ ring and CQ ring, one mapping, in 32-bit units. */
  readonly rings: Uint32Array;
  /** Positions in `rings`. */
  readonly sqHead: number;
  readonly sqTail: number;
  readonly sqFlags: number;
  readonly sqArray: number;
  readonly cqHead: number;
  readonly cqTail: number;
  readonly cqes: number;
  /** The SQEs, in 32-bit units. */
  readonly sqes: Uint32Array;
  readonly unmap: () => void;
}

function mapRing(fd: number, params: FixedBytes, flags: number): UringMapping | number {
  const { at } = ioUringParams;
  const u32 = (offset: number) => params.view.getUint32(offset, true);
  const sqAt = (field: number) => u32(at.sq_off + field);
  const cqAt = (field: number) => u32(at.cq_off + field);
  const sqEntries = u32(at.sq_entries);
  const cqEntries = u32(at.cq_entries);
  const ringBytes = Math.max(
    sqAt(ioSqringOffsets.at.array) + 4 * sqEntries,
    cqAt(ioCqringOffsets.at.cqes) + ioUringCqe.sizeBytes * cqEntries,
  );
  const sqeBytes = ioUringSqe.sizeBytes * sqEntries;
  const map = (offset: number, size: number) =>
    mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  const rings = map(IORING_OFF_SQ_RING, ringBytes);
  const sqes = map(IORING_OFF_SQES, sqeBytes);
  if (typeof rings === 'bigint' || typeof sqes === 'bigint') return valueOrErrno(-1);
  return {
    fd,
    flags,
    sqEntries,
    cqEntries,
    rings: new Uint32Array(viewMemory(rings, ringBytes), 0, Math.floor(ringBytes / 4)),
    sqHead: sqAt(ioSqringOffsets.at.head) / 4,
    sqTail: sqAt(ioSqringOffsets.at.tail) / 4,
    sqFlags: sqAt(ioSqringOffsets.at.flags) / 4,
    sqArray: sqAt(ioSqringOffsets.at.array) / 4,
    cqHead: cqAt(ioCqringOffsets.at.head) / 4,
    cqTail: cqAt(ioCqringOffsets.at.tail) / 4,
    cqes: cqAt(ioCqringOffsets.at.cqes) / 4,
    sqes: new Uint32Array(viewMemory(sqes, sqeBytes), 0, sqeBytes / 4),
    unmap() {
      unmap(rings, ringBytes);
      unmap(sqes, sqeBytes);
    },
  };
}

/**
 * Creates a ring for the calling thread, with the best flags that the kernel takes.
 * -errno: -ENOSYS (no io_uring), -EPERM (forbidden by sysctl or seccomp), -ENOMEM (memlock).
 */
export function createRing(sqEntries: number, cqEntries: number): UringMapping | number {
  for (const flags of SETUP_FLAGS) {
    const params = new FixedBytes(ioUringParams.sizeBytes);
    const all = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.view.setUint32(ioUringParams.at.cq_entries, cqEntries, true);
    params.view.setUint32(ioUringParams.at.flags, all, true);
    const fd = valueOrErrno(setup(NR_io_uring_setup, sqEntries, params.address));
    if (fd === -EINVAL) continue;
    if (fd < 0) return fd;
    const features = params.view.getUint32(ioUringParams.at.features, true);
    const needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP;
    const mapping = (features & needed) === needed ? mapRing(fd, params, all) : -EINVAL;
    if (typeof mapping === 'number') closeSync(fd);
    return mapping;
  }
  return -EINVAL;
}

/** Whether this process may use io_uring: 0, or -errno as createRing answers it. */
export function probeRing(): number {
  const mapping = createRing(2, 4);
  if (typeof mapping === 'number') return mapping;
  mapping.unmap();
  closeSync(mapping.fd);
  return 0;
}

/** io_uring_enter(2): how many SQEs were taken, or -errno. `ring` is an fd or a registered index. */
export function enterRing(
  ring: number,
  toSubmit: number,
  minComplete: number,
  flags: number,
): number {
  return valueOrErrno(enter(NR_io_uring_enter, ring, toSubmit, minComplete, flags, 0, 0));
}

/** Registers files: SQEs name them by position. 0, or -errno. */
export function registerFiles(ringFd: number, fds: readonly number[]): number {
  const array = new FixedBytes(4 * fds.length);
  fds.forEach((fd, i) => {
    array.view.setInt32(4 * i, fd, true);
  });
  return valueOrErrno(
    register(NR_io_uring_register, ringFd, IORING_REGISTER_FILES, array.address, fds.length),
  );
}

/**
 * Makes a registered file another one; what is under way keeps the old one open. By the ring's own thread. 0, or -errno.
 */
export function updateRegisteredFile(ringFd: number, index: number, fd: number): number {
  const array = new FixedBytes(4);
  array.view.setInt32(0, fd, true);
  const update = new FixedBytes(ioUringRsrcUpdate.sizeBytes);
  update.view.setUint32(ioUringRsrcUpdate.at.offset, index, true);
  update.view.setBigUint64(ioUringRsrcUpdate.at.data, BigInt(array.address), true);
  const result = valueOrErrno(
    register(NR_io_uring_register, ringFd, IORING_REGISTER_FILES_UPDATE, update.address, 1),
  );
  return Math.min(result, 0);
}

/** Registers the ring's own fd for the calling thread: the index for enterRing, or -errno. */
export function registerRingFd(ringFd: number): number {
  const update = new FixedBytes(ioUringRsrcUpdate.sizeBytes);
  update.view.setUint32(ioUringRsrcUpdate.at.offset, 0xffffffff, true);
  update.view.setBigUint64(ioUringRsrcUpdate.at.data, BigInt(ringFd), true);
  const result = valueOrErrno(
    register(NR_io_uring_register, ringFd, IORING_REGISTER_RING_FDS, update.address, 1),
  );
  return result < 0 ? result : update.view.getUint32(ioUringRsrcUpdate.at.offset, true);
}
