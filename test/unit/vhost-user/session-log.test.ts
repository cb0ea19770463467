/**
 * The messages of the dirty log in a session that records: what the disk is told, what is answered, what
 * is refused and how, and whose the fds are.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VHOST_F_LOG_ALL, vringUsedBytes } from '../../../protocol/virtio-ring.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, MODERN, PLACE, sessionSteps } from '../../support/session-steps.ts';
import {
  logPayload,
  replyU64,
  u64Payload,
  vringAddrPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(async () => {
  it = new RecordedSession();
  await negotiate();
});

const { negotiate, statusOf, setUp, kick } = sessionSteps(() => it);

function addresses(index: number, log: number | bigint | null) {
  const flags = log === null ? 0 : 1;
  return vringAddrPayload(index, { ...PLACE, flags, log: log ?? 0 });
}

describe('SET_LOG_BASE', () => {
  test('is answered with a u64 whether a reply was asked for or not', async () => {
    for (const needReply of [false, true]) {
      const payload = logPayload(0x8000, 0x1000);
      const replies = await it.say('SET_LOG_BASE', payload, { fds: 1, needReply });
      expect(replies.map(replyU64)).toEqual([0n]);
    }
    const place = { sizeBytes: 0x8000, mmapOffset: 0x1000 };
    expect(it.disk.callsOf('setLog')).toEqual([
      [place, 0],
      [place, 0],
    ]);
    expect(it.fds.count).toBe(0);
  });

  test('says how far the log has to reach for the rings that are logged', async () => {
    await it.say('SET_VRING_NUM', vringStatePayload(1, 128));
    await it.say('SET_VRING_ADDR', addresses(1, 0x12_3000));
    await it.say('SET_VRING_ADDR', addresses(2, null));
    await it.say('SET_LOG_BASE', logPayload(0x8000), { fds: 1 });
    expect(it.disk.callsOf('setLog')[0]?.[1]).toBe(0x12_3000 + vringUsedBytes(128));
  });

  test('that the disk refuses ends the session: QEMU would go on and migrate old pages', async () => {
    it.disk.refusals.set('setLog', 'too small');
    await expect(it.say('SET_LOG_BASE', logPayload(1), { fds: 1 })).rejects.toThrow(
      'VHOST_USER_SET_LOG_BASE: too small',
    );
    expect(it.fds.count).toBe(0);
  });

  test('without LOG_SHMFD negotiated is refused', async () => {
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(ALL_PROTOCOL & ~2n));
    await expect(it.say('SET_LOG_BASE', logPayload(0x8000), { fds: 1 })).rejects.toThrow(
      'without VHOST_USER_PROTOCOL_F_LOG_SHMFD negotiated',
    );
  });

  test('numbers beyond 2^53 reach the disk as numbers it refuses', async () => {
    await it.say('SET_LOG_BASE', logPayload(2n ** 64n - 1n, 2n ** 63n), { fds: 1 });
    const [place] = it.disk.callsOf('setLog')[0] as [{ sizeBytes: number; mmapOffset: number }];
    expect(Number.isSafeInteger(place.sizeBytes)).toBe(false);
    expect(Number.isSafeInteger(place.mmapOffset)).toBe(false);
  });
});

describe('SET_LOG_FD', () => {
  test('keeps the last fd, and closes it at the end', async () => {
    expect(await statusOf('SET_LOG_FD', undefined, 1)).toBe(0n);
    expect(await statusOf('SET_LOG_FD', undefined, 1)).toBe(0n);
    expect(it.fds.count).toBe(1);
    await it.session.end();
    expect(it.fds.count).toBe(0);
  });

  test('of something else than an eventfd is refused, and the one before stays', async () => {
    await it.say('SET_LOG_FD', undefined, { fds: 1 });
    it.fds.notEventfds.add(101);
    expect(await statusOf('SET_LOG_FD', undefined, 1)).not.toBe(0n);
    expect(it.disk.callsOf('setLogEventFd')).toEqual([[100]]);
    expect(it.fds.count).toBe(1);
  });
});

describe('VHOST_VRING_F_LOG', () => {
  test('of a stopped vring counts when it starts', async () => {
    await setUp(0);
    await it.say('SET_VRING_ADDR', addresses(0, 0x5000));
    await kick(0);
    expect(it.disk.callsOf('startVring')).toMatchObject([[{ logGuestAddress: 0x5000 }]]);
    expect(it.disk.callsOf('setVringLog')).toEqual([]);
  });

  test('goes on and off while the vring runs, by the same addresses again', async () => {
    await setUp(0);
    await kick(0);
    for (const log of [0x5000, null, 0]) {
      expect(await statusOf('SET_VRING_ADDR', addresses(0, log))).toBe(0n);
    }
    expect(it.disk.callsOf('setVringLog')).toEqual([
      [0, 0x5000],
      [0, -1],
      [0, 0],
    ]);
  });

  test('with an address beyond 2^53 is refused; without the flag nobody reads it', async () => {
    await setUp(0);
    expect(await statusOf('SET_VRING_ADDR', addresses(0, 2n ** 60n))).not.toBe(0n);
    const ignored = vringAddrPayload(0, { ...PLACE, log: 2n ** 60n });
    expect(await statusOf('SET_VRING_ADDR', ignored)).toBe(0n);
  });
});

test('VHOST_F_LOG_ALL goes on and off while a vring runs', async () => {
  await setUp(0);
  await kick(0);
  for (const features of [MODERN | bitsToWord(VHOST_F_LOG_ALL), MODERN]) {
    expect(await statusOf('SET_FEATURES', u64Payload(features))).toBe(0n);
    expect(it.disk.callsOf('setFeatures').at(-1)).toEqual([features]);
  }
});
