/**
 * A front-end of a vhost-user-blk back-end, whole: its own shared memory, queues and eventfds, and the
 * message sequences of QEMU (realize, start, stop) and of libblkio. The first thing that a test of a
 * running back-end needs. It keeps to the protocol; a test that wants to break it uses `client`.
 * Sequences as observed on QEMU 7.2 and 10.0 and on libblkio 1.5.
 */
import { closeSync } from 'node:fs';
import { bitsToWord } from '../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../protocol/vhost-user.ts';
import { vhostUserConfigHead, vhostVringState } from '../../protocol/vhost-user-payloads.ts';
import { virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import {
  VHOST_F_LOG_ALL,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_RING_F_EVENT_IDX,
} from '../../protocol/virtio-ring.ts';
import { PACKED_BASE } from './mock-driver-packed.ts';
import { MockQueue, PLACE_BYTES } from './mock-frontend-queue.ts';
import { SharedRam, type SharedRegion } from './shared-ram.ts';
import { VhostUserClient } from './vhost-user-client.ts';
import {
  configPayload,
  inflightPayload,
  logPayload,
  replyU64,
  singleRegionPayload,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from './vhost-user-messages.ts';

export interface MockFrontEndOptions {
  readonly queueCount?: number;
  readonly queueSize?: number;
  /** Requests that can be under way on each queue. */
  readonly placeCount?: number;
  readonly eventIdx?: boolean;
  /** Packed rings (default: split). */
  readonly packed?: boolean;
  /** VIRTIO_F_IN_ORDER, which the driver does not take by itself. */
  readonly inOrder?: boolean;
  readonly byCalls?: boolean;
  /** Where the rings' indices start. */
  readonly base?: number;
  /** Regions after the first, which the front-end shares but puts nothing in: [guest address, bytes]. */
  readonly moreRegions?: ReadonlyArray<readonly [number, number]>;
  readonly fdEach?: boolean;
  readonly hugePages?: boolean;
  /** Negotiates GPA_ADDRESSES: user addresses are guest addresses. */
  readonly guestAddressed?: boolean;
  /** Offered features that the driver leaves out (bit numbers). */
  readonly withoutFeatures?: readonly number[];
  /** Has requests in flight recorded, and hands the region back when it connects again. */
  readonly inflight?: boolean;
  /** The queue size that the region is asked for (default: the rings'). */
  readonly inflightQueueSize?: number;
  /** Behind an IOMMU: see MockIommu. */
  readonly translated?: boolean;
}

const PROTOCOL_FEATURES = bitsToWord(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
);
const INFLIGHT_FEATURES = bitsToWord(
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
);
const RAM_AT = 0x4000_0000;
/** Behind an IOMMU a region's guest address is not used: here it leads nowhere. */
const UNUSED_SHIFT = 2 ** 45;
const RING_STRIDE = 1024 * 1024;
/** What QEMU reads of the config space: up to write_zeroes_may_unmap. */
const QEMU_CONFIG_BYTES = 57;

export class MockFrontEnd {
  client: VhostUserClient;
  readonly shared: SharedRam;
  readonly queues: readonly MockQueue[];
  readonly queueSize: number;
  features = 0n;
  offered = 0n;
  readonly #bases: number[];
  readonly #eventIdx: boolean;
  readonly #packed: boolean;
  readonly #inOrder: boolean;
  readonly #withoutFeatures: readonly number[];
  readonly #translated: boolean;
  readonly #guestAddressed: boolean;
  readonly #announced = new Set<SharedRegion>();
  readonly #tracked: boolean;
  readonly #trackedSize: number;
  /** The in-flight region: its fd, and what SET_INFLIGHT_FD says of it. */
  inflight: { readonly fd: number; readonly payload: Uint8Array } | null = null;
  #closed = false;

  constructor(client: VhostUserClient, options: MockFrontEndOptions = {}) {
    const { queueCount = 1, queueSize = 128, placeCount = 32, eventIdx = true } = options;
    const { packed = false, inOrder = false, base = packed ? PACKED_BASE : 0 } = options;
    this.client = client;
    this.queueSize = queueSize;
    this.#eventIdx = eventIdx;
    this.#packed = packed;
    this.#inOrder = inOrder;
    this.#withoutFeatures = options.withoutFeatures ?? [];
    this.#tracked = options.inflight ?? false;
    this.#trackedSize = options.inflightQueueSize ?? queueSize;
    this.#translated = options.translated ?? false;
    this.#guestAddressed = options.guestAddressed ?? false;
    this.#bases = new Array<number>(queueCount).fill(base);
    const perQueue = RING_STRIDE + placeCount * PLACE_BYTES;
    const { moreRegions = [], byCalls = false } = options;
    this.shared = new SharedRam([[RAM_AT, perQueue * queueCount], ...moreRegions], options);
    this.queues = Array.from({ length: queueCount }, (_, index) => {
      const ringAt = RAM_AT + index * perQueue;
      const placesAt = ringAt + RING_STRIDE;
      const places = { ringAt, placesAt, placeCount };
      return new MockQueue(this.shared.ram, {
        index,
        size: queueSize,
        eventIdx,
        packed,
        base,
        byCalls,
        ...places,
      });
    });
  }

  /** Connects, realizes and starts all queues as QEMU does. */
  static async start(path: string, options: MockFrontEndOptions = {}): Promise<MockFrontEnd> {
    const frontEnd = new MockFrontEnd(await VhostUserClient.connect(path), options);
    try {
      await frontEnd.realize();
      await frontEnd.startQueues();
      return frontEnd;
    } catch (error) {
      frontEnd.close();
      throw error;
    }
  }

  /** The first queue: most tests have one. */
  get queue(): MockQueue {
    return this.queues[0]!;
  }

  /** Sequence A: what QEMU says at start, up to its reading of the config space, which it answers. */
  async realize(): Promise<Uint8Array> {
    const { client } = this;
    this.offered = replyU64(await client.request('GET_FEATURES'));
    const protocol = replyU64(await client.request('GET_PROTOCOL_FEATURES'));
    client.send('SET_PROTOCOL_FEATURES', u64Payload(protocol & this.#protocolFeatures));
    await client.request('GET_QUEUE_NUM');
    await client.request('GET_MAX_MEM_SLOTS');
    client.send('SET_OWNER');
    await client.request('GET_FEATURES');
    for (const queue of this.queues) {
      client.send('SET_VRING_CALL', vringFdPayload(queue.index, true), { fds: [queue.callFd] });
      client.send('SET_VRING_ERR', vringFdPayload(queue.index, true), { fds: [queue.errFd] });
    }
    return await this.config(QEMU_CONFIG_BYTES);
  }

  get #protocolFeatures(): bigint {
    const tracked = this.#tracked ? INFLIGHT_FEATURES : 0n;
    const addressed = this.#guestAddressed ? bitsToWord(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES) : 0n;
    return (
      PROTOCOL_FEATURES |
      tracked |
      addressed |
      bitsToWord(
        VHOST_USER_PROTOCOL_F_BACKEND_REQ,
        VHOST_USER_PROTOCOL_F_LOG_SHMFD,
        VHOST_USER_PROTOCOL_F_DEVICE_STATE,
      )
    );
  }

  /** Connects to a back-end that was started anew, and goes on as QEMU does: from what it knows itself. */
  async reconnect(path: string): Promise<void> {
    this.client.close();
    this.client = await VhostUserClient.connect(path);
    this.#announced.clear();
    // Of a packed ring QEMU knows no more than what it was told last.
    if (!this.#packed) {
      for (const { index, driver } of this.queues) this.#bases[index] = driver.usedIdx;
    }
    await this.realize();
    await this.startQueues();
  }

  /** Has a region made, the first time, and hands it over. */
  async #handInflight(): Promise<void> {
    const text = { queueCount: this.queues.length, queueSize: this.#trackedSize };
    if (this.inflight === null) {
      const { reply, fd } = await this.client.requestFd('GET_INFLIGHT_FD', inflightPayload(text));
      this.inflight = { fd, payload: new Uint8Array(reply.payload.buffer) };
    }
    const { fd, payload } = this.inflight;
    this.client.send('SET_INFLIGHT_FD', payload, { fds: [fd] });
  }

  /** What the driver acks of the offer. */
  get #wanted(): bigint {
    // No driver's: front-ends add it while they migrate.
    const without = [VHOST_F_LOG_ALL, ...this.#withoutFeatures];
    if (!this.#translated) without.push(VIRTIO_F_ACCESS_PLATFORM);
    if (!this.#eventIdx) without.push(VIRTIO_RING_F_EVENT_IDX);
    if (!this.#packed) without.push(VIRTIO_F_RING_PACKED);
    if (!this.#inOrder) without.push(VIRTIO_F_IN_ORDER);
    return this.offered & ~bitsToWord(...without);
  }

  /** Sequence B: features, memory (first time), rings, enable. */
  async startQueues(): Promise<void> {
    const { client } = this;
    this.features = this.#wanted;
    client.send('SET_FEATURES', u64Payload(this.features));
    if (this.#tracked) await this.#handInflight();
    for (const { index, callFd } of this.queues) {
      client.send('SET_VRING_CALL', vringFdPayload(index, true), { fds: [callFd] });
    }
    client.send('SET_FEATURES', u64Payload(this.features));
    for (const region of this.shared.regions) {
      if (!this.#announced.has(region)) await this.addRegion(region);
    }
    for (const { index } of this.queues) this.#sendRing(index);
    for (const { index } of this.queues) await this.enable(index, true);
  }

  #sendRing(index: number): void {
    const { client } = this;
    const { ring, kickFd } = this.queues[index]!;
    client.send('SET_VRING_NUM', vringStatePayload(index, ring.size));
    client.send('SET_VRING_BASE', vringStatePayload(index, this.#bases[index]!));
    const place = this.#translated ? ring.place : ring.userPlace;
    client.send('SET_VRING_ADDR', vringAddrPayload(index, place));
    client.send('SET_VRING_KICK', vringFdPayload(index, true), { fds: [kickFd] });
  }

  /** Sets up and enables one ring that was stopped, where it stood. */
  async restart(index: number): Promise<void> {
    const { callFd } = this.queues[index]!;
    this.client.send('SET_VRING_CALL', vringFdPayload(index, true), { fds: [callFd] });
    this.#sendRing(index);
    await this.enable(index, true);
  }

  async enable(index: number, enabled: boolean): Promise<void> {
    const payload = vringStatePayload(index, enabled ? 1 : 0);
    await this.#must('SET_VRING_ENABLE', payload);
  }

  /** GET_VRING_BASE of one queue: its next avail index, which a start takes up. */
  async stopQueue(
    index: number,
    message: 'GET_VRING_BASE' | 'GET_VRING_BASE_SKIP_DRAIN' = 'GET_VRING_BASE',
  ): Promise<number> {
    const reply = await this.client.request(message, vringStatePayload(index, 0));
    const base = reply.payload.getUint32(vhostVringState.at.num, true);
    this.#bases[index] = base;
    return base;
  }

  /** Sequence D: disable all, stop all. The next avail indices. */
  async stopQueues(): Promise<number[]> {
    for (const { index } of this.queues) await this.enable(index, false);
    const bases = [];
    for (const { index } of this.queues) bases.push(await this.stopQueue(index));
    return bases;
  }

  /** What the next start says of a ring whose driver starts anew. */
  setBase(index: number, base: number): void {
    this.#bases[index] = base;
  }

  /** The driver resets one ring (VIRTIO_F_RING_RESET), which has been stopped: it starts from nothing. */
  resetQueue(index: number, size: number): void {
    const base = this.#packed ? PACKED_BASE : 0;
    this.queues[index]!.reset(size, base);
    this.setBase(index, base);
  }

  /** Whether a ring that has been stopped starts where `setBase` says: 0, or a refusal. */
  async startStatus(index: number): Promise<bigint> {
    const { ring, kickFd } = this.queues[index]!;
    const base = vringStatePayload(index, this.#bases[index]!);
    await this.#must('SET_VRING_NUM', vringStatePayload(index, ring.size));
    await this.#must('SET_VRING_BASE', base);
    const fds = [kickFd];
    return await this.client.acked('SET_VRING_KICK', vringFdPayload(index, true), { fds });
  }

  /**
   * libblkio's way, whole: owner first, features before protocol features, then NEED_REPLY on
   * everything, KICK before CALL, and the used ring wherever it comes.
   */
  async startLikeLibblkio(): Promise<void> {
    const { client } = this;
    client.send('SET_OWNER');
    this.offered = replyU64(await client.request('GET_FEATURES'));
    this.features = this.#wanted;
    client.send('SET_FEATURES', u64Payload(this.features));
    await client.request('GET_PROTOCOL_FEATURES');
    client.send('SET_PROTOCOL_FEATURES', u64Payload(PROTOCOL_FEATURES));
    const needReply = { needReply: true };
    await client.request('GET_QUEUE_NUM', undefined, needReply);
    await client.request('GET_MAX_MEM_SLOTS', undefined, needReply);
    for (let i = 0; i < 3; i++) {
      await client.request('GET_CONFIG', configPayload(0, new Uint8Array(60)), needReply);
    }
    for (const region of this.shared.regions) await this.addRegion(region);
    for (const { index, ring, kickFd, callFd } of this.queues) {
      await this.#must('SET_VRING_NUM', vringStatePayload(index, ring.size));
      await this.#must('SET_VRING_BASE', vringStatePayload(index, this.#bases[index]!));
      await this.#must('SET_VRING_ADDR', vringAddrPayload(index, ring.userPlace));
      await this.#must('SET_VRING_KICK', vringFdPayload(index, true), [kickFd]);
      await this.#must('SET_VRING_CALL', vringFdPayload(index, true), [callFd]);
      await this.enable(index, true);
    }
  }

  /** Sequence I: the log, VHOST_F_LOG_ALL, and every vring's own flag. */
  async logWrites(fd: number, sizeBytes: number): Promise<void> {
    await this.client.request('SET_LOG_BASE', logPayload(sizeBytes), { fds: [fd] });
    await this.setLogging(true);
  }

  async setLogging(on: boolean): Promise<void> {
    this.features = on ? this.#wanted | bitsToWord(VHOST_F_LOG_ALL) : this.#wanted;
    await this.#must('SET_FEATURES', u64Payload(this.features));
    for (const { index, driver } of this.queues) {
      const log = this.shared.ram.guestAddress(driver.userPlace.used);
      const text = { ...driver.userPlace, flags: on ? 1 : 0, log };
      await this.#must('SET_VRING_ADDR', vringAddrPayload(index, text));
    }
  }

  async addRegion(region: SharedRegion): Promise<void> {
    await this.#must('ADD_MEM_REG', this.#regionPayload(region), [region.fd]);
    this.#announced.add(region);
  }

  async removeRegion(region: SharedRegion): Promise<void> {
    await this.#must('REM_MEM_REG', this.#regionPayload(region));
    this.#announced.delete(region);
  }

  #regionPayload(region: SharedRegion): Uint8Array {
    const guestAddress = region.guestAddress + (this.#translated ? UNUSED_SHIFT : 0);
    return singleRegionPayload({ ...region, guestAddress });
  }

  get announcedRegions(): readonly SharedRegion[] {
    return [...this.#announced];
  }

  /** The first bytes of the config space. */
  async config(sizeBytes = virtioBlkConfig.sizeBytes): Promise<Uint8Array> {
    const request = configPayload(0, new Uint8Array(sizeBytes));
    const { payload } = await this.client.request('GET_CONFIG', request);
    return new Uint8Array(payload.buffer).slice(vhostUserConfigHead.sizeBytes);
  }

  /** SET_CONFIG of the writeback byte (QEMU: the guest writes cache_type). */
  async setWriteback(value: number): Promise<void> {
    const payload = configPayload(virtioBlkConfig.at.wce, Uint8Array.of(value));
    await this.#must('SET_CONFIG', payload);
  }

  async #must(
    request: Parameters<VhostUserClient['acked']>[0],
    payload: Uint8Array,
    fds: readonly number[] = [],
  ): Promise<void> {
    const status = await this.client.acked(request, payload, { fds });
    if (status !== 0n) throw new Error(`${request}: the back-end refused it (${status})`);
  }

  /** Hangs up like a process that dies: nothing is said first. Then frees everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.client.close();
    if (this.inflight !== null) closeSync(this.inflight.fd);
    for (const queue of this.queues) queue.close();
    this.shared.close();
  }
}
