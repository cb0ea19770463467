/**
 * The front-end's end of the channel for back-end messages: makes the pair of sockets, hands one to the
 * back-end, reads its messages and answers them, rightly or not. Every wait is bounded.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { VHOST_USER_REPLY_FLAGS } from '../../protocol/vhost-user.ts';
import { socketPair as makeSocketPair } from '../../src/sys/unix-socket.ts';
import { VhostUserClient } from './vhost-user-client.ts';
import { encodeMessage, type Reply, u64Payload, type Word } from './vhost-user-messages.ts';

/** Two connected unix sockets; each is the caller's to close. */
export function socketPair(): readonly [number, number] {
  const pair = makeSocketPair();
  if (typeof pair === 'number') throw new Error(`socket pair: ${errnoName(pair)}`);
  return pair;
}

export class ChannelEnd {
  readonly #end: VhostUserClient;

  private constructor(end: VhostUserClient) {
    this.#end = end;
  }

  /** Gives the back-end its end, with NEED_REPLY. */
  static async give(client: VhostUserClient): Promise<ChannelEnd> {
    const [ours, theirs] = socketPair();
    const channel = new ChannelEnd(new VhostUserClient(ours));
    const status = await client.acked('SET_BACKEND_REQ_FD', undefined, { fds: [theirs] });
    closeSync(theirs);
    if (status !== 0n) throw new Error(`SET_BACKEND_REQ_FD was refused (${status})`);
    return channel;
  }

  get fd(): number {
    return this.#end.fd;
  }

  /** The next message of the back-end. */
  async next(timeoutMs?: number): Promise<Reply> {
    return await this.#end.nextReply('a back-end message', timeoutMs);
  }

  /** The u64 that answers a message. */
  answer({ request }: Reply, value: Word = 0): void {
    this.sendBytes(encodeMessage({ request, flags: VHOST_USER_REPLY_FLAGS }, u64Payload(value)));
  }

  sendBytes(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.#end.sendBytes(bytes, fds);
  }

  /** Waits until the back-end has closed its end. */
  async closedByPeer(): Promise<void> {
    await this.#end.disconnected();
  }

  close(): void {
    this.#end.close();
  }
}
