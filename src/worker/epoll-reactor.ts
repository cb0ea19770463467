/**
 * A reactor for machines where io_uring is forbidden (container runtimes do so by default): epoll over
 * the eventfds. Results of the backing file come from the file itself, whose eventfd is watched too.
 */
import { Epoll } from '../sys/epoll.ts';
import type { Reactor, ReactorSink } from './reactor.ts';

/** epoll counts milliseconds: a ring whose driver does not kick is looked at once in each. */
const NAP_MS = 1;

export class EpollReactor implements Reactor {
  readonly #epoll = new Epoll();
  readonly #fds = new Map<number, number>();

  watch(key: number, fd: number): void {
    this.#fds.set(key, fd);
    const failure = this.#epoll.add(fd, key);
    if (failure < 0) throw new Error(`epoll_ctl failed: errno ${-failure}`);
  }

  close(): void {
    this.#epoll.close();
  }

  unwatch(key: number): void {
    const fd = this.#fds.get(key);
    if (fd === undefined) return;
    this.#fds.delete(key);
    this.#epoll.remove(fd);
  }

  /** Only the kernel knows, and asking costs a call: turns ask, polling looks at the rings alone. */
  hasWork(): boolean {
    return false;
  }

  turn(wait: boolean, nap: boolean): void {
    const failure = this.#epoll.wait(wait ? (nap ? NAP_MS : -1) : 0);
    if (failure < 0) throw new Error(`epoll_wait failed: errno ${-failure}`);
  }

  reap(sink: ReactorSink): boolean {
    const { count } = this.#epoll;
    // A worker that finds work as it arms kicks does not wait, and looks here all the same.
    this.#epoll.count = 0;
    for (let i = 0; i < count; i++) sink.onSignal(this.#epoll.key(i));
    return false;
  }
}
