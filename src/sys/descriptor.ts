/**
 * A file descriptor as such, whatever it stands for. Files, sockets and eventfds have files of their own.
 */
import { O_CLOEXEC } from '../../protocol/linux.ts';
import { declare, valueOrErrno } from './libc.ts';

const fcntl = declare('int fcntl(int, int, intptr_t)');

const close = declare('int close(int)');
const dup3 = declare('int dup3(int, int, int)');

const F_DUPFD_CLOEXEC = 1030;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** Another descriptor of the same open file, or -errno (-EMFILE: no more are allowed). */
export function duplicateFd(fd: number): number {
  return valueOrErrno(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/** Programs that this one starts do not get it. 0, or -errno (-EBADF: there is none). */
export function closeOnExec(fd: number): number {
  return valueOrErrno(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

/** Of a descriptor that Node has not opened in this thread: its own close would warn of that. */
export function closeFd(fd: number): void {
  close(fd);
}

/** Makes the number `fd` stand for the open file of `from`, at once, whoever uses it. 0, or -errno. */
export function replaceFd(from: number, fd: number): number {
  return Math.min(valueOrErrno(dup3(from, fd, O_CLOEXEC)), 0);
}
