/**
 * The vrings of a session: how they are set up, when they start and stop, what is frozen meanwhile, and
 * whose eventfds are whose.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VHOST_USER_PROTOCOL_F_REPLY_ACK } from '../../../protocol/vhost-user.ts';
import { VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX } from '../../../protocol/virtio-ring.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { MODERN, PLACE, sessionSteps } from '../../support/session-steps.ts';
import {
  u64Payload,
  vringFdPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(async () => {
  it = new RecordedSession();
  await it.say('SET_PROTOCOL_FEATURES', u64Payload(bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK)));
});

const { setUp, kick, baseOf, isRefused } = sessionSteps(() => it);

describe('a ring starts at SET_VRING_KICK', () => {
  test('with what was said of it before', async () => {
    await setUp(2, MODERN | bitsToWord(VIRTIO_RING_F_EVENT_IDX));
    await it.say('SET_VRING_ENABLE', vringStatePayload(2, 1));
    await it.say('SET_VRING_CALL', vringFdPayload(2, true), { fds: 1 });
    expect(it.disk.callsOf('startVring')).toEqual([]);
    await kick(2);
    expect(it.disk.callsOf('startVring')).toEqual([
      [
        {
          index: 2,
          size: 128,
          addresses: PLACE,
          base: 7,
          enabled: true,
          packed: false,
          inOrder: false,
          eventIdx: true,
          indirect: false,
          translated: false,
          kickFd: 101,
          callFd: 100,
          errFd: -1,
          recover: true,
          logGuestAddress: -1,
        },
      ],
    ]);
  });

  test('also without an fd: the ring is polled', async () => {
    await setUp(0);
    await it.say('SET_VRING_KICK', vringFdPayload(0, false));
    expect(it.disk.callsOf('startVring')[0]).toMatchObject([{ kickFd: -1 }]);
  });

  test('a second one only changes the fd', async () => {
    await setUp(0);
    await kick(0);
    await kick(0);
    expect(it.disk.callsOf('startVring')).toHaveLength(1);
    expect(it.disk.callsOf('setVringFd')).toEqual([[0, 'kick', 101]]);
    expect(it.fds.count).toBe(1);
  });

  test('what the disk refuses leaves the ring stopped and no kick fd behind', async () => {
    await setUp(0);
    it.disk.refusals.set('startVring', 'not in memory');
    const payload = vringFdPayload(0, true);
    expect(await isRefused('SET_VRING_KICK', payload, { fds: 1 })).toBe(true);
    expect(it.fds.count).toBe(0);
    it.disk.refusals.clear();
    await kick(0);
    expect(it.disk.running).toEqual(new Set([0]));
  });
});

describe('bug class 17: a kick comes too early', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['features', async () => {}],
    ['size', async () => await it.say('SET_FEATURES', u64Payload(MODERN))],
    [
      'addresses',
      async () => {
        await it.say('SET_FEATURES', u64Payload(MODERN));
        await it.say('SET_VRING_NUM', vringStatePayload(0, 8));
      },
    ],
  ])('before %s', async (_, before) => {
    await before();
    const payload = vringFdPayload(0, true);
    expect(await isRefused('SET_VRING_KICK', payload, { fds: 1 })).toBe(true);
    expect(it.disk.callsOf('startVring')).toEqual([]);
    expect(it.fds.count).toBe(0);
  });

  test('after a reset to no features at all', async () => {
    await setUp(0);
    await it.say('SET_FEATURES', u64Payload(0));
    const payload = vringFdPayload(0, true);
    expect(await isRefused('SET_VRING_KICK', payload, { fds: 1 })).toBe(true);
  });
});

describe('enabled is a bit of its own', () => {
  test('it is remembered while the ring is stopped', async () => {
    await setUp(1);
    await it.say('SET_VRING_ENABLE', vringStatePayload(1, 1));
    expect(it.disk.callsOf('setVringEnabled')).toEqual([]);
    await kick(1);
    expect(it.disk.callsOf('startVring')[0]).toMatchObject([{ enabled: true }]);
  });

  test('a ring starts disabled unless told otherwise, and is enabled later', async () => {
    await setUp(1);
    await kick(1);
    expect(it.disk.callsOf('startVring')[0]).toMatchObject([{ enabled: false }]);
    await it.say('SET_VRING_ENABLE', vringStatePayload(1, 1));
    expect(it.disk.callsOf('setVringEnabled')).toEqual([[1, true]]);
  });

  test('it outlives a stop', async () => {
    await setUp(1);
    await it.say('SET_VRING_ENABLE', vringStatePayload(1, 1));
    await kick(1);
    await baseOf(1);
    await kick(1);
    expect(it.disk.callsOf('startVring')[1]).toMatchObject([{ enabled: true }]);
  });

  test('a ring that was never configured can be enabled: SeaBIOS does', async () => {
    await it.say('SET_FEATURES', u64Payload(MODERN));
    await it.say('SET_VRING_ENABLE', vringStatePayload(3, 1));
    expect(it.disk.calls.filter(([name]) => name !== 'setFeatures')).toEqual([]);
  });

  test('values other than 0 and 1 are refused', async () => {
    expect(await isRefused('SET_VRING_ENABLE', vringStatePayload(0, 2))).toBe(true);
  });

  test('without F_PROTOCOL_FEATURES every ring is enabled by SET_FEATURES', async () => {
    await setUp(0, bitsToWord(VIRTIO_F_VERSION_1));
    await kick(0);
    expect(it.disk.callsOf('startVring')[0]).toMatchObject([{ enabled: true }]);
    expect(await isRefused('SET_VRING_ENABLE', vringStatePayload(0, 0))).toBe(true);
  });

  test('RESET_OWNER disables every ring and keeps everything else', async () => {
    await setUp(0);
    await it.say('SET_VRING_ENABLE', vringStatePayload(0, 1));
    await kick(0);
    await it.say('RESET_OWNER');
    expect(it.disk.callsOf('setVringEnabled')).toEqual([[0, false]]);
    expect(it.disk.running).toEqual(new Set([0]));
    expect(it.fds.count).toBe(1);
  });
});

describe('GET_VRING_BASE', () => {
  test('of a ring that never started answers the base that was set', async () => {
    await it.say('SET_VRING_BASE', vringStatePayload(3, 1234));
    expect(await baseOf(3)).toBe(1234);
    expect(it.disk.callsOf('stopVring')).toEqual([]);
  });

  test('of a ring about which nothing was said answers 0', async () => {
    expect(await baseOf(0)).toBe(0);
  });

  test('stops the ring, answers where it stopped, and lets kick and call fds go', async () => {
    await setUp(0);
    for (const name of ['SET_VRING_CALL', 'SET_VRING_ERR'] as const) {
      await it.say(name, vringFdPayload(0, true), { fds: 1 });
    }
    await kick(0);
    it.disk.stoppedAt = 4711;
    expect(await baseOf(0)).toBe(4711);
    expect(it.disk.running.size).toBe(0);
    expect(it.fds.count, 'the error eventfd stays').toBe(1);
  });

  test('twice answers the same and stops once', async () => {
    await setUp(0);
    await kick(0);
    it.disk.stoppedAt = 9;
    expect([await baseOf(0), await baseOf(0)]).toEqual([9, 9]);
    expect(it.disk.callsOf('stopVring')).toHaveLength(1);
  });

  test('a start after it goes on where the ring stopped', async () => {
    await setUp(0);
    await kick(0);
    it.disk.stoppedAt = 300;
    await baseOf(0);
    await kick(0);
    expect(it.disk.callsOf('startVring')[1]).toMatchObject([{ base: 300 }]);
  });
});

test('the end of a session resets the disk before it closes the eventfds', async () => {
  await setUp(0);
  await it.say('SET_VRING_CALL', vringFdPayload(0, true), { fds: 1 });
  await kick(0);
  let openAtReset = -1;
  const { reset } = it.disk;
  it.disk.reset = async () => {
    openAtReset = it.fds.count;
    await reset.call(it.disk);
  };
  await it.session.end();
  expect([openAtReset, it.fds.count]).toEqual([2, 0]);
});
