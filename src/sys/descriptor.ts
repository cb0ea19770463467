/**
 * A file descriptor as such, whatever it stands for. Files, sockets and eventfds have files of their own.
 */
import { declare, valueOrErrno } from './libc.ts';

const fcntl = declare('int fcntl(int, int, intptr_t)');

const F_DUPFD_CLOEXEC = 1030;

/** Another descriptor of the same open file, or -errno (-EMFILE: no more are allowed). */
export function duplicateFd(fd: number): number {
  return valueOrErrno(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}
