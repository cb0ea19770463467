/**
 * eventfd(2): kicks come in on them, calls go out on them, and the main thread wakes its workers.
 */
import { readlinkSync } from 'node:fs';
import { EFD_CLOEXEC, EFD_NONBLOCK } from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const eventfd = declare('int eventfd(unsigned int, int)');
const read = declare('intptr_t read(int, uintptr_t, size_t)');
const write = declare('intptr_t write(int, uintptr_t, size_t)');

const one = new FixedBytes(8);
one.view.setUint32(0, 1, true);
const count = new FixedBytes(8);

/** A non-blocking eventfd, or -errno. */
export function createEventfd(): number {
  return valueOrErrno(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/** Whether an fd is an eventfd; a file system without /proc is given the benefit of the doubt. */
export function isEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
  } catch {
    return true;
  }
}

/** Adds one. 0, or -errno (-EAGAIN: the counter is full, so the reader is awake anyway). */
export function signalEventfd(fd: number): number {
  return write(fd, one.address, 8) < 0 ? valueOrErrno(-1) : 0;
}

/** Takes the count and resets it to 0: the count, or -errno (-EAGAIN: it was 0). */
export function drainEventfd(fd: number): number {
  return read(fd, count.address, 8) < 0 ? valueOrErrno(-1) : count.view.getUint32(0, true);
}
