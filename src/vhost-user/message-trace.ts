/**
 * The trace of one connection: a line for each message of the front-end with its answer and the time it
 * took, and a line for each message of the back-end and for its answer, which come when they come.
 * Pure: the clock and where lines go are arguments; what does not get there is not this file's worry.
 */
import type { Message } from './message-decoder.ts';
import {
  describeBackendMessage,
  describeBackendReply,
  describeMessage,
  describeReply,
} from './message-text.ts';
import type { ChannelEvents, ChannelSocket, SessionPort } from './session-port.ts';

const NO_REPLY = '-';

export class MessageTrace {
  readonly #write: (line: string) => void;
  readonly #nowMs: () => number;
  #request = '';
  #reply = NO_REPLY;
  #startMs = 0;

  constructor(write: (line: string) => void, nowMs: () => number) {
    this.#write = write;
    this.#nowMs = nowMs;
  }

  /** Something that is no message: the front-end has come, or gone, and why. */
  note(text: string): void {
    this.#write(`--- ${text} ---`);
  }

  /** A message has come; its fds are still with it. */
  begin(message: Message): void {
    this.#request = describeMessage(message);
    this.#reply = NO_REPLY;
    this.#startMs = this.#nowMs();
  }

  reply(bytes: Uint8Array, fdCount: number): void {
    this.#reply = describeReply(bytes, fdCount);
  }

  /** The message in hand has been carried out, or has ended the session. */
  end(): void {
    this.#write(`${this.#request} = ${this.#reply} ${this.#since(this.#startMs)}`);
  }

  /** The same channels, with a line for whatever passes through them. */
  channels(open: SessionPort['openChannel']): SessionPort['openChannel'] {
    return (fd, events) => {
      const sentMs: number[] = [];
      const socket = open(fd, this.#channelEvents(events, sentMs));
      return socket === null ? null : this.#channelSocket(socket, sentMs);
    };
  }

  #channelEvents(events: ChannelEvents, sentMs: number[]): ChannelEvents {
    return {
      onBytes: (bytes) => {
        const elapsed = this.#since(sentMs.shift() ?? this.#nowMs());
        this.#write(`answer: ${describeBackendReply(bytes)} ${elapsed}`);
        events.onBytes(bytes);
      },
      onClosed: () => {
        this.note('the front-end has closed the channel');
        events.onClosed();
      },
    };
  }

  #channelSocket(socket: ChannelSocket, sentMs: number[]): ChannelSocket {
    return {
      ...socket,
      send: (bytes) => {
        const result = socket.send(bytes);
        this.#write(
          `back-end: ${describeBackendMessage(bytes)}${result < 0 ? ` = ${result}` : ''}`,
        );
        sentMs.push(this.#nowMs());
        return result;
      },
    };
  }

  #since(startMs: number): string {
    return `<${((this.#nowMs() - startMs) / 1000).toFixed(6)}>`;
  }
}
