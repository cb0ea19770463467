/**
 * JSON-RPC 2.0 over the WebSocket. Connects again by itself when the process is started anew, and asks by
 * http first, because a page cannot see why a WebSocket was refused.
 */

const WS_PROTOCOL = 'vloop.json-rpc';
const WS_TOKEN_PREFIX = 'vloop.token.';
const ANSWER_TIMEOUT_MS = 15_000;
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 3000;

/** @import { MethodName, ParamsOf, ResultOf } from '../schema/methods.ts' */
/** @typedef {'connecting' | 'open' | 'waiting' | 'refused'} LinkState */

/** What the other side answered with instead of a result. */
export class RpcError extends Error {
  /**
   * @param {string} message
   * @param {number} code
   */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export class Rpc {
  /** @type {WebSocket | null} */
  #socket = null;
  #next = 1;
  /** @type {Map<number, { resolve(result: unknown): void, reject(error: Error): void }>} */
  #waiting = new Map();
  #retryMs = RETRY_FIRST_MS;
  #token;
  #on;

  /**
   * @param {string} token
   * @param {{ state(state: LinkState): void, notification(method: string, params: unknown): void }} on
   */
  constructor(token, on) {
    this.#token = token;
    this.#on = on;
  }

  /** @param {string} token */
  useToken(token) {
    this.#token = token;
    void this.connect();
  }

  async connect() {
    this.#on.state('connecting');
    /** @type {number} */
    let status;
    try {
      const headers = { authorization: `Bearer ${this.#token}` };
      ({ status } = await fetch('/token', { headers, cache: 'no-store' }));
    } catch {
      this.#later();
      return;
    }
    if (status === 401) this.#on.state('refused');
    else if (status === 204) this.#dial();
    else this.#later();
  }

  #later() {
    this.#on.state('waiting');
    setTimeout(() => void this.connect(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
  }

  #dial() {
    const socket = new WebSocket(`ws://${location.host}/ws`, [
      WS_PROTOCOL,
      WS_TOKEN_PREFIX + this.#token,
    ]);
    this.#socket = socket;
    socket.addEventListener('open', () => {
      this.#retryMs = RETRY_FIRST_MS;
      this.#on.state('open');
    });
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(data)));
    socket.addEventListener('close', () => {
      this.#socket = null;
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection ended'));
      this.#waiting.clear();
      this.#later();
    });
  }

  /** @param {{ id?: number, method?: string, params?: unknown, result?: unknown, error?: { code: number, message: string } }} message */
  #take({ id, method, params, result, error }) {
    if (id === undefined) {
      if (method !== undefined) this.#on.notification(method, params);
      return;
    }
    const call = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new RpcError(error.message, error.code));
  }

  /**
   * The result of a method. Rejects with the answer's error, or when there is no connection or no answer.
   * @template {MethodName} M
   * @param {M} method
   * @param {ParamsOf<M>} params
   * @returns {Promise<ResultOf<M>>}
   */
  async call(method, params) {
    // What comes is what the schema says: the other side is the same program.
    return /** @type {ResultOf<M>} */ (await this.#ask(method, params));
  }

  /**
   * @param {string} method
   * @param {unknown} params
   * @returns {Promise<unknown>}
   */
  #ask(method, params) {
    const socket = this.#socket;
    if (socket === null || socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error('there is no connection to vloop'));
    }
    const id = this.#next++;
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error('vloop has not answered in time'));
      }, ANSWER_TIMEOUT_MS);
      this.#waiting.set(id, {
        resolve(result) {
          clearTimeout(timer);
          resolve(result);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }
}
