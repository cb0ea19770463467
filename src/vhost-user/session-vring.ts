/**
 * One vring as the session knows it: what the front-end has said of it so far, and the eventfds it owns.
 * Started and enabled are two independent bits (vhost-user.rst, "Ring states").
 */
import type { VringAddresses } from '../virtqueue/vring-config.ts';
import type { VringState } from '../worker/session-state.ts';

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
  /** The front-end has said of an eventfd what it is, be it none: polling, then, and no messages. */
  readonly named: Record<VringFd, boolean> = { kick: false, call: false, err: false };
  readonly fds: Record<VringFd, number> = { kick: -1, call: -1, err: -1 };

  constructor(index: number) {
    this.index = index;
  }

  /** It is stopped, and nothing has been said of it. */
  forget(): void {
    this.size = 0;
    this.base = 0;
    this.addresses = null;
    this.logGuestAddress = -1;
    this.started = false;
    this.enabled = false;
    this.drained = true;
  }

  /** Replaces an eventfd; answers the old one, which the caller closes, or -1. */
  replaceFd(which: VringFd, fd: number): number {
    const old = this.fds[which];
    this.fds[which] = fd;
    return old;
  }

  /** For another process; null: nobody has said anything of it. A running vring's base comes later. */
  get state(): VringState | null {
    const { index, size, base, addresses, logGuestAddress } = this;
    const { started, enabled, drained, fds } = this;
    const { kick: kickFd, call: callFd, err: errFd } = fds;
    const named = size > 0 || base > 0 || addresses !== null || enabled || drained;
    if (!named && kickFd < 0 && callFd < 0 && errFd < 0) return null;
    const set = { index, size, base, addresses, logGuestAddress };
    return { ...set, started, enabled, drained, kickFd, callFd, errFd };
  }

  /** Everything but that it runs. */
  adopt(state: VringState): void {
    this.size = state.size;
    this.base = state.base;
    this.addresses = state.addresses;
    this.logGuestAddress = state.logGuestAddress;
    this.enabled = state.enabled;
    this.drained = state.drained;
    this.fds.kick = state.kickFd;
    this.fds.call = state.callFd;
    this.fds.err = state.errFd;
  }
}
