/**
 * What a session refuses of a vring: geometry that changes under it, numbers that no ring can have,
 * and fds that are no eventfds.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VHOST_USER_PROTOCOL_F_REPLY_ACK } from '../../../protocol/vhost-user.ts';
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../../protocol/virtio-ring.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { MODERN, PLACE, sessionSteps } from '../../support/session-steps.ts';
import {
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(async () => {
  it = new RecordedSession();
  await it.say('SET_PROTOCOL_FEATURES', u64Payload(bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK)));
});

const { setUp, kick, baseOf, isRefused } = sessionSteps(() => it);

describe('bug class 9: the geometry of a running ring is frozen', () => {
  beforeEach(async () => {
    await setUp(0);
    await kick(0);
  });

  test('size', async () => {
    expect(await isRefused('SET_VRING_NUM', vringStatePayload(0, 256))).toBe(true);
    expect(await isRefused('SET_VRING_NUM', vringStatePayload(0, 128))).toBe(false);
  });

  test('base', async () => {
    expect(await isRefused('SET_VRING_BASE', vringStatePayload(0, 8))).toBe(true);
  });

  test('addresses; the same ones again are no change', async () => {
    const moved = vringAddrPayload(0, { ...PLACE, used: 0x4000 });
    expect(await isRefused('SET_VRING_ADDR', moved)).toBe(true);
    const logged = vringAddrPayload(0, { ...PLACE, flags: 1 });
    expect(await isRefused('SET_VRING_ADDR', logged)).toBe(false);
  });

  test.each([VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER])(
    'the features that lay it out: bit %i',
    async (bit) => {
      const features = MODERN | bitsToWord(bit);
      expect(await isRefused('SET_FEATURES', u64Payload(features))).toBe(true);
      expect(await isRefused('SET_FEATURES', u64Payload(MODERN))).toBe(false);
    },
  );

  test('all of it can change once the ring has stopped', async () => {
    await baseOf(0);
    expect(await isRefused('SET_VRING_NUM', vringStatePayload(0, 256))).toBe(false);
    expect(await isRefused('SET_VRING_BASE', vringStatePayload(0, 8))).toBe(false);
    const moved = vringAddrPayload(0, { ...PLACE, used: 0x4000 });
    expect(await isRefused('SET_VRING_ADDR', moved)).toBe(false);
  });
});

describe('what no ring can have', () => {
  test.each([0, 3, 129, 65_536, 0x8000_0000, 0xffff_ffff])('size %i', async (num) => {
    expect(await isRefused('SET_VRING_NUM', vringStatePayload(0, num))).toBe(true);
  });

  test.each([1, 2, 128, 32_768])('size %i is a size', async (num) => {
    expect(await isRefused('SET_VRING_NUM', vringStatePayload(0, num))).toBe(false);
  });

  test.each([65_536, 0xffff_ffff])('base %i', async (num) => {
    expect(await isRefused('SET_VRING_BASE', vringStatePayload(0, num))).toBe(true);
  });

  test.each([
    ['desc', 0x1008],
    ['avail', 0x2001],
    ['used', 0x3002],
    ['desc', 2n ** 53n],
    ['avail', 2n ** 64n - 2n],
    ['used', 2n ** 63n],
  ])('bug class 18: %s at %s', async (part, address) => {
    const payload = vringAddrPayload(0, { ...PLACE, [part]: address });
    expect(await isRefused('SET_VRING_ADDR', payload)).toBe(true);
  });

  test.each([4, 0x100, 0x1_0000, 0xffff_ffff])('bug class 10: index %i', async (index) => {
    for (const name of ['SET_VRING_NUM', 'SET_VRING_BASE', 'SET_VRING_ENABLE'] as const) {
      expect(await isRefused(name, vringStatePayload(index, 1))).toBe(true);
    }
    expect(await isRefused('SET_VRING_ADDR', vringAddrPayload(index, PLACE))).toBe(true);
  });

  test.each(['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'] as const)(
    'bug class 10: %s with index 4, or bits beside the index',
    async (name) => {
      expect(await isRefused(name, u64Payload(4), { fds: 1 })).toBe(true);
      expect(await isRefused(name, u64Payload(0x200), { fds: 1 })).toBe(true);
      expect(await isRefused(name, u64Payload(2n ** 63n), { fds: 1 })).toBe(true);
      expect(it.fds.count).toBe(0);
    },
  );
});

describe('a packed ring', () => {
  const PACKED = MODERN | bitsToWord(VIRTIO_F_RING_PACKED);
  const at = { desc: 0x1000, avail: 0x2004, used: 0x2008 };

  beforeEach(async () => {
    await it.say('SET_FEATURES', u64Payload(PACKED));
  });

  test('may have any size up to 32768', async () => {
    for (const [size, refused] of [
      [0, true],
      [1, false],
      [100, false],
      [32_767, false],
      [32_768, false],
      [32_769, true],
      [65_537, true],
    ] as const) {
      expect([size, await isRefused('SET_VRING_NUM', vringStatePayload(0, size))]).toEqual([
        size,
        refused,
      ]);
    }
  });

  test.each([
    ['desc', 0x1008],
    ['avail', 0x2002],
    ['used', 0x300a],
  ])('%s at 0x%s is not aligned', async (part, address) => {
    const payload = vringAddrPayload(0, { ...at, [part]: address });
    expect(await isRefused('SET_VRING_ADDR', payload)).toBe(true);
  });

  test('has a base of 32 bits, which starts it and which a stop answers', async () => {
    await it.say('SET_VRING_NUM', vringStatePayload(0, 100));
    await it.say('SET_VRING_BASE', vringStatePayload(0, 0x8021_0003));
    await it.say('SET_VRING_ADDR', vringAddrPayload(0, at));
    await kick(0);
    expect(it.disk.callsOf('startVring')).toMatchObject([
      [{ index: 0, packed: true, inOrder: false, size: 100, base: 0x8021_0003, addresses: at }],
    ]);
    it.disk.stoppedAt = 0xffff_fffe;
    expect(await baseOf(0)).toBe(0xffff_fffe);
  });
});

describe('eventfds', () => {
  test('a call fd of a stopped ring is signalled at once: a call may have been missed', async () => {
    await it.say('SET_VRING_CALL', vringFdPayload(1, true), { fds: 1 });
    expect(it.disk.callsOf('signal')).toEqual([[100]]);
  });

  test.each([
    ['SET_VRING_KICK', 'kick'],
    ['SET_VRING_CALL', 'call'],
    ['SET_VRING_ERR', 'err'],
  ] as const)('%s of a running ring changes it there, then closes the old', async (name, which) => {
    await setUp(0);
    await kick(0);
    await it.say(name, vringFdPayload(0, true), { fds: 1 });
    const held = it.fds.count;
    await it.say(name, vringFdPayload(0, true), { fds: 1 });
    expect(it.disk.callsOf('setVringFd').at(-1)).toEqual([0, which, 102]);
    expect(it.fds.count).toBe(held);
    await it.say(name, vringFdPayload(0, false));
    expect(it.disk.callsOf('setVringFd').at(-1)).toEqual([0, which, -1]);
    expect(it.fds.count).toBe(held - 1);
  });

  test.each(['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'] as const)(
    '%s of something that is no eventfd is refused and closed',
    async (name) => {
      await setUp(0);
      it.fds.notEventfds.add(100);
      expect(await isRefused(name, vringFdPayload(0, true), { fds: 1 })).toBe(true);
      expect(it.fds.count).toBe(0);
    },
  );
});
