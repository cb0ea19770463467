/**
 * The back-end's channel in a session: taken from the front-end, replaced, closed; and the news of a changed
 * config space, which waits until a vring runs, because a suspended device sends nothing.
 * Source: vhost-user.rst, "Back-end communication", "Suspended device state".
 */

import {
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../protocol/vhost-user.ts';
import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import { BackendChannel } from './backend-channel.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionPort } from './session-port.ts';

export class SessionChannel {
  /** The config space has changed and the front-end has not been told. */
  configStale = false;
  readonly #port: SessionPort;
  readonly #negotiated: (feature: number) => boolean;
  readonly #isSuspended: () => boolean;
  #channel: BackendChannel | null = null;

  /** `negotiated`: whether a protocol feature was. */
  constructor(
    port: SessionPort,
    negotiated: (feature: number) => boolean,
    isSuspended: () => boolean,
  ) {
    this.#port = port;
    this.#negotiated = negotiated;
    this.#isSuspended = isSuspended;
  }

  get current(): BackendChannel | null {
    return this.#channel;
  }

  /** -1: none that is open. */
  get fd(): number {
    return this.#channel?.isOpen === true ? this.#channel.fd : -1;
  }

  get isWaiting(): boolean {
    return this.#channel?.isWaiting ?? false;
  }

  /** SET_BACKEND_REQ_FD: takes the fd out of `fds`. */
  set(fds: number[]): null {
    const acks = () => this.#negotiated(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    const channel = new BackendChannel(this.#port, fds[0]!, acks);
    if (!channel.isOpen) {
      throw new ProtocolError(
        `${M.SET_BACKEND_REQ_FD.name}: the file descriptor is not a connected unix socket`,
      );
    }
    fds.shift();
    this.#channel?.close();
    this.#channel = channel;
    return null;
  }

  close(): void {
    this.#channel?.close();
    this.#channel = null;
  }

  configChanged(): void {
    this.configStale = true;
    this.announceConfig();
  }

  announceConfig(): void {
    if (!this.configStale || this.#isSuspended()) return;
    this.configStale = false;
    const { log } = this.#port;
    if (this.#channel === null || !this.#negotiated(VHOST_USER_PROTOCOL_F_CONFIG)) {
      log('info', {}, 'the front-end cannot be told of the new size: it gave no channel for that');
      return;
    }
    void this.#channel.send(B.CONFIG_CHANGE_MSG).then((outcome) => {
      if (outcome === 'done') log('info', {}, 'the front-end has been told of the new size');
      else log('warn', { outcome }, 'the front-end has not taken the news of the new size');
    });
  }
}
