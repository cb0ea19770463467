/**
 * Where a loop worker waits: reports eventfds that were signalled, and results of the backing file when
 * the engine delivers them here. One for io_uring, one for epoll where io_uring is forbidden.
 */
import type { ResultSink } from '../loop/backing-port.ts';

/** Keys of watched eventfds: vrings have their index, the worker's own are above every index. */
export const KEY_CONTROL = 0x1000;
/** The engine's results: nothing to do but to look at them, which every turn does. */
export const KEY_RESULTS = 0x1001;

export interface ReactorSink extends ResultSink {
  onSignal(key: number): void;
}

export interface Reactor {
  /** Reports `key` whenever `fd`, an eventfd that nobody has to read, is signalled. */
  watch(key: number, fd: number): void;
  /** Ends a watch; the fd may be closed afterwards. */
  unwatch(key: number): void;
  /** Whether a turn without waiting would bring something. Cheap: called while polling. */
  hasWork(): boolean;
  /**
   * Hands submissions to the kernel and collects what there is; with `wait`, not before there is
   * something, or a short nap is over when `nap` is set. Throws when the kernel's side fails.
   */
  turn(wait: boolean, nap: boolean): void;
  /** Delivers a batch of what was collected. True: there may be more. */
  reap(sink: ReactorSink): boolean;
}
