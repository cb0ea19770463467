/**
 * One WebSocket with a JSON-RPC session on it, and what it may cost: messages of a bounded size at a
 * bounded rate, few requests at once, an outgoing buffer that is not allowed to grow. Whoever floods, sends
 * too much or never reads is cut off; the session ends with it, disks notice nothing.
 */
import type { RawData, WebSocket } from 'ws';
import type { RpcTransport } from './rpc-session.ts';

/** What speaks JSON-RPC over a transport; answers and notifications go there (rpc-session.ts). */
export interface TextSession {
  /** Resolves when it has been answered. */
  receive(text: string): Promise<void>;
  /** Everything that was sent has been read. */
  onRead(): void;
  close(): void;
}

export type OpenTextSession = (transport: RpcTransport) => TextSession;

/** A configuration of a hundred disks has 40 KiB. */
export const MESSAGE_BYTES_MAX = 2 ** 20;
/** Answers that a client has not read; the largest one, a block map, has some 100 KiB. */
const UNREAD_BYTES_MAX = 4 * 2 ** 20;
/** Messages a second that go on for ever, and how many may come at once. The page sends four. */
const MESSAGES_PER_SECOND = 200;
const MESSAGES_AT_ONCE = 1000;
/** Requests under way; beyond it the socket is not read until some are answered. */
const REQUESTS_MAX = 32;
/** A client that has not answered one ping when the next is due is gone. */
const PING_EVERY_MS = 20_000;

/** How long a client that was told to go may take. */
const CLOSE_TIMEOUT_MS = 1000;

const POLICY_VIOLATION = 1008;
const NOT_TEXT = 1003;

export class WsClient implements RpcTransport {
  readonly #socket: WebSocket;
  readonly #session: TextSession;
  readonly #onCut: (reason: string) => void;
  readonly #pings: NodeJS.Timeout;
  #requests = 0;
  #allowance = MESSAGES_AT_ONCE;
  #countedMs = performance.now();
  #alive = true;

  constructor(socket: WebSocket, open: OpenTextSession, onCut: (reason: string) => void) {
    this.#socket = socket;
    this.#onCut = onCut;
    this.#session = open(this);
    this.#pings = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#pings.unref();
    socket.on('message', (bytes, isBinary) => this.#take(bytes, isBinary));
    socket.on('ping', (bytes: Buffer) => {
      if (this.#spend() && this.#room()) socket.pong(bytes);
    });
    socket.on('pong', () => {
      this.#alive = true;
    });
    // The error is followed by `close`: too large a message, bad frames, a reset.
    socket.on('error', (error) => onCut(error.message));
    socket.once('close', () => {
      clearInterval(this.#pings);
      this.#session.close();
    });
  }

  #take(bytes: RawData, isBinary: boolean): void {
    if (!this.#spend()) return;
    if (isBinary) {
      this.#cut(NOT_TEXT, 'a binary message');
      return;
    }
    if (++this.#requests >= REQUESTS_MAX) this.#socket.pause();
    const answered = () => {
      if (--this.#requests < REQUESTS_MAX) this.#socket.resume();
    };
    this.#session.receive(bytes.toString()).then(answered, answered);
  }

  /** A token bucket; false when it is empty and the client is gone. */
  #spend(): boolean {
    const nowMs = performance.now();
    const earned = ((nowMs - this.#countedMs) / 1000) * MESSAGES_PER_SECOND;
    this.#allowance = Math.min(MESSAGES_AT_ONCE, this.#allowance + earned) - 1;
    this.#countedMs = nowMs;
    if (this.#allowance >= 0) return true;
    this.#cut(POLICY_VIOLATION, `more than ${MESSAGES_PER_SECOND} messages a second`);
    return false;
  }

  get unreadBytes(): number {
    return this.#socket.bufferedAmount;
  }

  readonly #sent = () => {
    if (this.unreadBytes === 0) this.#session.onRead();
  };

  #room(): boolean {
    if (this.unreadBytes <= UNREAD_BYTES_MAX) return true;
    this.#cut(POLICY_VIOLATION, 'it does not read what it asked for');
    return false;
  }

  send(text: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#room()) this.#socket.send(text, this.#sent);
  }

  #ping(): void {
    if (!this.#alive) this.#cut(POLICY_VIOLATION, 'no answer to a ping');
    else {
      this.#alive = false;
      this.#socket.ping();
    }
  }

  /** Told why, while it still reads; a second later the connection ends whether it does or not. */
  #cut(code: number, reason: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#onCut(reason);
    this.#socket.removeAllListeners('message');
    this.#socket.close(code, reason);
    setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT_MS).unref();
  }
}
