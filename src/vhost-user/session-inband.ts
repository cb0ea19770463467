/**
 * In-band notifications of a session: where the front-end gives no eventfd, one of this process stands in,
 * and what is signalled on it goes out as VRING_CALL or VRING_ERR. Workers know nothing of it. A signal that
 * comes while the last one is unanswered is not lost and not queued: one message follows for all of them.
 * Source: vhost-user.rst, "In-band notifications".
 */

import {
  vhostUserBackendMessages as B,
  type BackendMessageRow,
} from '../../protocol/vhost-user-backend-messages.ts';
import { vhostVringState } from '../../protocol/vhost-user-payloads.ts';
import type { BackendChannel } from './backend-channel.ts';
import { ProtocolError } from './protocol-error.ts';
import type { EventfdWatch, SessionPort } from './session-port.ts';

interface Relay {
  readonly vring: number;
  readonly row: BackendMessageRow;
  readonly watch: EventfdWatch;
  sending: boolean;
  again: boolean;
}

export class SessionInband {
  readonly #port: SessionPort;
  readonly #channel: () => BackendChannel | null;
  readonly #negotiated: () => boolean;
  /** By the eventfd that stands in. */
  readonly #relays = new Map<number, Relay>();

  constructor(port: SessionPort, channel: () => BackendChannel | null, negotiated: () => boolean) {
    this.#port = port;
    this.#channel = channel;
    this.#negotiated = negotiated;
  }

  /** The front-end may leave out eventfds, and messages take their place. */
  get negotiated(): boolean {
    return this.#negotiated();
  }

  /** Messages stand in for an eventfd: another process could not take that over. */
  get inUse(): boolean {
    return this.#relays.size > 0;
  }

  /** An eventfd whose signals go out as messages; the caller's, who closes it after `release`. */
  standIn(vring: number, which: 'call' | 'err'): number {
    const fd = this.kickFd();
    const relay: Relay = {
      vring,
      row: which === 'call' ? B.VRING_CALL : B.VRING_ERR,
      watch: this.#port.watchEventfd(fd, () => this.#send(relay)),
      sending: false,
      again: false,
    };
    this.#relays.set(fd, relay);
    return fd;
  }

  /** An eventfd that VRING_KICK is passed on through. */
  kickFd(): number {
    const fd = this.#port.createEventfd();
    if (fd < 0) throw new ProtocolError('there is no eventfd left for in-band notifications');
    return fd;
  }

  /** An fd is about to be closed: if it stands in for one, what was signalled last still goes out. */
  release(fd: number): void {
    const relay = this.#relays.get(fd);
    if (relay === undefined) return;
    this.#relays.delete(fd);
    const signalled = relay.watch.stop() || relay.again;
    relay.again = false;
    relay.sending = false;
    if (signalled) this.#send(relay);
  }

  #send(relay: Relay): void {
    if (relay.sending) {
      relay.again = true;
      return;
    }
    const channel = this.#channel();
    if (channel === null) {
      this.#say(relay, 'no channel');
      return;
    }
    relay.sending = true;
    const payload = new Uint8Array(vhostVringState.sizeBytes);
    new DataView(payload.buffer).setUint32(vhostVringState.at.index, relay.vring, true);
    void channel.send(relay.row, payload).then((outcome) => {
      relay.sending = false;
      if (outcome !== 'done') this.#say(relay, outcome);
      if (!relay.again) return;
      relay.again = false;
      this.#send(relay);
    });
  }

  #say({ vring, row }: Relay, outcome: string): void {
    this.#port.log(
      'warn',
      { vring, message: row.name, outcome },
      'an in-band notification is lost',
    );
  }
}
