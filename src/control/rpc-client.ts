/**
 * The client side of a control socket: asks one thing after the other, and takes events. For commands, the daemon
 * and tests.
 */
import { connect, type Socket } from 'node:net';
import { ControlError, type ControlErrorCode } from './controlled-disk.ts';
import { REFUSED, RpcError } from './json-rpc.ts';
import type { MethodName, ParamsOf, ResultOf } from './schema/methods.ts';

/** Whoever does not answer in this time hangs; quiescing a disk may take as long as its requests. */
const ANSWER_LIMIT_MS = 30_000;

interface Answer {
  readonly id?: number | null;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { code: number; message: string; data?: { code?: ControlErrorCode } };
}

interface Asked {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class RpcClient {
  /** Takes notifications. */
  onEvent: (method: string, params: unknown) => void = () => {};
  readonly path: string;
  /** Settles when the other side has gone. */
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  readonly #asked = new Map<number, Asked>();
  #rest = '';
  /** Why nothing is answered any more. */
  #failure: ControlError | null = null;
  #lastId = 0;

  private constructor(path: string, socket: Socket) {
    this.path = path;
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', () => {});
    this.gone = new Promise((resolve) => {
      socket.on('close', () => {
        this.#failAll(new ControlError('ENODEV', `${path}: the process has gone`));
        resolve();
      });
    });
  }

  /** Rejects with the system's error when nobody listens. */
  static async connect(path: string): Promise<RpcClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RpcClient(path, socket);
  }

  /** Rejects with ControlError when the operation is refused, with RpcError for anything else. */
  async call<M extends MethodName>(
    method: M,
    params: ParamsOf<M>,
    limitMs = ANSWER_LIMIT_MS,
  ): Promise<ResultOf<M>> {
    return (await this.callAny(method, params, limitMs)) as ResultOf<M>;
  }

  callAny(method: string, params: unknown, limitMs = ANSWER_LIMIT_MS): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        const says = `${method}: no answer from ${this.path} in ${limitMs / 1000} s`;
        reject(new ControlError('ETIMEDOUT', says));
      }, limitMs);
      this.#asked.set(id, { resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      let answer: Answer;
      try {
        answer = JSON.parse(line) as Answer;
      } catch {
        this.#failAll(new ControlError('EINVAL', `${this.path}: whoever answers is no vloop`));
        this.#socket.destroy();
        return;
      }
      this.#answer(answer);
    }
  }

  #answer({ id, method, params, result, error }: Answer): void {
    if (method !== undefined) {
      this.onEvent(method, params);
      return;
    }
    const asked = this.#asked.get(id ?? -1);
    if (asked === undefined) return;
    this.#asked.delete(id!);
    clearTimeout(asked.timer);
    if (error === undefined) asked.resolve(result);
    else if (error.code === REFUSED && error.data?.code !== undefined) {
      asked.reject(new ControlError(error.data.code, error.message));
    } else asked.reject(new RpcError(error.code, error.message));
  }

  #failAll(error: ControlError): void {
    this.#failure ??= error;
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#asked.clear();
  }
}
