/**
 * Mappings: guest memory regions, anonymous memory with a fixed address, views of both.
 * A view must not be used after its mapping is gone: that is SIGSEGV, and JavaScript cannot catch it.
 */
import koffi from 'koffi';
import {
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from '../../protocol/linux.ts';
import { declare, valueOrErrno } from './libc.ts';

const mmap = declare('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)');
const munmap = declare('int munmap(uintptr_t, size_t)');
const madvise = declare('int madvise(uintptr_t, size_t, int)');
// Without their results, which would be boxed for nothing.
const memcpy = declare('void memcpy(uintptr_t, uintptr_t, size_t)');
const memset = declare('void memset(uintptr_t, int, size_t)');

/** MAP_FAILED is 2^64-1, which koffi answers as a BigInt: no valid address is one. */
function addressOrErrno(address: number | bigint): number {
  return typeof address === 'bigint' ? -koffi.errno() : address;
}

/**
 * Maps `sizeBytes` of an fd, shared, for reading and writing. Address, or -errno. Huge pages that nobody
 * has reserved are reserved here: without them touching the mapping would be SIGBUS.
 */
export function mapShared(fd: number, offsetBytes: number, sizeBytes: number): number {
  const protection = PROT_READ | PROT_WRITE;
  return addressOrErrno(mmap(0, sizeBytes, protection, MAP_SHARED, fd, offsetBytes));
}

/** Zeroed private memory, committed page by page as it is touched. Address, or -errno. */
export function mapAnonymous(sizeBytes: number): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return addressOrErrno(mmap(0, sizeBytes, PROT_READ | PROT_WRITE, flags, -1, 0));
}

/** 0, or -errno. */
export function unmap(address: number, sizeBytes: number): number {
  return valueOrErrno(munmap(address, sizeBytes));
}

/** Host memory as an ArrayBuffer, without copying. Valid for as long as the mapping is. */
export function viewMemory(address: number, sizeBytes: number): ArrayBuffer {
  return koffi.view(BigInt(address), sizeBytes);
}

export function copyMemory(to: number, from: number, lengthBytes: number): void {
  memcpy(to, from, lengthBytes);
}

export function zeroMemory(address: number, lengthBytes: number): void {
  memset(address, 0, lengthBytes);
}

const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const PAGE_BYTES = 4096;

/** Asks for huge pages where the system gives them on request: an answer of no changes nothing. */
export function adviseHugePages(address: number, lengthBytes: number): void {
  madvise(address, lengthBytes, MADV_HUGEPAGE);
}

/** Zeroes a range of private anonymous memory; whole pages are given back to the system. */
export function discardMemory(address: number, lengthBytes: number): void {
  const first = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((address + lengthBytes) / PAGE_BYTES) * PAGE_BYTES;
  if (first >= end) {
    memset(address, 0, lengthBytes);
    return;
  }
  memset(address, 0, first - address);
  memset(end, 0, address + lengthBytes - end);
  madvise(first, end - first, MADV_DONTNEED);
}
