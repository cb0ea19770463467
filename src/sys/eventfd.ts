/**
 * eventfd(2): kicks come in on them, calls go out on them, and the main thread wakes its workers.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { EFD_CLOEXEC, EFD_NONBLOCK, F_GETFL, F_SETFL } from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const eventfd = declare('int eventfd(unsigned int, int)');
const fcntl = declare('int fcntl(int, int, intptr_t)');
const read = declare('intptr_t read(int, uintptr_t, size_t)');
const write = declare('intptr_t write(int, uintptr_t, size_t)');

const one = new FixedBytes(8);
one.view.setUint32(0, 1, true);
const count = new FixedBytes(8);

/** An eventfd, non-blocking unless told otherwise, or -errno. */
export function createEventfd(flags = EFD_NONBLOCK): number {
  return valueOrErrno(eventfd(0, flags | EFD_CLOEXEC));
}

/**
 * Whether a received fd is an eventfd; it is made non-blocking, as QEMU's back-ends do: one whose
 * counter its sender has filled would block whoever signals it. Without /proc it is taken for one.
 */
export function adoptEventfd(fd: number): boolean {
  try {
    if (readlinkSync(`/proc/self/fd/${fd}`) !== 'anon_inode:[eventfd]') return false;
  } catch {
    // Not to be told: the benefit of the doubt.
  }
  return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | EFD_NONBLOCK) >= 0;
}

/** Adds one. 0, or -errno (-EAGAIN: the counter is full, so the reader is awake anyway). */
export function signalEventfd(fd: number): number {
  return write(fd, one.address, 8) < 0 ? valueOrErrno(-1) : 0;
}

/** Takes the count and resets it to 0: the count, or -errno (-EAGAIN: it was 0). */
export function drainEventfd(fd: number): number {
  return read(fd, count.address, 8) < 0 ? valueOrErrno(-1) : count.view.getUint32(0, true);
}

/** How often it was signalled and not read, without taking that; 0 also when the kernel does not say. */
export function eventfdCount(fd: number): number {
  try {
    const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
    return Number.parseInt(/^eventfd-count:\s+(\w+)$/m.exec(text)?.[1] ?? '0', 16);
  } catch {
    return 0;
  }
}
