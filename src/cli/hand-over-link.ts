/**
 * The private socket between a vloop process and its successor: one message at a time in each direction,
 * a step's name and its state, with file descriptors. Every wait has a limit. Who reads is a process of the
 * same user and program, so a message that is wrong ends the hand-over and is not looked at further.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../protocol/errno.ts';
import { EAGAIN } from '../../protocol/linux.ts';
import { watchReadable } from '../sys/poll.ts';
import { FdSocket } from '../sys/unix-socket.ts';
import { decodeState, encodeState } from '../worker/session-state.ts';

/** A hand-over that has failed; the message says at what. */
export class HandOverError extends Error {
  readonly code = 'VLOOP_HAND_OVER';
}

export interface Step {
  readonly step: string;
}

/** Sent whole or not at all, so that a full socket cannot tear one. */
const CHUNK_BYTES = 4096;
/** SCM_MAX_FD is 253. */
const FDS_A_CHUNK = 128;
const HEAD_BYTES = 8;
const FULL_SOCKET_MS = 1;

export class HandOverLink {
  readonly #socket: FdSocket;
  readonly #watch;
  #wake: () => void = () => {};
  #bytes = new Uint8Array(0);
  #fds: number[] = [];
  #open = true;

  /** Owns `fd`. */
  constructor(fd: number) {
    this.#socket = new FdSocket(fd, CHUNK_BYTES);
    this.#watch = watchReadable(fd, () => this.#wake());
  }

  /** The fds in `step` stay the caller's. Throws HandOverError. */
  async send(step: Step, limitMs: number): Promise<void> {
    const { text, fds } = encodeState(step);
    const body = new TextEncoder().encode(text);
    const bytes = new Uint8Array(HEAD_BYTES + body.length);
    const head = new DataView(bytes.buffer);
    head.setUint32(0, body.length, true);
    head.setUint32(4, fds.length, true);
    bytes.set(body, HEAD_BYTES);
    const deadline = performance.now() + limitMs;
    // A byte at a time while there are descriptors: each carries as many as a message may.
    for (let at = 0, sent = 0; at < bytes.length; ) {
      const carried = fds.slice(sent, sent + FDS_A_CHUNK);
      const chunk = bytes.subarray(at, at + (sent + carried.length < fds.length ? 1 : CHUNK_BYTES));
      const result = this.#socket.send(chunk, carried);
      if (result === 0) {
        at += chunk.length;
        sent += carried.length;
      } else if (result === -EAGAIN && performance.now() < deadline) {
        await sleep(FULL_SOCKET_MS);
      } else {
        throw new HandOverError(`cannot send "${step.step}" (${errnoName(result)})`);
      }
    }
  }

  /** The next message, which has to be `name`. Throws HandOverError, with the reason that a peer gives. */
  async expect<T extends Step>(name: T['step'], limitMs: number): Promise<T> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const message = this.#take();
      if (message !== null) {
        if (message.step === name) return message as T;
        const reason = 'reason' in message ? String(message.reason) : `it said "${message.step}"`;
        throw new HandOverError(reason);
      }
      const received = this.#receive();
      if (received === 'closed') throw new HandOverError(`it ended, expected "${name}"`);
      if (received === 'wait') await this.#readable(name, deadline - performance.now(), limitMs);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch.stop();
    for (const fd of this.#fds.splice(0)) closeSync(fd);
    closeSync(this.#socket.fd);
  }

  async #readable(name: string, leftMs: number, limitMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new HandOverError(`no "${name}" within ${limitMs} ms`)),
      Math.max(0, leftMs),
    );
    this.#wake = resolve;
    this.#watch.arm();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #receive(): 'closed' | 'wait' | 'more' {
    if (!this.#open) return 'closed';
    const received = this.#socket.receive(CHUNK_BYTES, this.#fds);
    if (received === -EAGAIN) return 'wait';
    if (typeof received === 'number' || received.length === 0) return 'closed';
    const joined = new Uint8Array(this.#bytes.length + received.length);
    joined.set(this.#bytes);
    joined.set(received, this.#bytes.length);
    this.#bytes = joined;
    return 'more';
  }

  /** A whole message, or null. */
  #take(): Step | null {
    if (this.#bytes.length < HEAD_BYTES) return null;
    const head = new DataView(this.#bytes.buffer);
    const end = HEAD_BYTES + head.getUint32(0, true);
    if (this.#bytes.length < end) return null;
    const text = new TextDecoder().decode(this.#bytes.subarray(HEAD_BYTES, end));
    const fds = this.#fds.splice(0, head.getUint32(4, true));
    this.#bytes = this.#bytes.slice(end);
    return decodeState(text, fds) as Step;
  }
}
