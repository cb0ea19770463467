/**
 * The host's end of a guest's second serial port: a unix socket that QEMU listens on. Lines come out of `next` one after the
 * other; commands go in with `send`. What the lines mean is in channel-lines.ts.
 */
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { waitFor } from '../../test/support/bounded-process.ts';
import { type ChannelLine, parseChannelLine } from './channel-lines.ts';

const CONNECT_TIMEOUT_MS = 20_000;

export class Channel {
  readonly #socket: Socket;
  #rest = '';
  #lines: ChannelLine[] = [];
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    // QEMU's end is told by its process, which is watched elsewhere.
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const lines = (this.#rest + chunk.toString('latin1')).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#lines.push(...lines.map(parseChannelLine));
      this.#wake?.();
    });
  }

  /** Connects once QEMU has made the socket; `gone` ends the wait when QEMU has ended. */
  static async open(path: string, gone: () => boolean): Promise<Channel> {
    await waitFor(
      () => 'channel socket of QEMU',
      CONNECT_TIMEOUT_MS,
      () => gone() || existsSync(path) || undefined,
    );
    if (gone()) throw new Error('QEMU ended at its start');
    return new Channel(connect(path));
  }

  send(command: string): void {
    this.#socket.write(`${command}\n`);
  }

  /** The next line, or null when none has come in time. One reader at a time. */
  async next(timeoutMs: number): Promise<ChannelLine | null> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  /** Ends a `next` that waits, for another look at what else has happened. */
  interrupt(): void {
    this.#wake?.();
  }

  close(): void {
    this.#socket.destroy();
  }
}
