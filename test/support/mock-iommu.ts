/**
 * A front-end with an IOMMU: the back-end knows its memory under front-end addresses only, and asks on the
 * channel where an I/O virtual address lies. Here those are the driver's own addresses, page by page, and
 * what the back-end is told as guest addresses leads nowhere. Answers as QEMU does: the update goes first,
 * its reply is waited for, then the miss is answered.
 */

import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import {
  VHOST_ACCESS_RW,
  VHOST_IOTLB_INVALIDATE,
  VHOST_IOTLB_MISS,
  VHOST_IOTLB_UPDATE,
  vhostIotlbMsg,
} from '../../protocol/vhost-user-payloads.ts';
import { ChannelEnd } from './channel-end.ts';
import type { MockFrontEnd } from './mock-frontend.ts';
import { iotlbPayload, type Reply, replyU64 } from './vhost-user-messages.ts';

export const PAGE_BYTES = 4096;

export interface Miss {
  readonly iova: number;
  readonly access: number;
}

export class MockIommu {
  channel: ChannelEnd;
  /** Every miss so far. */
  readonly misses: Miss[] = [];
  /** Pages that the guest's tables do not map. */
  readonly unmapped = new Set<number>();
  /** What a page may be used for; RW unless it stands here. */
  readonly accessOf = new Map<number, number>();
  /** False: misses are only noted. */
  answering = true;
  readonly #frontEnd: MockFrontEnd;
  #stopped = false;
  /** One at a time on the main socket. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Why it serves no more, or null. */
  failure: unknown = null;

  private constructor(frontEnd: MockFrontEnd, channel: ChannelEnd) {
    this.#frontEnd = frontEnd;
    this.channel = channel;
    void this.#serve();
  }

  /** Realizes a front-end that was made with `translated`, and starts its queues. */
  static async start(frontEnd: MockFrontEnd): Promise<MockIommu> {
    await frontEnd.realize();
    const iommu = new MockIommu(frontEnd, await ChannelEnd.give(frontEnd.client));
    await iommu.alone(() => frontEnd.startQueues());
    return iommu;
  }

  /** The front-end has connected to another back-end: that one is given a channel, too. */
  async reconnected(): Promise<void> {
    this.channel.close();
    this.channel = await this.alone(() => ChannelEnd.give(this.#frontEnd.client));
    this.failure = null;
    void this.#serve();
  }

  /** Runs what talks on the main socket while no miss is being answered there. */
  async alone<T>(talk: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(talk);
    this.#turn = turn.catch(() => {});
    return await turn;
  }

  /** The status that an update of a page is answered with. */
  async update(iova: number, sizeBytes = PAGE_BYTES): Promise<bigint> {
    return await this.alone(() => this.#update(iova, sizeBytes));
  }

  async invalidate(iova: number | bigint, size: number | bigint = PAGE_BYTES): Promise<bigint> {
    return await this.say({ type: VHOST_IOTLB_INVALIDATE, iova, size });
  }

  /** Any IOTLB message; its status. */
  async say(text: Parameters<typeof iotlbPayload>[0]): Promise<bigint> {
    return await this.alone(() => this.#send(text));
  }

  close(): void {
    this.#stopped = true;
    this.channel.close();
  }

  async #serve(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#answer(await this.channel.next(100));
      } catch (error) {
        const idle = error instanceof Error && error.message.startsWith('no reply');
        if (idle) continue;
        // The back-end has gone, or it was wrong: there is nobody to serve any more.
        this.failure ??= error;
        return;
      }
    }
  }

  async #answer(message: Reply): Promise<void> {
    if (message.request !== B.IOTLB_MSG.code) {
      this.channel.answer(message);
      return;
    }
    const { payload } = message;
    const { at } = vhostIotlbMsg;
    const type = payload.getUint8(at.type);
    if (type !== VHOST_IOTLB_MISS) throw new Error(`an IOTLB message of type ${type}, expected 1`);
    const iova = Number(payload.getBigUint64(at.iova, true));
    this.misses.push({ iova, access: payload.getUint8(at.perm) });
    if (!this.answering) return;
    if (this.unmapped.has(iova)) {
      this.channel.answer(message, 1);
      return;
    }
    const status = await this.update(iova);
    this.channel.answer(message, status);
  }

  #update(iova: number, size: number): Promise<bigint> {
    const uaddr = this.#frontEnd.shared.ram.userAddress(iova);
    const perm = this.accessOf.get(iova) ?? VHOST_ACCESS_RW;
    return this.#send({ type: VHOST_IOTLB_UPDATE, iova, size, uaddr, perm });
  }

  async #send(text: Parameters<typeof iotlbPayload>[0]): Promise<bigint> {
    return replyU64(await this.#frontEnd.client.request('IOTLB_MSG', iotlbPayload(text)));
  }
}
