/**
 * The load generator's vhost-user session: negotiates, shares the memory, starts the queues, and stops them at the
 * end. A well-behaved front-end, so that any back-end can be driven. Message order as QEMU's.
 */
import { closeSync } from 'node:fs';
import { bitsToWord } from '../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../protocol/vhost-user.ts';
import { vhostUserConfigHead } from '../../protocol/vhost-user-payloads.ts';
import {
  SECTOR_SIZE,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_SEG_MAX,
} from '../../protocol/virtio-blk.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import { PACKED_BASE } from '../support/mock-driver-packed.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import {
  configPayload,
  inflightPayload,
  replyU64,
  singleRegionPayload,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../support/vhost-user-messages.ts';
import type { LoadMemory } from './load-memory.ts';
import type { LoadOptions } from './load-options.ts';

const PROTOCOL_FEATURES = bitsToWord(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
);
/** FLUSH too: without it every write would have to be durable at once. */
const ALWAYS = [
  VIRTIO_F_VERSION_1,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_MQ,
];
/** What libblkio reads. */
const CONFIG_BYTES = 60;

export class LoadSession {
  readonly capacityBytes: number;
  readonly #client: VhostUserClient;
  readonly #queueCount: number;

  private constructor(client: VhostUserClient, capacityBytes: number, queueCount: number) {
    this.#client = client;
    this.capacityBytes = capacityBytes;
    this.#queueCount = queueCount;
  }

  static async start(
    socket: string,
    memory: LoadMemory,
    options: LoadOptions,
  ): Promise<LoadSession> {
    const client = await VhostUserClient.connect(socket);
    try {
      const capacityBytes = await negotiate(client, options);
      if (options.inflight) await handInflight(client, options.queues, memory.ringSize);
      for (const region of memory.shared.regions)
        await must(client, 'ADD_MEM_REG', singleRegionPayload(region), [region.fd]);
      for (let queue = 0; queue < options.queues; queue++)
        await startQueue(client, memory, queue, options.packed ? PACKED_BASE : 0);
      return new LoadSession(client, capacityBytes, options.queues);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Stops the queues, so that nothing touches the memory any more, and hangs up. */
  async end(): Promise<void> {
    try {
      for (let queue = 0; queue < this.#queueCount; queue++)
        await this.#client.request('GET_VRING_BASE', vringStatePayload(queue, 0));
    } finally {
      this.#client.close();
    }
  }
}

async function negotiate(client: VhostUserClient, options: LoadOptions): Promise<number> {
  const offered = replyU64(await client.request('GET_FEATURES'));
  const protocol = replyU64(await client.request('GET_PROTOCOL_FEATURES'));
  const inflight = options.inflight ? bitsToWord(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) : 0n;
  const needed = PROTOCOL_FEATURES | inflight;
  if ((protocol & needed) !== needed)
    throw new Error(`the back-end has protocol features ${protocol}, expected ${needed}`);
  client.send('SET_PROTOCOL_FEATURES', u64Payload(needed));
  const queueLimit = replyU64(await client.request('GET_QUEUE_NUM'));
  if (queueLimit < options.queues)
    throw new Error(`the back-end has ${queueLimit} queues, expected ${options.queues}`);
  client.send('SET_OWNER');
  const wanted = bitsToWord(
    ...ALWAYS,
    ...(options.eventIdx ? [VIRTIO_RING_F_EVENT_IDX] : []),
    ...(options.indirect ? [VIRTIO_RING_F_INDIRECT_DESC] : []),
    ...(options.packed ? [VIRTIO_F_RING_PACKED] : []),
  );
  if (options.packed && (offered & bitsToWord(VIRTIO_F_RING_PACKED)) === 0n)
    throw new Error('the back-end does not offer packed rings');
  client.send('SET_FEATURES', u64Payload(offered & wanted));
  const request = configPayload(0, new Uint8Array(CONFIG_BYTES));
  const { payload } = await client.request('GET_CONFIG', request);
  return Number(payload.getBigUint64(vhostUserConfigHead.sizeBytes, true)) * SECTOR_SIZE;
}

/** As QEMU does: a region is made, and handed over at once. */
async function handInflight(client: VhostUserClient, queueCount: number, queueSize: number) {
  const payload = inflightPayload({ queueCount, queueSize });
  const { reply, fd } = await client.requestFd('GET_INFLIGHT_FD', payload);
  try {
    await must(client, 'SET_INFLIGHT_FD', new Uint8Array(reply.payload.buffer), [fd]);
  } finally {
    closeSync(fd);
  }
}

async function startQueue(
  client: VhostUserClient,
  memory: LoadMemory,
  queue: number,
  base: number,
) {
  const fds = [memory.callFds[queue]!];
  await must(client, 'SET_VRING_NUM', vringStatePayload(queue, memory.ringSize));
  await must(client, 'SET_VRING_BASE', vringStatePayload(queue, base));
  await must(client, 'SET_VRING_ADDR', vringAddrPayload(queue, memory.userRing(queue)));
  await must(client, 'SET_VRING_CALL', vringFdPayload(queue, true), fds);
  await must(client, 'SET_VRING_KICK', vringFdPayload(queue, true), [memory.kickFds[queue]!]);
  await must(client, 'SET_VRING_ENABLE', vringStatePayload(queue, 1));
}

async function must(
  client: VhostUserClient,
  request: Parameters<VhostUserClient['acked']>[0],
  payload: Uint8Array,
  fds: readonly number[] = [],
): Promise<void> {
  const status = await client.acked(request, payload, { fds });
  if (status !== 0n) throw new Error(`${request}: the back-end refused it (${status})`);
}
