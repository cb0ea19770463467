/**
 * Blocking calls on a file at an offset: what tmpfs is fastest with, and what I/O threads make.
 * Each answers a count or 0, or -errno.
 */
import { iovec, RWF_DSYNC } from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const pread64 = declare('intptr_t pread64(int, uintptr_t, size_t, int64_t)');
const pwrite64 = declare('intptr_t pwrite64(int, uintptr_t, size_t, int64_t)');
const preadv64 = declare('intptr_t preadv64(int, uintptr_t, int, int64_t)');
const pwritev64v2 = declare('intptr_t pwritev64v2(int, uintptr_t, int, int64_t, int)');
const fdatasync = declare('int fdatasync(int)');
const fallocate64 = declare('int fallocate64(int, int, int64_t, int64_t)');

const TWO_TO_32 = 2 ** 32;
const single = new FixedBytes(iovec.sizeBytes);

export function readAt(fd: number, offset: number, address: number, length: number): number {
  return valueOrErrno(pread64(fd, address, length, offset));
}

export function writeAt(fd: number, offset: number, address: number, length: number): number {
  return valueOrErrno(pwrite64(fd, address, length, offset));
}

/** A write that is durable when it returns. */
export function writeAtDurably(
  fd: number,
  offset: number,
  address: number,
  length: number,
): number {
  const { view } = single;
  view.setUint32(iovec.at.iov_base, address % TWO_TO_32, true);
  view.setUint32(iovec.at.iov_base + 4, Math.floor(address / TWO_TO_32), true);
  view.setUint32(iovec.at.iov_len, length, true);
  return valueOrErrno(pwritev64v2(fd, single.address, 1, offset, RWF_DSYNC));
}

export function readVectorsAt(fd: number, offset: number, vectors: number, count: number): number {
  return valueOrErrno(preadv64(fd, vectors, count, offset));
}

export function writeVectorsAt(
  fd: number,
  offset: number,
  vectors: number,
  count: number,
  durable: boolean,
): number {
  return valueOrErrno(pwritev64v2(fd, vectors, count, offset, durable ? RWF_DSYNC : 0));
}

export function syncData(fd: number): number {
  return valueOrErrno(fdatasync(fd));
}

export function allocateAt(fd: number, mode: number, offset: number, length: number): number {
  return valueOrErrno(fallocate64(fd, mode, offset, length));
}
