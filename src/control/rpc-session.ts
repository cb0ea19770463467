/**
 * One client of the control plane, whatever carries its messages: text comes in, text goes out. Requests are
 * carried out in the order in which they come, one at a time; a batch is answered as a batch.
 * Source: www.jsonrpc.org/specification.
 */
import { ControlError } from './controlled-disk.ts';
import {
  errorAnswer,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  idOf,
  notification,
  PARSE_ERROR,
  REFUSED,
  RpcError,
  resultAnswer,
  toRequest,
} from './json-rpc.ts';

/** Requests that may stand in one batch. */
const BATCH_MAX = 100;

/** Carries out one method. Throws RpcError or ControlError. */
export type RpcCall = (method: string, params: unknown, session: RpcSession) => unknown;

/** What carries the messages of one client. */
export interface RpcTransport {
  send(text: string): void;
  /** What the client has not read yet. */
  readonly unreadBytes: number;
}

export class RpcSession {
  readonly #call: RpcCall;
  readonly #transport: RpcTransport;
  /** What ends with the session, subscriptions for example. */
  readonly #ends = new Set<() => void>();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** The events that the client has asked for so far; null: it has not asked. */
  subscribed: Set<string> | null = null;
  /** The client has read what was sent. */
  onRead: () => void = () => {};

  constructor(call: RpcCall, transport: RpcTransport) {
    this.#call = call;
    this.#transport = transport;
  }

  /** Messages that have come and are not answered yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Settles when all messages that have come so far are answered. */
  get answered(): Promise<void> {
    return this.#last;
  }

  /** Takes one message. Settles when it has been answered; never rejects. */
  receive(text: string): Promise<void> {
    this.#waiting++;
    this.#last = this.#last.then(async () => {
      const answer = await this.#answer(text);
      this.#waiting--;
      if (answer !== null) this.#transport.send(JSON.stringify(answer));
    });
    return this.#last;
  }

  /** What has been sent and the client has not read yet. */
  get unreadBytes(): number {
    return this.#transport.unreadBytes;
  }

  /** Sends an event. */
  notify(method: string, params: unknown): void {
    this.#transport.send(JSON.stringify(notification(method, params)));
  }

  /** Has `end` called when the session is closed; returns what takes that back. */
  onEnd(end: () => void): () => void {
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  /** The client has gone. */
  close(): void {
    for (const end of this.#ends) end();
    this.#ends.clear();
  }

  async #answer(text: string): Promise<unknown> {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return errorAnswer(null, new RpcError(PARSE_ERROR, 'the message is not JSON'));
    }
    if (!Array.isArray(message)) return await this.#answerOne(message);
    if (message.length === 0 || message.length > BATCH_MAX) {
      const says = `a batch has 1 to ${BATCH_MAX} requests, got ${message.length}`;
      return errorAnswer(null, new RpcError(INVALID_REQUEST, says));
    }
    const answers = [];
    for (const request of message) answers.push(await this.#answerOne(request));
    const spoken = answers.filter((answer) => answer !== null);
    return spoken.length === 0 ? null : spoken;
  }

  async #answerOne(message: unknown): Promise<object | null> {
    let id: ReturnType<typeof idOf> | undefined = idOf(message);
    try {
      const request = toRequest(message);
      id = request.id;
      const result = await this.#call(request.method, request.params, this);
      return id === undefined ? null : resultAnswer(id, result);
    } catch (error) {
      return id === undefined ? null : errorAnswer(id, toRpcError(error));
    }
  }
}

function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  if (error instanceof ControlError) return new RpcError(REFUSED, error.message, error.code);
  return new RpcError(INTERNAL_ERROR, error instanceof Error ? error.message : String(error));
}
