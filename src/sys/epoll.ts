/**
 * epoll(7), edge-triggered: an eventfd that is signalled again is reported again, so that nobody has to
 * read it.
 */

import { errnoName } from '../../protocol/errno.ts';
import {
  EINTR,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLET,
  EPOLLIN,
  epollEvent,
} from '../../protocol/linux.ts';
import { closeFd } from './descriptor.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const epoll_create1 = declare('int epoll_create1(int)');
const epoll_ctl = declare('int epoll_ctl(int, int, int, uintptr_t)');
const epoll_wait = declare('int epoll_wait(int, uintptr_t, int, int)');

const EPOLL_CLOEXEC = 0o2000000;
const EVENTS_MAX = 64;

export class Epoll {
  readonly #fd: number;
  readonly #events = new FixedBytes(EVENTS_MAX * epollEvent.sizeBytes);
  readonly #one = new FixedBytes(epollEvent.sizeBytes);
  /** Events of the last `wait`. */
  count = 0;

  constructor() {
    this.#fd = valueOrErrno(epoll_create1(EPOLL_CLOEXEC));
    if (this.#fd < 0) throw new Error(`epoll_create1: ${errnoName(this.#fd)}`);
  }

  /** 0, or -errno. */
  add(fd: number, key: number): number {
    this.#one.view.setUint32(epollEvent.at.events, EPOLLIN | EPOLLET, true);
    this.#one.view.setUint32(epollEvent.at.data, key, true);
    return valueOrErrno(epoll_ctl(this.#fd, EPOLL_CTL_ADD, fd, this.#one.address));
  }

  /** 0, or -errno. */
  remove(fd: number): number {
    return valueOrErrno(epoll_ctl(this.#fd, EPOLL_CTL_DEL, fd, this.#one.address));
  }

  /** Waits up to `timeoutMs` (-1: for as long as it takes). 0, or -errno; a signal is no error. */
  wait(timeoutMs: number): number {
    const count = valueOrErrno(epoll_wait(this.#fd, this.#events.address, EVENTS_MAX, timeoutMs));
    this.count = Math.max(count, 0);
    return count === -EINTR ? 0 : Math.min(count, 0);
  }

  /** The key of event `i` of the last `wait`. */
  key(i: number): number {
    return this.#events.view.getUint32(i * epollEvent.sizeBytes + epollEvent.at.data, true);
  }

  close(): void {
    closeFd(this.#fd);
  }
}
