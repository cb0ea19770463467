/**
 * A front-end that has no eventfds at all: kicks, calls and errors are messages, against the whole daemon,
 * under load; and one that has a bad idea of them.
 */
import { afterEach, expect, test } from 'vitest';
import { bitsToWord } from '../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../protocol/vhost-user.ts';
import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import {
  VHOST_F_LOG_ALL,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
} from '../../protocol/virtio-ring.ts';
import { ChannelEnd } from '../support/channel-end.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import {
  memTablePayload,
  u64Payload,
  vringAddrPayload,
  vringStatePayload,
} from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const INBAND = bitsToWord(
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
);
const NOT_WANTED = bitsToWord(
  VHOST_F_LOG_ALL,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
);
const BLOCK = 4096;
let disk: ServedDisk;
let frontEnd: MockFrontEnd;
let channel: ChannelEnd;

afterEach(async () => {
  await disk.close();
});

async function acked(...message: Parameters<typeof frontEnd.client.acked>): Promise<void> {
  expect(await frontEnd.client.acked(...message)).toBe(0n);
}

/** Sets a front-end up by messages alone; no eventfd crosses the socket. */
async function start(args: readonly string[] = []): Promise<void> {
  disk = await ServedDisk.serve({ args });
  frontEnd = await disk.connectSilently();
  const { client } = frontEnd;
  const offered = (await client.request('GET_FEATURES')).payload.getBigUint64(0, true);
  client.send('SET_PROTOCOL_FEATURES', u64Payload(INBAND));
  channel = disk.own(await ChannelEnd.give(client));
  client.send('SET_FEATURES', u64Payload(offered & ~NOT_WANTED));
  const { regions } = frontEnd.shared;
  await acked('SET_MEM_TABLE', memTablePayload(regions), { fds: regions.map(({ fd }) => fd) });
  await setRing();
}

async function setRing(base = 0): Promise<void> {
  const { ring } = frontEnd.queue;
  await acked('SET_VRING_NUM', vringStatePayload(0, ring.size));
  await acked('SET_VRING_BASE', vringStatePayload(0, base));
  await acked('SET_VRING_ADDR', vringAddrPayload(0, ring.userPlace));
  await acked('SET_VRING_ENABLE', vringStatePayload(0, 1));
  await acked('VRING_KICK', vringStatePayload(0, 0));
}

/** Offers, kicks by a message, and collects as calls come; never looks without having been called. */
async function runByMessages(count: number): Promise<void> {
  const { queue } = frontEnd;
  let done = 0;
  for (let offered = 0; done < count; ) {
    while (queue.hasRoom && offered < count) queue.offer(blk.read((offered++ * 8) % 1024, BLOCK));
    if (queue.driver.publish()) await acked('VRING_KICK', vringStatePayload(0, 0));
    if (!queue.driver.armCalls()) {
      const message = await channel.next();
      expect(message).toMatchObject({ request: B.VRING_CALL.code, flags: 9 });
      expect(message.payload.getUint32(0, true)).toBe(0);
      channel.answer(message);
    }
    for (const { request } of queue.collect()) {
      expect(request.status).toBe(VIRTIO_BLK_S_OK);
      done++;
    }
  }
}

test.each([[[]], [['--aio=threads']]])(
  'a thousand requests by messages alone (%o)',
  async (args) => {
    await start(args);
    await runByMessages(1000);
  },
);

test('a ring stops and starts, and its data is right', async () => {
  await start();
  const data = noise(BLOCK, 3);
  const { queue, client } = frontEnd;
  const write = queue.offer(blk.write(0, data));
  queue.driver.publish();
  await acked('VRING_KICK', vringStatePayload(0, 0));
  await queue.drained();
  expect(write.request.status).toBe(VIRTIO_BLK_S_OK);
  const reply = await client.request('GET_VRING_BASE', vringStatePayload(0, 0));
  expect(reply.payload.getUint32(4, true)).toBe(1);
  const read = queue.offer(blk.read(0, BLOCK));
  queue.driver.publish();
  await setRing(1);
  await queue.drained();
  expect(Buffer.from(read.request.dataIn)).toEqual(Buffer.from(data));
});

test('a broken ring is told of by a message', async () => {
  await start();
  frontEnd.queue.driver.rawAvailIdx(0x7fff);
  await acked('VRING_KICK', vringStatePayload(0, 0));
  const message = await channel.next();
  expect(message).toMatchObject({ request: B.VRING_ERR.code, flags: 9 });
});

test('a front-end that never answers calls has its disk all the same', async () => {
  await start();
  const { queue } = frontEnd;
  for (let i = 0; i < 20; i++) {
    const pending = queue.offer(blk.read(0, BLOCK));
    queue.driver.publish();
    await acked('VRING_KICK', vringStatePayload(0, 0));
    await queue.drained();
    expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
  }
  // One is unanswered, so no other was sent.
  await channel.next();
  await expect(channel.next(200)).rejects.toThrow('no reply');
  expect((await disk.stopVloop()).status).toBe(0);
});

test('10 000 kicks of an idle ring are as many wake-ups and nothing else', async () => {
  await start();
  const fds = disk.vloop.openFds();
  for (let i = 0; i < 10_000; i++) {
    await frontEnd.client.sendPatiently('VRING_KICK', vringStatePayload(0, 0));
  }
  await runByMessages(10);
  expect(disk.vloop.openFds()).toBe(fds);
});

test('in-band notifications without what they need end the session, and the next is served', async () => {
  disk = await ServedDisk.serve();
  const { client } = await disk.connectSilently();
  const alone = bitsToWord(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
  client.send('SET_PROTOCOL_FEATURES', u64Payload(alone));
  await client.disconnected();
  const [line] = await disk.vloop.logged('it broke the protocol');
  expect(line?.['error']).toContain('VHOST_USER_PROTOCOL_F_BACKEND_REQ');
  await (await disk.connect()).queue.mustRun(blk.read(0, BLOCK));
});

test('the end of a front-end leaves nothing behind', async () => {
  await start();
  await runByMessages(10);
  frontEnd.close();
  channel.close();
  await disk.vloop.logged('front-end disconnected');
  const fds = disk.vloop.openFds();
  const next = await disk.connect();
  await next.queue.mustRun(blk.read(0, BLOCK));
  next.close();
  await eventually(
    () => `${fds} fds, as before; there are ${disk.vloop.openFds()}`,
    5000,
    () => disk.vloop.openFds() === fds || undefined,
  );
});
