/**
 * One connected front-end: reads messages off its socket, one at a time and in order, and hands each
 * to the session. Ends when the front-end closes, breaks the protocol, or the server is told to stop;
 * every fd that came in is closed by then.
 */
import { closeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { errnoName } from '../../protocol/errno.ts';
import { EAGAIN, ECONNRESET, EPIPE } from '../../protocol/linux.ts';
import { VHOST_USER_MAX_PAYLOAD_BYTES } from '../../protocol/vhost-user-messages.ts';
import { vhostUserHeader } from '../../protocol/vhost-user-payloads.ts';
import { adoptEventfd, createEventfd } from '../sys/eventfd.ts';
import { type FdWatch, watchReadable } from '../sys/poll.ts';
import { FdSocket } from '../sys/unix-socket.ts';
import { openChannel, watchEventfd } from './connection-channel.ts';
import { receiveState, sendState } from './connection-state.ts';
import { Hold } from './hold.ts';
import { type Message, MessageDecoder } from './message-decoder.ts';
import { MessageTrace } from './message-trace.ts';
import { ProtocolError } from './protocol-error.ts';
import { Session } from './session.ts';
import type { SessionDisk, SessionPort } from './session-port.ts';

/** Messages handled before the event loop gets a turn: a flood must not keep signals waiting. */
const MESSAGES_PER_TURN = 64;

export type ConnectionLog = SessionPort['log'];

export class Connection {
  /** Resolves when the front-end has gone and nothing of it is left. */
  readonly ended: Promise<void>;
  readonly session: Session;
  readonly fd: number;

  readonly #socket: FdSocket;
  readonly #decoder = new MessageDecoder();
  readonly #log: ConnectionLog;
  readonly #trace: MessageTrace | null;
  readonly #watch: FdWatch;
  readonly #hold = new Hold();
  #readable: () => void = () => {};
  #stopped = false;

  /**
   * Owns `fd` from here on. `writeTrace` takes a line for each message, when that is wanted. `held`: reads
   * nothing before `release`.
   */
  constructor(
    fd: number,
    disk: SessionDisk,
    log: ConnectionLog,
    writeTrace: ((line: string) => void) | null = null,
    held = false,
  ) {
    this.fd = fd;
    if (held) void this.#hold.begin();
    this.#socket = new FdSocket(fd, vhostUserHeader.sizeBytes + VHOST_USER_MAX_PAYLOAD_BYTES);
    this.#log = log;
    this.#trace =
      writeTrace === null ? null : new MessageTrace(writeTrace, () => performance.now());
    this.session = new Session({
      disk,
      send: (bytes, fds) => this.#send(bytes, fds),
      closeFd: closeSync,
      adoptEventfd,
      createEventfd,
      watchEventfd,
      openChannel: this.#trace?.channels(openChannel) ?? openChannel,
      sendState,
      receiveState,
      after(milliseconds, callback) {
        const timer = setTimeout(callback, milliseconds);
        return () => clearTimeout(timer);
      },
      log,
    });
    this.#watch = watchReadable(fd, () => this.#readable());
    this.ended = this.#run();
  }

  /** Ends the connection from this side, after the message in hand. */
  stop(): void {
    this.#stopped = true;
    this.release();
    this.#readable();
  }

  /** Stops reading between two messages. Settles when it has, or when the front-end has gone: false. */
  async hold(): Promise<boolean> {
    const held = this.#hold.begin();
    this.#readable();
    return await Promise.race([held.then(() => true), this.ended.then(() => false)]);
  }

  release(): void {
    this.#hold.end();
  }

  /** The disk's config space has changed. */
  configChanged(): void {
    this.session.configChanged();
  }

  async #run(): Promise<void> {
    this.#trace?.note(this.#hold.wanted ? 'front-end taken over' : 'front-end connected');
    let reason = 'front-end gone';
    try {
      for (let handled = 0; !this.#stopped; ) {
        if (this.#decoder.isEmpty && this.#hold.wanted) {
          await this.#hold.pass();
          continue;
        }
        const received = this.#receive();
        if (received === 'closed') break;
        if (received === 'wait') await this.#nextReadable();
        else if (received !== null) {
          await this.#handle(received);
          if (++handled % MESSAGES_PER_TURN === 0) await setImmediate();
        }
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      reason = `front-end disconnected: ${error.message}`;
      this.#log('warn', { error: error.message }, 'front-end disconnected: it broke the protocol');
    } finally {
      this.#watch.stop();
      for (const fd of this.#decoder.takeFds()) closeSync(fd);
      await this.session.end();
      closeSync(this.#socket.fd);
      this.#trace?.note(reason);
    }
  }

  async #handle(message: Message): Promise<void> {
    this.#trace?.begin(message);
    try {
      await this.session.handle(message);
    } finally {
      this.#trace?.end();
    }
  }

  #nextReadable(): Promise<void> {
    return new Promise((resolve) => {
      this.#readable = resolve;
      this.#watch.arm();
      if (this.#stopped || (this.#decoder.isEmpty && this.#hold.wanted)) resolve();
    });
  }

  /** A whole message, null while one is incomplete, 'wait' when nothing is there. */
  #receive() {
    const fds: number[] = [];
    const received = this.#socket.receive(this.#decoder.wantedBytes, fds);
    if (received === -EAGAIN) return 'wait';
    // Any other failure (ECONNRESET) says what a clean close says: the front-end is gone.
    if (typeof received === 'number' || received.length === 0) return 'closed';
    if (this.#socket.truncated) {
      for (const fd of fds) closeSync(fd);
      throw new ProtocolError('more file descriptors than a message can carry', { fatal: true });
    }
    return this.#decoder.push(received, fds);
  }

  #send(bytes: Uint8Array, fds?: readonly number[]): void {
    const result = this.#socket.send(bytes, fds);
    this.#trace?.reply(bytes, fds?.length ?? 0);
    // A front-end that has gone broke nothing: the next read says so.
    if (result === 0 || result === -EPIPE || result === -ECONNRESET) return;
    // Replies are a few bytes: a socket that takes none is full of what its front-end never reads.
    throw new ProtocolError(`cannot send a reply (${errnoName(result)})`, { fatal: true });
  }
}
