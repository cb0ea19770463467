/**
 * The session's part in in-flight tracking: the region's messages, which fds go where, and when a ring
 * starts from what the region says.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { vhostUserInflight } from '../../../protocol/inflight.ts';
import { bitsToWord } from '../../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
} from '../../../protocol/vhost-user.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, sessionSteps } from '../../support/session-steps.ts';
import {
  inflightPayload,
  u64Payload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(() => {
  it = new RecordedSession();
});

const { negotiate, setUp, kick, statusOf } = sessionSteps(() => it);
const TWO_OF_128 = { queueCount: 2, queueSize: 128 };
const { at: AT } = vhostUserInflight;

describe('GET_INFLIGHT_FD', () => {
  test.each([
    ['QEMU, whose struct is padded', true, 24],
    ['rust-vmm, whose struct is packed', false, 20],
  ])('%s: the reply is as long as the request and has an fd', async (_, padded, bytes) => {
    await negotiate();
    const [reply] = await it.say('GET_INFLIGHT_FD', inflightPayload(TWO_OF_128, { padded }));
    expect(reply?.payload.byteLength).toBe(bytes);
    expect(reply?.payload.getBigUint64(AT.mmap_size, true)).toBe(8192n);
    expect(reply?.payload.getBigUint64(AT.mmap_offset, true)).toBe(0n);
    expect(reply?.payload.getUint16(AT.num_queues, true)).toBe(2);
    expect(reply?.payload.getUint16(AT.queue_size, true)).toBe(128);
    expect(it.repliedFds).toHaveLength(1);
    expect(it.fds.count).toBe(0);
    expect(it.disk.callsOf('createInflight')).toEqual([[2, 128, false]]);
  });

  test('before any features: whichever rings the driver will use have to fit', async () => {
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(ALL_PROTOCOL));
    await it.say('GET_INFLIGHT_FD', inflightPayload(TWO_OF_128));
    expect(it.disk.callsOf('createInflight')).toEqual([[2, 128, null]]);
  });

  test.each([
    [{ queueCount: 0, queueSize: 128 }, /num_queues=0, expected 1 to 4/],
    [{ queueCount: 5, queueSize: 128 }, /num_queues=5/],
    [{ queueCount: 1, queueSize: 0 }, /queue_size=0/],
    [{ queueCount: 1, queueSize: 32_769 }, /queue_size=32769/],
  ])('%o is refused', async (text, reason) => {
    await negotiate();
    await expect(it.say('GET_INFLIGHT_FD', inflightPayload(text))).rejects.toThrow(reason);
    expect(it.disk.callsOf('createInflight')).toEqual([]);
    expect(it.fds.count).toBe(0);
  });
});

describe('SET_INFLIGHT_FD', () => {
  test('hands the region to the disk, and its fd is closed', async () => {
    await negotiate();
    const text = { ...TWO_OF_128, mmapBytes: 8192, mmapOffset: 4096 };
    expect(await statusOf('SET_INFLIGHT_FD', inflightPayload(text), 1)).toBe(0n);
    expect(it.disk.callsOf('setInflight')).toEqual([[text]]);
    expect(it.fds.count).toBe(0);
  });

  test.each([
    [{ ...TWO_OF_128, mmapBytes: 0 }, /mmap size=0 for 2 queues/],
    [{ ...TWO_OF_128, mmapBytes: 4096 + 4 }, /expected a multiple of 8/],
    [{ ...TWO_OF_128, mmapBytes: 2 * 2048 }, /at least 2064 bytes each/],
    [{ ...TWO_OF_128, mmapBytes: 2n ** 63n }, /mmap size=/],
    [{ ...TWO_OF_128, mmapBytes: 8192, mmapOffset: 2n ** 64n - 4096n }, /at offset=/],
    [{ queueCount: 5, queueSize: 128, mmapBytes: 2 ** 16 }, /num_queues=5/],
    [{ queueCount: 1, queueSize: 40_000, mmapBytes: 2 ** 20 }, /queue_size=40000/],
  ])('%o is refused', async (text, reason) => {
    await negotiate();
    expect(await statusOf('SET_INFLIGHT_FD', inflightPayload(text), 1)).toBe(1n);
    expect(it.logLines[0]?.error).toMatch(reason);
    expect(it.disk.callsOf('setInflight')).toEqual([]);
    expect(it.fds.count).toBe(0);
  });

  test('what the disk says of the file reaches the log', async () => {
    await negotiate();
    it.disk.refusals.set('setInflight', 'its file is not sealed');
    const payload = inflightPayload({ ...TWO_OF_128, mmapBytes: 8192 });
    expect(await statusOf('SET_INFLIGHT_FD', payload, 1)).toBe(1n);
    expect(it.logLines[0]?.error).toBe('VHOST_USER_SET_INFLIGHT_FD: its file is not sealed');
  });

  test.each(['GET_INFLIGHT_FD', 'SET_INFLIGHT_FD'] as const)(
    '%s is refused while a vring runs',
    async (name) => {
      await negotiate();
      await setUp(0);
      await kick(0);
      const payload = inflightPayload({ ...TWO_OF_128, mmapBytes: 8192 });
      const fds = name === 'SET_INFLIGHT_FD' ? 1 : 0;
      await expect(it.say(name, payload, { fds })).rejects.toThrow(/a vring is running/);
    },
  );
});

describe('where a ring starts', () => {
  const recovers = () => it.disk.callsOf('startVring').map(([start]) => start);
  const hand = () =>
    it.say('SET_INFLIGHT_FD', inflightPayload({ ...TWO_OF_128, mmapBytes: 8192 }), { fds: 1 });

  beforeEach(async () => {
    await negotiate();
    await setUp(0);
    await hand();
    await kick(0);
  });

  test('first: where the region says', () => {
    expect(recovers()).toMatchObject([{ recover: true }]);
  });

  test('after GET_VRING_BASE, which drained it: where the front-end says', async () => {
    await it.say('GET_VRING_BASE', vringStatePayload(0, 0));
    await kick(0);
    expect(recovers()).toMatchObject([{ recover: true }, { recover: false }]);
  });

  test('after the region has come again: where that says', async () => {
    await it.say('GET_VRING_BASE', vringStatePayload(0, 0));
    await hand();
    await kick(0);
    expect(recovers()).toMatchObject([{ recover: true }, { recover: true }]);
  });

  test('after GET_VRING_BASE_SKIP_DRAIN: where the region says', async () => {
    it.disk.stoppedAt = 77;
    const [reply] = await it.say('GET_VRING_BASE_SKIP_DRAIN', vringStatePayload(0, 0));
    expect(reply).toMatchObject({ request: 45, flags: 5 });
    expect(reply?.payload.getUint32(4, true)).toBe(77);
    expect(it.disk.callsOf('stopVring')).toEqual([[0, true]]);
    await kick(0);
    expect(recovers()).toMatchObject([{ recover: true }, { recover: true }]);
  });
});

test('SKIP_DRAIN is not to be had without what it builds on', async () => {
  const skip = bitsToWord(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN);
  for (const word of [
    skip,
    ALL_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT),
  ]) {
    await expect(it.say('SET_PROTOCOL_FEATURES', u64Payload(word))).rejects.toThrow(
      /SKIP_DRAIN without VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD and .*BASE_INFLIGHT/,
    );
  }
});
