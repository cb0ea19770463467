/**
 * The client end of a vhost-user socket: sends messages with file descriptors, reads replies, and can
 * send anything else as well. Knows nothing of memory or rings (see mock-frontend.ts).
 * Every wait is bounded; fds handed to `send` stay the caller's.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { EAGAIN } from '../../protocol/linux.ts';
import { VHOST_USER_REPLY_FLAGS } from '../../protocol/vhost-user.ts';
import { type MessageName, requestName } from '../../protocol/vhost-user-messages.ts';
import { vhostUserHeader } from '../../protocol/vhost-user-payloads.ts';
import { connectTo, FdSocket } from '../../src/sys/unix-socket.ts';
import {
  encodeMessage,
  type HeaderText,
  type Reply,
  replyU64,
  requestCode,
} from './vhost-user-messages.ts';
import { eventually } from './waiting.ts';

export const REPLY_TIMEOUT_MS = 10_000;
const MAX_BYTES = 64 * 1024;
const HEADER_BYTES = vhostUserHeader.sizeBytes;

export interface SendOptions {
  readonly fds?: readonly number[];
  readonly needReply?: boolean;
  readonly flags?: number;
  readonly size?: number;
}

export class VhostUserClient {
  readonly #socket: FdSocket;
  #received = new Uint8Array(0);
  /** Fds that came with a reply that may have them. */
  #replyFds: number[] | null = null;
  #peerClosed = false;
  #closed = false;

  /** Owns `fd`. */
  constructor(fd: number) {
    this.#socket = new FdSocket(fd, MAX_BYTES);
  }

  /** Connects; waits while the back-end's backlog is full. */
  static async connect(path: string, timeoutMs = REPLY_TIMEOUT_MS): Promise<VhostUserClient> {
    const fd = await eventually(`place in the backlog of ${path}`, timeoutMs, () => {
      const result = connectTo(path);
      return result === -EAGAIN ? undefined : result;
    });
    if (fd < 0) throw new Error(`connect ${path}: ${errnoName(fd)}`);
    return new VhostUserClient(fd);
  }

  get fd(): number {
    return this.#socket.fd;
  }

  send(request: MessageName | number, payload?: Uint8Array, options: SendOptions = {}): void {
    const { fds, ...rest } = options;
    const header: HeaderText = { request, ...rest };
    this.sendBytes(encodeMessage(header, payload), fds);
  }

  /** Any bytes, with any fds on the first. Throws when the back-end has gone or does not read. */
  sendBytes(bytes: Uint8Array, fds: readonly number[] = []): void {
    const result = this.#socket.send(bytes, fds);
    if (result < 0) throw new Error(`send: ${errnoName(result)}`);
  }

  /** Sends, waiting while the back-end is behind: for floods of messages. */
  async sendPatiently(
    request: MessageName | number,
    payload?: Uint8Array,
    options: SendOptions = {},
  ): Promise<void> {
    const { fds = [], ...rest } = options;
    const bytes = encodeMessage({ request, ...rest }, payload);
    // A message this small is sent whole or not at all.
    const result = await eventually('room in the socket', REPLY_TIMEOUT_MS, () => {
      const sent = this.#socket.send(bytes, fds);
      return sent === -EAGAIN ? undefined : sent;
    });
    if (result < 0) throw new Error(`send: ${errnoName(result)}`);
  }

  /** Sends, and waits for the reply to it, whose header must be right. */
  async request(
    request: MessageName | number,
    payload?: Uint8Array,
    options: SendOptions = {},
  ): Promise<Reply> {
    this.send(request, payload, options);
    return await this.reply(request);
  }

  /** The same for a request whose reply comes with one fd, which is the caller's. */
  async requestFd(
    request: MessageName,
    payload?: Uint8Array,
  ): Promise<{ readonly reply: Reply; readonly fd: number }> {
    const fds: number[] = [];
    this.#replyFds = fds;
    try {
      const reply = await this.request(request, payload);
      if (fds.length === 1) return { reply, fd: fds.pop()! };
      throw new Error(`${fds.length} fds came with the reply to ${request}, expected one`);
    } finally {
      for (const fd of fds) closeSync(fd);
      this.#replyFds = null;
    }
  }

  /** Sends with NEED_REPLY; the status that comes back (0 = done). */
  async acked(
    request: MessageName | number,
    payload?: Uint8Array,
    options: SendOptions = {},
  ): Promise<bigint> {
    return replyU64(await this.request(request, payload, { ...options, needReply: true }));
  }

  /** The next reply, which has to be one to `request`. */
  async reply(request: MessageName | number): Promise<Reply> {
    const code = requestCode(request);
    const reply = await this.nextReply(requestName(code));
    if (reply.request !== code || reply.flags !== VHOST_USER_REPLY_FLAGS) {
      throw new Error(
        `a reply to ${requestName(reply.request)} with flags ${reply.flags}, expected one to ${requestName(code)}`,
      );
    }
    return reply;
  }

  async nextReply(what = 'any message', timeoutMs = REPLY_TIMEOUT_MS): Promise<Reply> {
    return await eventually(`reply to ${what}`, timeoutMs, () => {
      const reply = this.#takeReply();
      if (reply !== undefined) return reply;
      this.#receive();
      if (this.#peerClosed && this.#received.length < HEADER_BYTES) {
        throw new Error(`the back-end has closed the connection, expected a reply to ${what}`);
      }
      return undefined;
    });
  }

  /** Waits until the back-end closes; throws when it answers instead. */
  async disconnected(timeoutMs = REPLY_TIMEOUT_MS): Promise<void> {
    await eventually('end of the connection', timeoutMs, () => {
      this.#receive();
      if (this.#received.length > 0) {
        throw new Error(`${this.#received.length} bytes came, expected the end of the connection`);
      }
      return this.#peerClosed || undefined;
    });
  }

  /** Whether bytes are there that nobody has asked for. */
  get hasUnread(): boolean {
    this.#receive();
    return this.#received.length > 0;
  }

  /** Closes the socket as a front-end that dies does. Again: nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#socket.fd);
  }

  #receive(): void {
    const fds: number[] = [];
    const bytes = this.#socket.receive(MAX_BYTES, fds);
    if (this.#replyFds !== null) this.#replyFds.push(...fds.splice(0));
    for (const fd of fds) closeSync(fd);
    if (fds.length > 0) throw new Error(`${fds.length} fds came with a reply, expected none`);
    if (bytes === -EAGAIN) return;
    if (typeof bytes === 'number' || bytes.length === 0) {
      this.#peerClosed = true;
      return;
    }
    const joined = new Uint8Array(this.#received.length + bytes.length);
    joined.set(this.#received);
    joined.set(bytes, this.#received.length);
    this.#received = joined;
  }

  #takeReply(): Reply | undefined {
    if (this.#received.length < HEADER_BYTES) return undefined;
    const view = new DataView(this.#received.buffer);
    const end = HEADER_BYTES + view.getUint32(vhostUserHeader.at.size, true);
    if (this.#received.length < end) return undefined;
    const payload = new DataView(this.#received.slice(HEADER_BYTES, end).buffer);
    this.#received = this.#received.slice(end);
    return {
      request: view.getUint32(vhostUserHeader.at.request, true),
      flags: view.getUint32(vhostUserHeader.at.flags, true),
      payload,
    };
  }
}
