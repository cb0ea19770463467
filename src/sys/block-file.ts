/**
 * What the kernel tells about a file that is to back a disk: kind, size, sectors, direct-I/O alignment,
 * file system; and the lock that keeps two disks from writing one file.
 */
import { closeSync, fstatSync, openSync, type Stats, statfsSync, statSync } from 'node:fs';
import {
  AT_EMPTY_PATH,
  BLKGETSIZE64,
  BLKSSZGET,
  EAGAIN,
  F_GETFL,
  F_OFD_SETLK,
  F_RDLCK,
  F_SETFL,
  F_UNLCK,
  F_WRLCK,
  flock,
  iovec,
  O_CLOEXEC,
  O_DIRECT,
  O_RDONLY,
  O_RDWR,
  RWF_NOWAIT,
  STATX_DIOALIGN,
  statx as statxLayout,
} from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const ioctl = declare('int ioctl(int, unsigned long, uintptr_t)');
const fcntl = declare('int fcntl(int, int, uintptr_t)');
const preadv64v2 = declare('intptr_t preadv64v2(int, uintptr_t, int, int64_t, int)');
const posix_fadvise = declare('int posix_fadvise(int, int64_t, int64_t, int)');
const statxCall = declare('int statx(int, const char*, int, unsigned int, uintptr_t)');

const POSIX_FADV_DONTNEED = 4;

export interface OpenFileOptions {
  readonly readOnly: boolean;
  readonly direct: boolean;
}

/** Opens a file; throws Node's own error (code, path) when it cannot. */
export function openFile(path: string, { readOnly, direct }: OpenFileOptions): number {
  return openSync(path, (readOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC | (direct ? O_DIRECT : 0));
}

/** A path to an open file, whatever its name is by now. */
export function openFilePath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Whether two open files are one. */
export function isSameFile(fd: number, other: number): boolean {
  const [a, b] = [fstatSync(fd), fstatSync(other)];
  return a.isBlockDevice() && b.isBlockDevice()
    ? a.rdev === b.rdev
    : a.dev === b.dev && a.ino === b.ino;
}

/** Switches O_DIRECT of an open file: its lock stays, as a second opening would have none. 0, or -errno. */
export function setDirectFlag(fd: number, direct: boolean): number {
  const flags = valueOrErrno(fcntl(fd, F_GETFL, 0));
  if (flags < 0) return flags;
  return valueOrErrno(fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT));
}

export function closeFile(fd: number): void {
  closeSync(fd);
}

export type FileKind = 'regular' | 'block' | 'directory' | 'other';

export interface FileFacts {
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** The file system's (or block device's) preferred block, in bytes. */
  readonly preferredBlockBytes: number;
  /** Magic number of the file system that holds the file. */
  readonly fileSystemMagic: number;
  /** The device's logical sector, for a block device; else null. */
  readonly logicalSectorBytes: number | null;
  /**
   * What direct I/O must be aligned to; null: the kernel does not say (before Linux 6.1, or a file
   * system without STATX_DIOALIGN); 0: it says that direct I/O is impossible.
   */
  readonly directMemoryAlignBytes: number | null;
  readonly directOffsetAlignBytes: number | null;
  /** A read can be tried without waiting (RWF_NOWAIT): io_uring serves it from the page cache in place. */
  readonly readsWithoutWaiting: boolean;
}

function blockDeviceSize(fd: number): { sizeBytes: number; sectorBytes: number } {
  const size = new FixedBytes(8);
  const sector = new FixedBytes(4);
  const failed =
    ioctl(fd, BLKGETSIZE64, size.address) < 0 || ioctl(fd, BLKSSZGET, sector.address) < 0;
  return {
    sizeBytes: failed ? 0 : Number(size.view.getBigUint64(0, true)),
    sectorBytes: failed ? 512 : sector.view.getInt32(0, true),
  };
}

/** The size of an open file or block device as it is now. */
export function fileSizeBytes(fd: number): number {
  const stat = fstatSync(fd);
  return stat.isBlockDevice() ? blockDeviceSize(fd).sizeBytes : stat.size;
}

/** Tries it on the first byte: only the attempt shows what a file system can do. */
function readsWithoutWaiting(fd: number): boolean {
  const byte = new FixedBytes(1);
  const vector = new FixedBytes(iovec.sizeBytes);
  vector.view.setBigUint64(iovec.at.iov_base, BigInt(byte.address), true);
  vector.view.setBigUint64(iovec.at.iov_len, 1n, true);
  const result = preadv64v2(fd, vector.address, 1, 0, RWF_NOWAIT);
  return result >= 0 || valueOrErrno(result) === -EAGAIN;
}

function kindOf(stat: Stats): FileKind {
  if (stat.isFile()) return 'regular';
  if (stat.isBlockDevice()) return 'block';
  return stat.isDirectory() ? 'directory' : 'other';
}

/** Throws Node's own error (code, path) when there is no such file. */
export function fileKind(path: string): FileKind {
  return kindOf(statSync(path));
}

/** Reads what there is to know about an open file. */
export function inspectFile(fd: number, path: string): FileFacts {
  const stat = fstatSync(fd);
  const kind = kindOf(stat);
  const device = kind === 'block' ? blockDeviceSize(fd) : null;
  const buffer = new FixedBytes(statxLayout.sizeBytes);
  const answered = statxCall(fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, buffer.address) >= 0;
  const mask = buffer.view.getUint32(statxLayout.at.stx_mask, true);
  const knows = answered && (mask & STATX_DIOALIGN) !== 0;
  const align = (at: number) => (knows ? buffer.view.getUint32(at, true) : null);
  return {
    kind,
    sizeBytes: device === null ? stat.size : device.sizeBytes,
    preferredBlockBytes: stat.blksize,
    fileSystemMagic: statfsSync(path).type,
    logicalSectorBytes: device === null ? null : device.sectorBytes,
    directMemoryAlignBytes: align(statxLayout.at.stx_dio_mem_align),
    directOffsetAlignBytes: align(statxLayout.at.stx_dio_offset_align),
    readsWithoutWaiting: readsWithoutWaiting(fd),
  };
}

/**
 * Locks the whole file for this open file description: exclusively to write, shared to read. The
 * kernel drops it when the process dies. 0, or -errno (-EAGAIN, -EACCES: someone else holds it).
 */
export function lockFile(fd: number, exclusive: boolean): number {
  return setLock(fd, exclusive ? F_WRLCK : F_RDLCK);
}

/** 0, or -errno. */
export function unlockFile(fd: number): number {
  return setLock(fd, F_UNLCK);
}

/** Drops pages of the file that are in this host's cache and not dirty. */
export function dropCachedPages(fd: number): number {
  // Answers the error itself, and leaves errno alone.
  return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

function setLock(fd: number, type: number): number {
  const lock = new FixedBytes(flock.sizeBytes);
  lock.view.setUint16(flock.at.l_type, type, true);
  return valueOrErrno(fcntl(fd, F_OFD_SETLK, lock.address));
}
