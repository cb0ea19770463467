/**
 * Listens at a unix socket (or on an inherited one) and serves one front-end after another. A second
 * front-end waits in the listen backlog until the first has gone. Handles a stale socket file, and
 * removes its own on the way out.
 */
import { closeSync, lstatSync, unlinkSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { EACCES, EADDRINUSE, EAGAIN, ECONNREFUSED, ENOENT } from '../../protocol/linux.ts';
import { type FdWatch, watchReadable } from '../sys/poll.ts';
import {
  acceptConnection,
  classifySocket,
  connectTo,
  listenAt,
  SOCKET_PATH_BYTES_MAX,
} from '../sys/unix-socket.ts';
import { Connection, type ConnectionLog } from './connection.ts';
import { Hold } from './hold.ts';
import type { SessionDisk } from './session-port.ts';

/** A socket that cannot be used as asked. */
export class SocketError extends Error {
  readonly code = 'VLOOP_SOCKET';
}

/** What to serve on: an fd that listens, or one that is a front-end already. */
export interface ServerSocket {
  readonly fd: number;
  readonly kind: 'listening' | 'connected';
  /** The socket file to remove at the end. */
  readonly path: string | null;
}

/** Listens at `path`; takes over a socket file that nobody listens on. Throws SocketError. */
export function listenOn(path: string): ServerSocket {
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new SocketError(
      `socket ${path}: the path has ${bytes} bytes, expected at most ${SOCKET_PATH_BYTES_MAX}`,
    );
  }
  let fd = listenAt(path);
  if (fd === -EADDRINUSE) {
    removeStaleSocket(path);
    fd = listenAt(path);
  }
  if (fd < 0) throw new SocketError(`socket ${path}: ${listenRefusal(path, fd)}`);
  return { fd, kind: 'listening', path };
}

function listenRefusal(path: string, errno: number): string {
  const place = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : 'this directory';
  if (errno === -ENOENT) return `there is no directory ${place}`;
  if (errno === -EACCES) return `not allowed to make it in ${place}`;
  return `cannot listen (${errnoName(errno)})`;
}

function removeStaleSocket(path: string): void {
  if (!lstatSync(path).isSocket()) {
    throw new SocketError(`socket ${path}: a file is in the way that is not a socket`);
  }
  const probe = connectTo(path);
  if (probe !== -ECONNREFUSED) {
    if (probe >= 0) closeSync(probe);
    throw new SocketError(`socket ${path}: in use by another process`);
  }
  unlinkSync(path);
}

/** An inherited socket. Throws SocketError. */
export function adoptSocket(fd: number): ServerSocket {
  const kind = classifySocket(fd);
  if (kind === 'not a unix socket') {
    throw new SocketError(`--fd=${fd}: expected a listening or connected unix socket`);
  }
  return { fd, kind, path: null };
}

/** Ends the listening and removes the socket file; a connected socket belongs to its connection. */
export function closeSocket({ fd, kind, path }: ServerSocket): void {
  if (kind === 'listening') closeSync(fd);
  if (path === null) return;
  try {
    unlinkSync(path);
  } catch {
    // Somebody removed it already: that is what was wanted.
  }
}

export interface ServerOptions {
  /** End after the first front-end has gone. */
  readonly once: boolean;
  readonly log: ConnectionLog;
  /** Takes a line for each message of the front-end that has come as this one. */
  readonly trace?: ((connection: number, line: string) => void) | undefined;
  readonly onConnect?: () => void;
  readonly onDisconnect?: () => void;
}

/** What another process has served so far; the server that takes over is held until `release`. */
export interface TakenServer {
  /** The front-end that is connected, or -1. */
  readonly fd: number;
  /** Front-ends that have come so far, that one included. */
  readonly connections: number;
  /** It ends when its front-end has gone. */
  readonly finishing: boolean;
}

export class Server {
  /** Resolves when the server has ended and nothing is left of it; rejects when the disk failed. */
  readonly ended: Promise<void>;

  readonly #socket: ServerSocket;
  readonly #disk: SessionDisk;
  readonly #options: ServerOptions;
  readonly #watch: FdWatch | null;
  #connection: Connection | null = null;
  /** Front-ends that have come so far. */
  #connections = 0;
  readonly #hold = new Hold();
  #wake: () => void = () => {};
  #stopped = false;
  #closed = false;
  /** No front-end is taken any more. */
  #finishing: boolean;

  constructor(
    socket: ServerSocket,
    disk: SessionDisk,
    options: ServerOptions,
    taken: TakenServer | null = null,
  ) {
    this.#socket = socket;
    this.#disk = disk;
    this.#options = options;
    this.#finishing = taken?.finishing ?? options.once;
    const listening = socket.kind === 'listening';
    this.#watch = listening ? watchReadable(socket.fd, () => this.#wake()) : null;
    if (taken !== null) void this.#hold.begin();
    this.ended = this.#run(taken);
  }

  /** Ends the server: the front-end's rings are drained, the socket file is removed. */
  stop(): void {
    this.#stopped = true;
    this.#connection?.stop();
    this.release();
    this.#wake();
  }

  /** Ends the server when no front-end is connected: now, or when the one that is has gone. */
  finish(): void {
    this.#finishing = true;
    if (this.#connection === null) this.stop();
  }

  get socket(): ServerSocket {
    return this.#socket;
  }

  /** It ends once its front-end's rings are drained. */
  get stopping(): boolean {
    return this.#stopped;
  }

  /** It has ended. */
  get closed(): boolean {
    return this.#closed;
  }

  /** It ends when its front-end has gone. */
  get finishing(): boolean {
    return this.#finishing;
  }

  set finishing(finishing: boolean) {
    this.#finishing = finishing;
  }

  /** The front-end that is connected now. */
  get connection(): Connection | null {
    return this.#connection;
  }

  /** For a process that takes over. */
  get taken(): TakenServer {
    const fd = this.#connection?.fd ?? -1;
    return { fd, connections: this.#connections, finishing: this.#finishing };
  }

  /**
   * Takes no front-end and no message any more. The front-end that is connected, at the end of a message,
   * or null. Settles when it has answered what it had to; a caller that waits no longer calls `release`.
   */
  async hold(): Promise<Connection | null> {
    const here = this.#hold.begin();
    for (;;) {
      const connection = this.#connection;
      if (connection === null) {
        this.#wake();
        await Promise.race([here, this.ended]);
        if (this.#connection === null) return null;
      } else if (await connection.hold()) {
        return connection;
      } else {
        await connection.ended;
      }
    }
  }

  release(): void {
    this.#hold.end();
    this.#connection?.release();
  }

  /** The disk's config space has changed: a front-end that is connected is told. */
  configChanged(): void {
    this.#connection?.configChanged();
  }

  async #run(taken: TakenServer | null): Promise<void> {
    try {
      if (taken !== null) this.#connections = taken.connections;
      if (taken !== null && taken.fd >= 0) {
        this.#connections--;
        await this.#serve(taken.fd, true);
        if (this.#finishing) return;
      } else if (this.#socket.kind === 'connected') {
        await this.#serve(this.#socket.fd);
      }
      if (this.#socket.kind === 'connected') return;
      while (!this.#stopped) {
        if (this.#hold.wanted) {
          await this.#hold.pass();
          continue;
        }
        const fd = acceptConnection(this.#socket.fd);
        if (fd >= 0) {
          await this.#serve(fd);
          if (this.#finishing) return;
        } else if (fd === -EAGAIN) {
          await this.#nextConnection();
        } else {
          throw new SocketError(`accept: ${errnoName(fd)}`);
        }
      }
    } finally {
      this.#close();
    }
  }

  async #serve(fd: number, held = false): Promise<void> {
    if (!held) this.#options.onConnect?.();
    const { log, trace } = this.#options;
    const connection = ++this.#connections;
    const writeTrace = trace === undefined ? null : (line: string) => trace(connection, line);
    this.#connection = new Connection(fd, this.#disk, log, writeTrace, held);
    await this.#connection.ended;
    this.#connection = null;
    this.#options.onDisconnect?.();
  }

  #nextConnection(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#watch?.arm();
      if (this.#stopped || this.#hold.wanted) resolve();
    });
  }

  #close(): void {
    this.#closed = true;
    this.#watch?.stop();
    closeSocket(this.#socket);
  }
}
