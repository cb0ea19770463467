/**
 * vhost-user bytes and file descriptors → messages, however the stream is cut. Knows the message table
 * (size, fd count) and nothing of a session. Every fd it is given leaves with a message or through
 * `takeFds`. Source: vhost-user.rst, "Message Specification".
 */

import {
  VHOST_MEMORY_BASELINE_NREGIONS,
  VHOST_USER_MAX_CONFIG_SIZE,
  VHOST_USER_MAX_FDS,
  VHOST_USER_NEED_REPLY_MASK,
  VHOST_USER_REPLY_MASK,
  VHOST_USER_VERSION,
  VHOST_USER_VERSION_MASK,
  VHOST_USER_VRING_NOFD_MASK,
} from '../../protocol/vhost-user.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import {
  messageNameOf,
  requestName,
  VHOST_USER_MAX_PAYLOAD_BYTES,
  vhostUserMessages,
} from '../../protocol/vhost-user-messages.ts';
import {
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostUserConfigHead,
  vhostUserHeader,
} from '../../protocol/vhost-user-payloads.ts';
import { ProtocolError } from './protocol-error.ts';

/** One whole message. Its fds belong to whoever takes it. */
export interface Message {
  readonly request: number;
  /** Null: a request that vloop does not serve. */
  readonly row: MessageRow | null;
  readonly needReply: boolean;
  readonly payload: DataView;
  readonly fds: number[];
}

const HEADER_BYTES = vhostUserHeader.sizeBytes;

export class MessageDecoder {
  readonly #bytes = new Uint8Array(HEADER_BYTES + VHOST_USER_MAX_PAYLOAD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #filled = 0;
  #fds: number[] = [];

  /** How many bytes complete the current header or payload: never read more than this at once. */
  get wantedBytes(): number {
    return this.#expectedBytes() - this.#filled;
  }

  /** Nothing of a message has come yet. */
  get isEmpty(): boolean {
    return this.#filled === 0 && this.#fds.length === 0;
  }

  /** The fds of a message that will not be completed; the caller owns them now. */
  takeFds(): number[] {
    const fds = this.#fds;
    this.#fds = [];
    return fds;
  }

  /**
   * Takes at most `wantedBytes` bytes and the fds that came with them. A message when it is whole, else
   * null. Throws a fatal ProtocolError; the fds are then in `takeFds`.
   */
  push(chunk: Uint8Array, fds: readonly number[]): Message | null {
    // fds ride with the first byte of a header; any that come later cannot be told apart.
    const late = fds.length > 0 && this.#filled > 0;
    this.#fds.push(...fds);
    if (late)
      throw new ProtocolError('file descriptors in the middle of a message', { fatal: true });
    if (this.#fds.length > VHOST_USER_MAX_FDS) {
      throw new ProtocolError(
        `${this.#fds.length} file descriptors, expected at most ${VHOST_USER_MAX_FDS}`,
        { fatal: true },
      );
    }
    this.#bytes.set(chunk, this.#filled);
    const before = this.#filled;
    this.#filled += chunk.length;
    if (before < HEADER_BYTES && this.#filled >= HEADER_BYTES) this.#checkHeader();
    if (this.#filled < HEADER_BYTES || this.#filled < this.#expectedBytes()) return null;
    return this.#finish();
  }

  #expectedBytes(): number {
    if (this.#filled < HEADER_BYTES) return HEADER_BYTES;
    return HEADER_BYTES + this.#view.getUint32(vhostUserHeader.at.size, true);
  }

  #checkHeader(): void {
    const { at } = vhostUserHeader;
    const request = this.#view.getUint32(at.request, true);
    const flags = this.#view.getUint32(at.flags, true);
    const size = this.#view.getUint32(at.size, true);
    const fail = (what: string) => {
      throw new ProtocolError(`${requestName(request)}: ${what}`, { fatal: true });
    };
    if ((flags & VHOST_USER_VERSION_MASK) !== VHOST_USER_VERSION) {
      fail(`version=${flags & VHOST_USER_VERSION_MASK}, expected ${VHOST_USER_VERSION}`);
    }
    if ((flags & VHOST_USER_REPLY_MASK) !== 0) fail('it is marked as a reply');
    if (size > VHOST_USER_MAX_PAYLOAD_BYTES) {
      fail(`size=${size}, expected at most ${VHOST_USER_MAX_PAYLOAD_BYTES}`);
    }
    const name = messageNameOf(request);
    if (name === undefined) return;
    const row: MessageRow = vhostUserMessages[name];
    const fixed = row.payload?.sizeBytes ?? 0;
    if (row.tail === undefined ? size !== fixed : size < fixed) {
      fail(`size=${size}, expected ${row.tail === undefined ? '' : 'at least '}${fixed}`);
    }
  }

  #finish(): Message {
    const { at } = vhostUserHeader;
    const request = this.#view.getUint32(at.request, true);
    const flags = this.#view.getUint32(at.flags, true);
    const name = messageNameOf(request);
    const row = name === undefined ? null : vhostUserMessages[name];
    // A copy: the buffer is filled again while the message is being handled.
    const payload = new DataView(this.#bytes.slice(HEADER_BYTES, this.#filled).buffer);
    if (row !== null) this.#checkPayload(row, payload);
    const message = {
      request,
      row,
      needReply: (flags & VHOST_USER_NEED_REPLY_MASK) !== 0,
      payload,
      fds: this.takeFds(),
    };
    this.#filled = 0;
    return message;
  }

  /** The parts whose length only the payload tells, and the number of fds. */
  #checkPayload(row: MessageRow, payload: DataView): void {
    const fail = (what: string) => {
      throw new ProtocolError(`${row.name}: ${what}`, { fatal: true });
    };
    if (row.tail === 'regions') {
      const count = payload.getUint32(vhostMemoryHead.at.nregions, true);
      if (count > VHOST_MEMORY_BASELINE_NREGIONS) {
        fail(`nregions=${count}, expected at most ${VHOST_MEMORY_BASELINE_NREGIONS}`);
      }
      // QEMU sends the whole table; others only the regions that there are.
      const needed = vhostMemoryHead.sizeBytes + count * vhostMemoryRegion.sizeBytes;
      if (payload.byteLength < needed) fail(`size=${payload.byteLength}, expected ${needed}`);
    } else if (row.tail === 'padding') {
      const { sizeBytes } = row.payload!;
      const padded = Math.ceil(sizeBytes / 8) * 8;
      if (payload.byteLength !== sizeBytes && payload.byteLength !== padded) {
        fail(`size=${payload.byteLength}, expected ${sizeBytes} or ${padded}`);
      }
    } else if (row.tail === 'config') {
      const size = payload.getUint32(vhostUserConfigHead.at.size, true);
      const needed = vhostUserConfigHead.sizeBytes + size;
      if (size > VHOST_USER_MAX_CONFIG_SIZE || payload.byteLength !== needed) {
        fail(`config size=${size} in a payload of ${payload.byteLength} bytes`);
      }
    }
    const expected = expectedFds(row, payload);
    const count = this.#fds.length;
    if (expected === 'optional' ? count > 1 : count !== expected) {
      fail(
        `${count} file descriptors, expected ${expected === 'optional' ? 'at most 1' : expected}`,
      );
    }
  }
}

function expectedFds(row: MessageRow, payload: DataView): number | 'optional' {
  if (row.fds === 'optional' || typeof row.fds === 'number') return row.fds;
  if (row.fds === 'perRegion') return payload.getUint32(vhostMemoryHead.at.nregions, true);
  return (payload.getUint32(0, true) & VHOST_USER_VRING_NOFD_MASK) === 0 ? 1 : 0;
}
