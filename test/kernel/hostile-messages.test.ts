/**
 * A front-end that breaks the vhost-user protocol, against the whole daemon: its session ends or its
 * message is refused, every fd it sent is closed, and the next front-end is served as ever.
 */
import { closeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VHOST_USER_MAX_PAYLOAD_BYTES } from '../../protocol/vhost-user-messages.ts';
import { VIRTIO_BLK_F_CONFIG_WCE } from '../../protocol/virtio-blk.ts';
import { VIRTIO_F_VERSION_1 } from '../../protocol/virtio-ring.ts';
import { createEventfd } from '../../src/sys/eventfd.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import type { VhostUserClient } from '../support/vhost-user-client.ts';
import {
  configPayload,
  encodeMessage,
  memTablePayload,
  replyU64,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../support/vhost-user-messages.ts';

const NACK = 1n;
let disk: ServedDisk;
let spare: number;

beforeEach(async () => {
  disk = await ServedDisk.serve({ args: ['--num-queues=4'] });
  spare = createEventfd();
});

afterEach(async () => {
  closeSync(spare);
  await disk.close();
});

/** The disk serves a well-behaved front-end. */
async function servesTheNext(): Promise<void> {
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  frontEnd.close();
}

describe('out of order', () => {
  async function refusedAtOnce(
    misbehave: (client: VhostUserClient) => void,
    reason: RegExp,
  ): Promise<void> {
    const { client } = await disk.connectSilently();
    misbehave(client);
    await client.disconnected();
    const [line] = await disk.vloop.logged('front-end disconnected: it broke the protocol');
    expect(line?.['error']).toMatch(reason);
    await servesTheNext();
  }

  test('bug class 17: a kick before the ring has a size', async () => {
    await refusedAtOnce(
      (client) => client.send('SET_VRING_KICK', vringFdPayload(0, true), { fds: [spare] }),
      /vring 0 has no size yet/,
    );
  });

  test('bug class 17: a kick before the ring has addresses', async () => {
    await refusedAtOnce((client) => {
      client.send('SET_VRING_NUM', vringStatePayload(0, 8));
      client.send('SET_VRING_KICK', vringFdPayload(0, true), { fds: [spare] });
    }, /vring 0 has no addresses yet/);
  });

  test('bug class 17: a kick before there is memory', async () => {
    await refusedAtOnce((client) => {
      client.send('SET_FEATURES', u64Payload(1n << BigInt(VIRTIO_F_VERSION_1)));
      client.send('SET_VRING_NUM', vringStatePayload(0, 8));
      client.send(
        'SET_VRING_ADDR',
        vringAddrPayload(0, { desc: 0x1000, avail: 0x2000, used: 0x3000 }),
      );
      client.send('SET_VRING_KICK', vringFdPayload(0, true), { fds: [spare] });
    }, /is not inside one memory region/);
  });

  test('bug class 17: a kick before features', async () => {
    await refusedAtOnce((client) => {
      client.send('SET_VRING_NUM', vringStatePayload(0, 8));
      client.send(
        'SET_VRING_ADDR',
        vringAddrPayload(0, { desc: 0x1000, avail: 0x2000, used: 0x3000 }),
      );
      client.send('SET_VRING_KICK', vringFdPayload(0, true), { fds: [spare] });
    }, /vring 0 has no driver with VIRTIO_F_VERSION_1 yet/);
  });

  test('bug class 17: a message of a protocol feature that nobody negotiated', async () => {
    await refusedAtOnce(
      (client) => client.send('GET_QUEUE_NUM'),
      /without VHOST_USER_PROTOCOL_F_MQ negotiated/,
    );
  });

  test('a legacy driver is refused in words, even one that waits for an ack', async () => {
    await refusedAtOnce(
      (client) => client.send('SET_FEATURES', u64Payload(1 << VIRTIO_BLK_F_CONFIG_WCE)),
      /lacks VIRTIO_F_VERSION_1: a legacy driver/,
    );
  });
});

describe('with REPLY_ACK, on a running disk', () => {
  let frontEnd: MockFrontEnd;

  beforeEach(async () => {
    frontEnd = await disk.connect();
  });

  test.each<[string, () => Promise<bigint>]>([
    [
      'bug class 9: SET_VRING_NUM of a running ring',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(0, 256)),
    ],
    [
      'bug class 9: SET_VRING_BASE of a running ring',
      () => frontEnd.client.acked('SET_VRING_BASE', vringStatePayload(0, 0)),
    ],
    [
      'bug class 9: SET_VRING_ADDR of a running ring',
      () => {
        const { desc, avail, used } = frontEnd.queue.driver.userPlace;
        const moved = { desc: desc + 4096, avail: avail + 4096, used: used + 4096 };
        return frontEnd.client.acked('SET_VRING_ADDR', vringAddrPayload(0, moved));
      },
    ],
    [
      'bug class 9: a size of 0',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(1, 0)),
    ],
    [
      'bug class 9: a size that is no power of two',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(1, 129)),
    ],
    [
      'bug class 9: a size above 32768',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(1, 65_536)),
    ],
    [
      'bug class 10: vring index 4 of 4',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(4, 128)),
    ],
    [
      'bug class 10: vring index 0x10000',
      () => frontEnd.client.acked('SET_VRING_NUM', vringStatePayload(0x1_0000, 128)),
    ],
    [
      'bug class 10: vring index 0xffffffff',
      () => frontEnd.client.acked('SET_VRING_ENABLE', vringStatePayload(0xffff_ffff, 1)),
    ],
    [
      'bug class 10: unknown bits beside the index of a call eventfd',
      () => frontEnd.client.acked('SET_VRING_CALL', u64Payload(0x1_0000_0100n)),
    ],
    [
      'bug class 18: a misaligned descriptor table',
      () => {
        const place = { desc: 0x1008, avail: 0x2000, used: 0x3000 };
        return frontEnd.client.acked('SET_VRING_ADDR', vringAddrPayload(1, place));
      },
    ],
    [
      'bug class 18: a misaligned used ring',
      () => {
        const place = { desc: 0x1000, avail: 0x2000, used: 0x3002 };
        return frontEnd.client.acked('SET_VRING_ADDR', vringAddrPayload(1, place));
      },
    ],
    [
      'bug class 25: SET_CONFIG of the capacity',
      () => frontEnd.client.acked('SET_CONFIG', configPayload(0, new Uint8Array(8))),
    ],
    [
      'bug class 25: SET_CONFIG of writeback and its neighbour',
      () => frontEnd.client.acked('SET_CONFIG', configPayload(32, new Uint8Array(2))),
    ],
    [
      'bug class 25: SET_CONFIG far outside',
      () => frontEnd.client.acked('SET_CONFIG', configPayload(0xffff_ffff, new Uint8Array(1))),
    ],
    [
      'REM_MEM_REG of a region that is not there',
      () => frontEnd.client.acked('REM_MEM_REG', new Uint8Array(40)),
    ],
    [
      'a message that vloop does not serve',
      () => frontEnd.client.acked(23, vringStatePayload(0, 1)),
    ],
    ['a message that nobody knows', () => frontEnd.client.acked(0xffff_fffe, new Uint8Array(7))],
  ])('%s is refused and the disk goes on', async (_, misbehave) => {
    expect(await misbehave()).toBe(NACK);
    await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(disk.vloop.log('front-end message refused')).toHaveLength(1);
  });

  test.each([
    [96, 1],
    [95, 2],
    [0, 97],
    [0xffff_ffff, 1],
    [0xffff_ffff, 256],
  ])('bug class 25: GET_CONFIG at %i of %i bytes answers size 0', async (offset, size) => {
    const request = configPayload(offset, new Uint8Array(size));
    const { payload } = await frontEnd.client.request('GET_CONFIG', request);
    expect([payload.byteLength, payload.getUint32(4, true)]).toEqual([12, 0]);
  });

  test('an unknown message without NEED_REPLY is skipped', async () => {
    frontEnd.client.send(199, new Uint8Array(100));
    await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(replyU64(await frontEnd.client.request('GET_QUEUE_NUM'))).toBe(4n);
  });

  test('bug class 13: 10^4 SET_VRING_NUM, ADDR and BASE of a stopped ring change nothing else', async () => {
    const fds = disk.vloop.openFds();
    const before = disk.vloop.rssBytes();
    for (let i = 0; i < 3400; i++) {
      await frontEnd.client.sendPatiently('SET_VRING_NUM', vringStatePayload(1, 1 << (i % 16)));
      await frontEnd.client.sendPatiently('SET_VRING_BASE', vringStatePayload(1, i));
      const place = { desc: i * 4096, avail: 0, used: 0 };
      await frontEnd.client.sendPatiently('SET_VRING_ADDR', vringAddrPayload(1, place));
    }
    await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(disk.vloop.openFds()).toBe(fds);
    expect(disk.vloop.rssBytes() - before).toBeLessThan(32 * 2 ** 20);
  });

  test('bug class 28: 10^4 refused messages leave a bounded log', async () => {
    for (let i = 0; i < 10_000; i++) {
      await frontEnd.client.sendPatiently(200 + (i % 50), new Uint8Array(i % 9));
    }
    await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(disk.vloop.lines.length).toBeLessThan(100);
  });
});

describe('bug class 11: a header that lies ends the session', () => {
  test.each<[string, Uint8Array]>([
    ['version 0', encodeMessage({ request: 'GET_FEATURES', flags: 0 })],
    ['version 2', encodeMessage({ request: 'GET_FEATURES', flags: 2 })],
    ['a reply', encodeMessage({ request: 'GET_FEATURES', flags: 5 })],
    ['size 2^32-1', encodeMessage({ request: 'SET_FEATURES', size: 0xffff_ffff })],
    [
      'an unknown message larger than any',
      encodeMessage({ request: 222, size: VHOST_USER_MAX_PAYLOAD_BYTES + 1 }),
    ],
    ['one byte more', encodeMessage({ request: 'SET_FEATURES' }, new Uint8Array(9))],
    ['one byte less', encodeMessage({ request: 'SET_FEATURES' }, new Uint8Array(7))],
    ['nine regions', encodeMessage({ request: 'SET_MEM_TABLE' }, memTablePayload([], 9))],
  ])('%s', async (_, bytes) => {
    const { client } = await disk.connectSilently();
    client.sendBytes(bytes);
    await client.disconnected();
    await disk.vloop.logged('it broke the protocol');
    await servesTheNext();
  });

  test('a message that comes byte by byte is a message all the same', async () => {
    const { client } = await disk.connectSilently();
    const bytes = encodeMessage({ request: 'GET_FEATURES' });
    for (const byte of bytes) client.sendBytes(Uint8Array.of(byte));
    expect((await client.reply('GET_FEATURES')).payload.byteLength).toBe(8);
  });

  test('a hundred messages in one write are a hundred messages', async () => {
    const { client } = await disk.connectSilently();
    const one = encodeMessage({ request: 'GET_FEATURES' });
    const all = new Uint8Array(one.length * 100);
    for (let i = 0; i < 100; i++) all.set(one, i * one.length);
    client.sendBytes(all);
    for (let i = 0; i < 100; i++) await client.reply('GET_FEATURES');
  });

  test('noise ends the session', async () => {
    const { client } = await disk.connectSilently();
    client.sendBytes(new Uint8Array(4096).fill(0xa5));
    await client.disconnected();
    await servesTheNext();
  });
});
