/**
 * The IOTLB of a session: updates and invalidations from the front-end, misses to it. A vring that lacks
 * translations stands still; each page is asked for once, however many vrings want it, and a vring goes on
 * when all its pages have come, breaks when one is denied, and asks again when nothing comes in time.
 * Source: vhost-user.rst, "IOMMU support".
 */

import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  VHOST_ACCESS_RW,
  VHOST_IOTLB_INVALIDATE,
  VHOST_IOTLB_MISS,
  VHOST_IOTLB_UPDATE,
  vhostIotlbMsg,
  vhostIotlbTypes,
} from '../../protocol/vhost-user-payloads.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import type { BackendChannel, ChannelOutcome } from './backend-channel.ts';
import { ProtocolError, refuseWith } from './protocol-error.ts';
import type { SessionPort } from './session-port.ts';

const { at: AT } = vhostIotlbMsg;

/** A front-end answers in well under a millisecond; after this, what was lost is asked for again. */
export const MISS_AGAIN_MS = 1000;

const ADDRESS_LIMIT = BigInt(Number.MAX_SAFE_INTEGER);

interface Ask {
  /** Keys of the pages that have not come. */
  readonly pages: Set<string>;
  readonly cancel: () => void;
}

export class SessionIotlb {
  readonly #port: SessionPort;
  readonly #channel: () => BackendChannel | null;
  /** By vring. */
  readonly #asks = new Map<number, Ask>();
  /** The pages that the front-end has been asked for, by key. */
  readonly #asked = new Map<string, MissedPage>();
  /** Misses are not sent: another process is about to take over. They are asked for again later. */
  quiet = false;

  constructor(port: SessionPort, channel: () => BackendChannel | null) {
    this.#port = port;
    this.#channel = channel;
    port.disk.onMiss = (vring, pages) => this.#ask(vring, pages);
  }

  /** The session is over. */
  end(): void {
    this.#port.disk.onMiss = () => {};
    for (const { cancel } of this.#asks.values()) cancel();
    this.#asks.clear();
    this.#asked.clear();
  }

  /** IOTLB_MSG. Throws a ProtocolError for what is refused; the table is as it was then. */
  async take(payload: DataView): Promise<void> {
    const type = payload.getUint8(AT.type);
    if (type === VHOST_IOTLB_UPDATE) this.#update(payload);
    else if (type === VHOST_IOTLB_INVALIDATE) await this.#invalidate(payload);
    else {
      const { name } = M.IOTLB_MSG;
      throw new ProtocolError(
        `${name}: type=${vhostIotlbTypes.nameOf(type)}, expected VHOST_IOTLB_UPDATE or INVALIDATE`,
      );
    }
  }

  #update(payload: DataView): void {
    const { name } = M.IOTLB_MSG;
    const access = payload.getUint8(AT.perm);
    if (access < 1 || access > VHOST_ACCESS_RW) {
      throw new ProtocolError(`${name}: perm=${access}, expected 1, 2 or 3`);
    }
    const fields = { iova: AT.iova, 'user address': AT.uaddr };
    const size = payload.getBigUint64(AT.size, true);
    if (size === 0n) throw new ProtocolError(`${name}: size=0, expected at least one byte`);
    for (const [field, at] of Object.entries(fields)) {
      const start = payload.getBigUint64(at, true);
      if (start + size > ADDRESS_LIMIT) {
        throw new ProtocolError(
          `${name}: ${field}=0x${start.toString(16)} + size=${size} is not below 2^53`,
        );
      }
    }
    const iova = Number(payload.getBigUint64(AT.iova, true));
    const userAddress = Number(payload.getBigUint64(AT.uaddr, true));
    const update = { iova, userAddress, sizeBytes: Number(size), access };
    refuseWith(M.IOTLB_MSG, this.#port.disk.updateIotlb(update));
    for (const [key, page] of this.#asked) {
      if (page.iova < iova || page.iova >= iova + update.sizeBytes) continue;
      this.#settle(key, (page.access & access) === page.access);
    }
  }

  /** Front-ends say "everything" with a size of 0, of which an end above 2^64 leaves nothing more. */
  async #invalidate(payload: DataView): Promise<void> {
    const start = payload.getBigUint64(AT.iova, true);
    const size = payload.getBigUint64(AT.size, true);
    const end = size === 0n ? ADDRESS_LIMIT : start + size;
    const clamped = (address: bigint) => Number(address < ADDRESS_LIMIT ? address : ADDRESS_LIMIT);
    await this.#port.disk.invalidateIotlb(clamped(start), clamped(end));
  }

  /** A vring's new misses replace what it asked before: it has looked again. */
  #ask(vring: number, pages: readonly MissedPage[]): void {
    this.#asks.get(vring)?.cancel();
    const keys = new Set(pages.map(keyOf));
    const cancel = this.#port.after(MISS_AGAIN_MS, () => this.#giveUp(vring));
    this.#asks.set(vring, { pages: keys, cancel });
    if (this.quiet) return;
    for (const page of pages) this.#request(page);
  }

  #request(page: MissedPage): void {
    const key = keyOf(page);
    if (this.#asked.has(key)) return;
    this.#asked.set(key, page);
    const channel = this.#channel();
    if (channel === null) {
      this.#say(page, 'a translation is missing, and the front-end gave no channel to ask on');
      return;
    }
    void channel
      .send(B.IOTLB_MSG, missPayload(page))
      .then((outcome) => this.#answered(key, outcome));
  }

  #answered(key: string, outcome: ChannelOutcome): void {
    const page = this.#asked.get(key);
    if (page === undefined) return;
    // Done is said by the update itself, which may still be in the other socket.
    if (outcome === 'refused') this.#settle(key, false);
    else if (outcome !== 'done') this.#say(page, `the front-end has not taken a miss (${outcome})`);
  }

  /** A page has come, or is denied. */
  #settle(key: string, granted: boolean): void {
    const page = this.#asked.get(key)!;
    this.#asked.delete(key);
    if (!granted) this.#say(page, 'the guest’s IOMMU does not allow an access');
    for (const [vring, ask] of this.#asks) {
      if (!ask.pages.delete(key)) continue;
      if (granted && ask.pages.size > 0) continue;
      ask.cancel();
      this.#asks.delete(vring);
      this.#port.disk.retryVring(vring, !granted);
    }
  }

  /** Nothing has come in time: the vring looks, and asks, again. */
  #giveUp(vring: number): void {
    const ask = this.#asks.get(vring);
    if (ask === undefined) return;
    this.#asks.delete(vring);
    for (const key of ask.pages) this.#asked.delete(key);
    this.#port.disk.retryVring(vring, false);
  }

  #say({ iova, access }: MissedPage, text: string): void {
    this.#port.log('info', { iova: `0x${iova.toString(16)}`, access }, text);
  }
}

function keyOf({ iova, access }: MissedPage): string {
  return `${iova}/${access}`;
}

function missPayload({ iova, access }: MissedPage): Uint8Array {
  const payload = new Uint8Array(vhostIotlbMsg.sizeBytes);
  const view = new DataView(payload.buffer);
  view.setBigUint64(AT.iova, BigInt(iova), true);
  view.setUint8(AT.perm, access);
  view.setUint8(AT.type, VHOST_IOTLB_MISS);
  return payload;
}
