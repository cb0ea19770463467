/**
 * JSON-RPC over a unix socket, a message a line. Every client costs bounded memory: one that sends more than a
 * line may have, or does not read its answers, is cut off; one that asks faster than it is answered is not read
 * meanwhile. Knows sockets and no methods.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { type RpcCall, RpcSession, type RpcTransport } from './rpc-session.ts';

/** A request is short; a configuration of many disks is the longest. */
export const LINE_BYTES_MAX = 1 << 20;
/** Answers and events that wait for a client that does not read. */
const UNREAD_BYTES_MAX = 4 << 20;
/** Requests of one client that wait; more are left in its socket. */
const WAITING_MAX = 32;
export const CLIENTS_MAX = 256;

/** Serves clients of the listening socket `fd`, which is the server's from now on. */
export function serveLines(fd: number, call: RpcCall): Server {
  // A client may end its side behind its last request, as `… | socat - UNIX:…` does: it is answered first.
  const server = createServer({ allowHalfOpen: true }, (socket) => new LineClient(socket, call));
  server.maxConnections = CLIENTS_MAX;
  server.listen({ fd });
  // A process that has nothing else to do ends, whoever could still ask it something.
  server.unref();
  return server;
}

class LineClient implements RpcTransport {
  readonly #socket: Socket;
  readonly #session: RpcSession;
  /** The beginning of a line whose end has not come yet. */
  #rest = '';

  constructor(socket: Socket, call: RpcCall) {
    this.#socket = socket;
    this.#session = new RpcSession(call, this);
    socket.setEncoding('utf8');
    socket.unref();
    socket.on('data', (text: string) => this.#take(text));
    // Once everything has gone that waited, when something has.
    socket.on('drain', () => this.#session.onRead());
    socket.on('end', () => this.#session.answered.then(() => socket.end()));
    // The other side has gone in the midst of something: `close` follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#session.close());
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line.trim() !== '') void this.#session.receive(line).then(() => this.#goOn());
    }
    if (this.#rest.length > LINE_BYTES_MAX) this.#socket.destroy();
    else if (this.#session.waiting > WAITING_MAX) this.#socket.pause();
  }

  #goOn(): void {
    if (this.#socket.isPaused() && this.#session.waiting <= WAITING_MAX) this.#socket.resume();
  }

  send(text: string): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(`${text}\n`);
    if (this.unreadBytes > UNREAD_BYTES_MAX) this.#socket.destroy();
  }

  get unreadBytes(): number {
    return this.#socket.writableLength;
  }
}
