/**
 * One vring as the session knows it: what the front-end has said of it so far, and the eventfds it owns.
 * Started and enabled are two independent bits (vhost-user.rst, "Ring states").
 */
import type { VringAddresses } from '../virtqueue/vring-config.ts';

export type VringFd = 'kick' | 'call' | 'err';

export class SessionVring {
  readonly index: number;
  size = 0;
  base = 0;
  addresses: VringAddresses | null = null;
  /** Where the used ring is for the dirty log, or -1. */
  logGuestAddress = -1;
  started = false;
  enabled = false;
  /** It was stopped with nothing in flight: the front-end's base is right, whatever a region says. */
  drained = false;
  readonly fds: Record<VringFd, number> = { kick: -1, call: -1, err: -1 };

  constructor(index: number) {
    this.index = index;
  }

  /** Replaces an eventfd; answers the old one, which the caller closes, or -1. */
  replaceFd(which: VringFd, fd: number): number {
    const old = this.fds[which];
    this.fds[which] = fd;
    return old;
  }
}
