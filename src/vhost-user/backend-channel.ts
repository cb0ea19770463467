/**
 * The back-end's own messages, on the socket that SET_BACKEND_REQ_FD brought. Where REPLY_ACK was
 * negotiated each asks for a reply, which is awaited for a bounded time; nothing here waits inside the
 * handling of a front-end's message, because a front-end may have to say something first (an IOTLB
 * update) before it can answer. Source: vhost-user.rst, "Back-end communication".
 */

import {
  VHOST_USER_NEED_REPLY_MASK,
  VHOST_USER_REPLY_FLAGS,
  VHOST_USER_VERSION,
} from '../../protocol/vhost-user.ts';
import type { BackendMessageRow } from '../../protocol/vhost-user-backend-messages.ts';
import { vhostUserHeader, vhostUserU64 } from '../../protocol/vhost-user-payloads.ts';
import type { ChannelSocket, SessionPort } from './session-port.ts';

/**
 * `done` and `refused`: the front-end's answer; without REPLY_ACK a message that was sent is done.
 * `unanswered`: no answer in time. `unsent`: the socket is closed, full of what nobody reads, or owes
 * too many answers.
 */
export type ChannelOutcome = 'done' | 'refused' | 'unanswered' | 'unsent';

/** A front-end answers out of its event loop; one that takes longer than this hangs. */
export const CHANNEL_REPLY_MS = 5000;

/** Messages that may wait for an answer: what a front-end that never answers can make this process keep. */
export const CHANNEL_PENDING_MAX = 1024;

const HEADER_BYTES = vhostUserHeader.sizeBytes;
const REPLY_BYTES = HEADER_BYTES + vhostUserU64.sizeBytes;
const NO_PAYLOAD = new Uint8Array(0);
const AT = vhostUserHeader.at;

/** Which bits of a reply's flags have to be right: version and REPLY. */
const FLAGS_MASK = 7;

interface Pending {
  readonly row: BackendMessageRow;
  /** Null once the time is over: the answer may still come, and has to be told from the next one. */
  settle: ((outcome: ChannelOutcome) => void) | null;
  cancel: () => void;
}

export class BackendChannel {
  readonly #port: SessionPort;
  readonly #replyAcks: () => boolean;
  readonly #socket: ChannelSocket | null;
  /** Answers come in the order of the messages. */
  readonly #pending: Pending[] = [];
  readonly #received = new Uint8Array(REPLY_BYTES);
  #filled = 0;
  #open: boolean;
  readonly fd: number;

  /** Owns `fd` when `isOpen` is true afterwards; else it is no unix socket. */
  constructor(port: SessionPort, fd: number, replyAcks: () => boolean) {
    this.#port = port;
    this.fd = fd;
    this.#replyAcks = replyAcks;
    this.#socket = port.openChannel(fd, {
      onBytes: (bytes) => this.#take(bytes),
      onClosed: () => this.#end('the front-end has closed its channel for back-end messages'),
    });
    this.#open = this.#socket !== null;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** An answer is still to come. */
  get isWaiting(): boolean {
    return this.#pending.length > 0 || this.#filled > 0;
  }

  /** Sends a message; settles within CHANNEL_REPLY_MS and never rejects. */
  send(row: BackendMessageRow, payload: Uint8Array = NO_PAYLOAD): Promise<ChannelOutcome> {
    if (!this.#open || this.#pending.length >= CHANNEL_PENDING_MAX) {
      return Promise.resolve('unsent');
    }
    const acks = this.#replyAcks();
    if (this.#socket!.send(encode(row, payload, acks)) < 0) return Promise.resolve('unsent');
    if (!acks) return Promise.resolve('done');
    return new Promise((resolve) => {
      const pending: Pending = {
        row,
        settle: resolve,
        cancel: this.#port.after(CHANNEL_REPLY_MS, () => {
          pending.settle = null;
          resolve('unanswered');
        }),
      };
      this.#pending.push(pending);
    });
  }

  /** Closes the socket; what waits for an answer gets none. */
  close(): void {
    this.#end(null);
  }

  #end(reason: string | null): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket!.close();
    if (reason !== null) this.#port.log('info', {}, reason);
    for (const { settle, cancel } of this.#pending.splice(0)) {
      cancel();
      settle?.('unsent');
    }
  }

  #take(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && this.#open; ) {
      const piece = bytes.subarray(at, at + REPLY_BYTES - this.#filled);
      this.#received.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled < REPLY_BYTES) return;
      this.#filled = 0;
      this.#reply();
    }
  }

  #reply(): void {
    const view = new DataView(this.#received.buffer);
    const request = view.getUint32(AT.request, true);
    const flags = view.getUint32(AT.flags, true);
    const size = view.getUint32(AT.size, true);
    const pending = this.#pending[0];
    const wanted = pending?.row.code;
    const isReply = (flags & FLAGS_MASK) === VHOST_USER_REPLY_FLAGS;
    if (request !== wanted || !isReply || size !== vhostUserU64.sizeBytes) {
      this.#port.log(
        'warn',
        { request, flags, size, expected: pending?.row.name ?? 'nothing' },
        'no reply to a back-end message: the channel is closed',
      );
      this.#end(null);
      return;
    }
    this.#pending.shift();
    pending!.cancel();
    const status = view.getBigUint64(HEADER_BYTES, true);
    pending!.settle?.(status === 0n ? 'done' : 'refused');
  }
}

function encode(row: BackendMessageRow, payload: Uint8Array, needReply: boolean): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(AT.request, row.code, true);
  view.setUint32(AT.flags, VHOST_USER_VERSION | (needReply ? VHOST_USER_NEED_REPLY_MASK : 0), true);
  view.setUint32(AT.size, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}
