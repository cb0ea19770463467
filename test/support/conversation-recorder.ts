/**
 * A socket between a front-end and a back-end that passes messages and descriptors on and writes down what
 * it saw. Frames by the header alone, so that what vloop's own decoder would refuse is recorded too.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { EAGAIN } from '../../protocol/linux.ts';
import { VHOST_USER_NEED_REPLY_MASK } from '../../protocol/vhost-user.ts';
import { requestName } from '../../protocol/vhost-user-messages.ts';
import { vhostUserHeader } from '../../protocol/vhost-user-payloads.ts';
import { type FdWatch, watchReadable } from '../../src/sys/poll.ts';
import { acceptConnection, connectTo, FdSocket, listenAt } from '../../src/sys/unix-socket.ts';
import type { ConversationLine, RecordedMessage } from './conversation-file.ts';

const MAX_BYTES = 64 * 1024;
const { sizeBytes: HEADER_BYTES, at: AT } = vhostUserHeader;

interface Frame {
  readonly request: number;
  readonly flags: number;
  readonly payload: string;
  readonly fdCount: number;
}

/** One direction of a connection. */
class Direction {
  readonly from: FdSocket;
  readonly #to: FdSocket;
  readonly #onFrame: (frame: Frame) => void;
  #bytes = new Uint8Array(0);
  #fds: number[] = [];

  constructor(from: FdSocket, to: FdSocket, onFrame: (frame: Frame) => void) {
    this.from = from;
    this.#to = to;
    this.#onFrame = onFrame;
  }

  /**
   * Passes on what has come. False: the sender has closed. Never reads past a header or a payload: the
   * kernel gives descriptors to the first bytes of what is read in one piece.
   */
  pass(): boolean {
    for (;;) {
      const received = this.from.receive(this.#frameBytes() - this.#bytes.length, this.#fds);
      if (received === -EAGAIN) return true;
      if (typeof received === 'number' || received.length === 0) return false;
      this.#bytes = Uint8Array.from([...this.#bytes, ...received]);
      // A header that is just complete asks for its payload.
      if (this.#bytes.length >= HEADER_BYTES && this.#bytes.length === this.#frameBytes())
        this.#passFrame();
    }
  }

  /** Where the header ends, or, once it is there, the message. */
  #frameBytes(): number {
    if (this.#bytes.length < HEADER_BYTES) return HEADER_BYTES;
    return HEADER_BYTES + new DataView(this.#bytes.buffer).getUint32(AT.size, true);
  }

  #passFrame(): void {
    const view = new DataView(this.#bytes.buffer);
    const fds = this.#fds.splice(0);
    const sent = this.#to.send(this.#bytes, fds);
    for (const fd of fds) closeSync(fd);
    if (sent < 0) throw new Error(`cannot pass a message on: ${errnoName(sent)}`);
    this.#onFrame({
      request: view.getUint32(AT.request, true),
      flags: view.getUint32(AT.flags, true),
      payload: Buffer.from(this.#bytes.subarray(HEADER_BYTES)).toString('hex'),
      fdCount: fds.length,
    });
    this.#bytes = new Uint8Array(0);
  }
}

export class ConversationRecorder {
  readonly lines: ConversationLine[] = [];
  readonly #backEnd: string;
  readonly #listenFd: number;
  readonly #watches = new Set<FdWatch>();
  #connections = 0;

  /** Listens at `path`; each connection becomes one to the socket at `backEnd`. */
  constructor(path: string, backEnd: string) {
    this.#backEnd = backEnd;
    this.#listenFd = listenAt(path);
    if (this.#listenFd < 0) throw new Error(`listen at ${path}: ${errnoName(this.#listenFd)}`);
    const watch = this.#watch(this.#listenFd, () => {
      const fd = acceptConnection(this.#listenFd);
      if (fd >= 0) this.#connect(fd);
      watch.arm();
    });
  }

  close(): void {
    for (const watch of this.#watches) watch.stop();
    closeSync(this.#listenFd);
  }

  #watch(fd: number, onReadable: () => void): FdWatch {
    const watch = watchReadable(fd, onReadable);
    this.#watches.add(watch);
    return watch;
  }

  #connect(frontFd: number): void {
    const c = ++this.#connections;
    const backFd = connectTo(this.#backEnd);
    if (backFd < 0) throw new Error(`connect to ${this.#backEnd}: ${errnoName(backFd)}`);
    const front = new FdSocket(frontFd, MAX_BYTES);
    const back = new FdSocket(backFd, MAX_BYTES);
    let open = true;
    const directions = {
      'front-end': new Direction(front, back, (frame) => this.#asked(c, frame)),
      'back-end': new Direction(back, front, (frame) => this.#answered(c, frame)),
    };
    const watches = Object.entries(directions).map(([end, direction]) => {
      const watch = this.#watch(direction.from.fd, () => {
        if (!open) return;
        if (direction.pass()) {
          watch.arm();
          return;
        }
        open = false;
        this.lines.push({ c, end: end as 'front-end' | 'back-end' });
        for (const each of watches) each.stop();
        closeSync(frontFd);
        closeSync(backFd);
      });
      return watch;
    });
  }

  #asked(c: number, { request, flags, payload, fdCount }: Frame): void {
    this.lines.push({
      c,
      m: request,
      name: requestName(request).replace('VHOST_USER_', ''),
      ...((flags & VHOST_USER_NEED_REPLY_MASK) !== 0 && { ack: true }),
      ...(payload !== '' && { p: payload }),
      ...(fdCount > 0 && { fds: fdCount }),
    });
  }

  /** To the oldest message of that request that has no answer yet. */
  #answered(c: number, { request, payload, fdCount }: Frame): void {
    const at = this.lines.findLastIndex(
      (line) => line.c === c && 'm' in line && line.m === request,
    );
    const line = this.lines[at] as RecordedMessage | undefined;
    if (line === undefined || line.r !== undefined) {
      throw new Error(`an answer to ${requestName(request)}, which nobody waits for`);
    }
    this.lines[at] = { ...line, r: payload, ...(fdCount > 0 && { rfds: fdCount }) };
  }
}
