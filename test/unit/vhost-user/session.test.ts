/**
 * The session's answers, message by message, in a world that records: replies and acknowledgements,
 * features, memory, config space, and when a refusal ends the session.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_XEN_MMAP,
} from '../../../protocol/vhost-user.ts';
import type { MessageName } from '../../../protocol/vhost-user-messages.ts';
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
} from '../../../protocol/virtio-blk.ts';
import { VHOST_USER_F_PROTOCOL_FEATURES } from '../../../protocol/virtio-ring.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import {
  ALL_PROTOCOL,
  MODERN,
  OFFERED_PROTOCOL,
  REGION,
  sessionSteps,
} from '../../support/session-steps.ts';
import {
  configPayload,
  inflightPayload,
  iotlbPayload,
  logPayload,
  MESSAGE_NAMES,
  memTablePayload,
  replyU64,
  requestCode,
  rowOf,
  singleRegionPayload,
  transferPayload,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(() => {
  it = new RecordedSession();
});

const { negotiate, statusOf } = sessionSteps(() => it);

/** A right example of each message, in a session that is negotiated. */
const EXAMPLES: Record<MessageName, { payload?: Uint8Array; fds?: number }> = {
  GET_FEATURES: {},
  SET_FEATURES: { payload: u64Payload(MODERN) },
  SET_OWNER: {},
  RESET_OWNER: {},
  SET_MEM_TABLE: { payload: memTablePayload([REGION]), fds: 1 },
  SET_LOG_BASE: { payload: logPayload(0x8000), fds: 1 },
  SET_LOG_FD: { fds: 1 },
  SET_VRING_NUM: { payload: vringStatePayload(0, 128) },
  SET_VRING_ADDR: { payload: vringAddrPayload(0, { desc: 0, avail: 2, used: 4 }) },
  SET_VRING_BASE: { payload: vringStatePayload(0, 65_535) },
  GET_VRING_BASE: { payload: vringStatePayload(0, 0) },
  SET_VRING_KICK: { payload: vringFdPayload(0, true), fds: 1 },
  SET_VRING_CALL: { payload: vringFdPayload(0, true), fds: 1 },
  SET_VRING_ERR: { payload: vringFdPayload(0, true), fds: 1 },
  GET_PROTOCOL_FEATURES: {},
  SET_PROTOCOL_FEATURES: { payload: u64Payload(ALL_PROTOCOL) },
  GET_QUEUE_NUM: {},
  SET_VRING_ENABLE: { payload: vringStatePayload(0, 1) },
  SET_BACKEND_REQ_FD: { fds: 1 },
  IOTLB_MSG: { payload: iotlbPayload({ type: 2, perm: 3, size: 4096 }) },
  GET_CONFIG: { payload: configPayload(0, new Uint8Array(57)) },
  SET_CONFIG: { payload: configPayload(32, Uint8Array.of(1)) },
  GET_INFLIGHT_FD: { payload: inflightPayload({ queueCount: 2, queueSize: 128 }) },
  SET_INFLIGHT_FD: {
    payload: inflightPayload({ mmapBytes: 8192, queueCount: 2, queueSize: 128 }),
    fds: 1,
  },
  VRING_KICK: { payload: vringStatePayload(0, 0) },
  GET_MAX_MEM_SLOTS: {},
  RESET_DEVICE: {},
  SET_STATUS: { payload: u64Payload(15) },
  GET_STATUS: {},
  SET_DEVICE_STATE_FD: { payload: transferPayload(0), fds: 1 },
  CHECK_DEVICE_STATE: {},
  ADD_MEM_REG: { payload: singleRegionPayload(REGION), fds: 1 },
  REM_MEM_REG: { payload: singleRegionPayload(REGION) },
  GET_VRING_BASE_SKIP_DRAIN: { payload: vringStatePayload(0, 0) },
};

describe.each(MESSAGE_NAMES)('%s', (name) => {
  const { payload, fds = 0 } = EXAMPLES[name];
  const isAck = rowOf(name).reply === 'ack';

  async function say(needReply: boolean) {
    const wce = bitsToWord(VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH);
    const protocol = name === 'VRING_KICK' ? OFFERED_PROTOCOL : ALL_PROTOCOL;
    await negotiate(protocol, MODERN | (name === 'SET_CONFIG' ? wce : 0n));
    await it.say('SET_VRING_NUM', vringStatePayload(0, 128));
    await it.say('SET_VRING_ADDR', vringAddrPayload(0, { desc: 0, avail: 2, used: 4 }));
    return await it.say(name, payload, { fds, needReply });
  }

  test(`with NEED_REPLY has exactly one reply${isAck ? ': 0' : ', its payload'}`, async () => {
    const replies = await say(true);
    expect(replies).toHaveLength(1);
    expect(replies[0]).toMatchObject({ request: requestCode(name), flags: 5 });
    if (isAck) expect(replyU64(replies[0]!)).toBe(0n);
  });

  test(`without NEED_REPLY has ${isAck ? 'no reply' : 'its reply'}`, async () => {
    expect(await say(false)).toHaveLength(isAck ? 0 : 1);
  });

  test('bug class 12: leaves no fd behind at the end of the session', async () => {
    await say(false);
    await it.session.end();
    expect(it.fds.count).toBe(0);
  });
});

describe('what is asked is answered', () => {
  test('features, protocol features, queues, memory slots', async () => {
    expect(replyU64((await it.say('GET_FEATURES'))[0]!)).toBe(it.disk.features);
    expect(replyU64((await it.say('GET_PROTOCOL_FEATURES'))[0]!)).toBe(OFFERED_PROTOCOL);
    await negotiate();
    expect(replyU64((await it.say('GET_QUEUE_NUM'))[0]!)).toBe(4n);
    expect(replyU64((await it.say('GET_MAX_MEM_SLOTS'))[0]!)).toBe(512n);
  });

  test.each([1, 36, 48, 57, 60, 96])('the first %i bytes of the config space', async (size) => {
    await negotiate();
    const [reply] = await it.say('GET_CONFIG', configPayload(0, new Uint8Array(size)));
    expect(reply?.payload.byteLength).toBe(12 + size);
    expect(reply?.payload.getUint32(4, true)).toBe(size);
    for (let i = 0; i < size; i++) expect(reply?.payload.getUint8(12 + i)).toBe(i);
  });

  test('the middle of the config space, with the flags that were sent', async () => {
    await negotiate();
    const request = configPayload(32, new Uint8Array(4), { flags: 1 });
    const [reply] = await it.say('GET_CONFIG', request);
    expect(reply?.payload.getUint32(0, true)).toBe(32);
    expect(reply?.payload.getUint32(8, true)).toBe(1);
    expect(reply?.payload.getUint32(12, true)).toBe(0x2322_2120);
  });

  test.each([
    [0, 0],
    [0, 97],
    [96, 1],
    [95, 2],
    [0xffff_ffff, 1],
    [0xffff_ff00, 256],
  ])('bug class 25: offset %i, %i bytes: size 0 and no bytes', async (offset, size) => {
    await negotiate();
    const [reply] = await it.say('GET_CONFIG', configPayload(offset, new Uint8Array(size)));
    expect([reply?.payload.byteLength, reply?.payload.getUint32(4, true)]).toEqual([12, 0]);
  });
});

describe('refusals', () => {
  const wrong = vringStatePayload(4, 128);

  test('are answered with a status that is not 0 when that was asked for', async () => {
    await negotiate();
    expect(await statusOf('SET_VRING_NUM', wrong)).not.toBe(0n);
    expect(await statusOf('SET_VRING_NUM', vringStatePayload(3, 128))).toBe(0n);
  });

  test('end the session when nobody asked', async () => {
    await negotiate();
    await expect(it.say('SET_VRING_NUM', wrong)).rejects.toThrow(/index=4, expected less than 4/);
  });

  test('end the session when REPLY_ACK is not negotiated, asked or not', async () => {
    await negotiate(ALL_PROTOCOL & ~bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK));
    await expect(it.say('SET_VRING_NUM', wrong, { needReply: true })).rejects.toThrow(/index=4/);
    expect(it.replies).toEqual([]);
  });

  test('of a message with a reply of its own end the session', async () => {
    await negotiate();
    const payload = vringStatePayload(4, 0);
    await expect(it.say('GET_VRING_BASE', payload, { needReply: true })).rejects.toThrow(/index=4/);
  });

  test('are logged as one kind of line, which is what the log limits', async () => {
    await negotiate();
    for (let i = 0; i < 1000; i++) await statusOf('SET_VRING_NUM', wrong);
    expect(it.logLines[0]).toMatchObject({ level: 'warn', text: 'front-end message refused' });
    expect(it.logLines).toHaveLength(1000);
    expect(new Set(it.logLines.map(({ text }) => text)).size).toBe(1);
  });
});

describe('messages that vloop does not serve', () => {
  test('are skipped when nobody asks, their fds closed', async () => {
    await negotiate();
    expect(await it.say(23, new Uint8Array(8), { fds: 3 })).toEqual([]);
    expect(await it.say(0xffff_ffff, new Uint8Array(0))).toEqual([]);
    expect(it.fds.count).toBe(0);
  });

  test('are refused when somebody asks', async () => {
    await negotiate();
    expect(await statusOf(23, new Uint8Array(8), 1)).not.toBe(0n);
    expect(it.fds.count).toBe(0);
  });
});

describe('features', () => {
  test('bits that were not offered are refused', async () => {
    const features = MODERN | bitsToWord(VIRTIO_BLK_F_RO);
    await expect(it.say('SET_FEATURES', u64Payload(features))).rejects.toThrow(/not offered/);
    expect(it.disk.callsOf('setFeatures')).toEqual([]);
  });

  test('protocol bits that were not offered are refused', async () => {
    const bits = bitsToWord(VHOST_USER_PROTOCOL_F_XEN_MMAP);
    await expect(it.say('SET_PROTOCOL_FEATURES', u64Payload(bits))).rejects.toThrow(
      /VHOST_USER_PROTOCOL_F_XEN_MMAP not offered/,
    );
  });

  test('a legacy driver ends the session with a sentence, even with NEED_REPLY', async () => {
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(ALL_PROTOCOL));
    const legacy = bitsToWord(VIRTIO_BLK_F_FLUSH, VHOST_USER_F_PROTOCOL_FEATURES);
    await expect(
      it.say('SET_FEATURES', u64Payload(legacy), { needReply: true }),
    ).rejects.toMatchObject({ fatal: true, message: expect.stringMatching(/a legacy driver/) });
  });

  test('an empty word is a reset, not a legacy driver', async () => {
    await it.say('SET_FEATURES', u64Payload(0));
    expect(it.disk.callsOf('setFeatures')).toEqual([[0n]]);
  });

  test('protocol features may come before and after features', async () => {
    await it.say('SET_FEATURES', u64Payload(MODERN));
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(ALL_PROTOCOL));
    expect(await it.say('GET_QUEUE_NUM')).toHaveLength(1);
  });

  test.each(MESSAGE_NAMES.filter((name) => rowOf(name).needs !== null))(
    'bug class 17: %s without its protocol feature is refused',
    async (name) => {
      // SKIP_DRAIN cannot be had without what it builds on.
      const without = bitsToWord(
        rowOf(name).needs!,
        VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
      );
      await negotiate(ALL_PROTOCOL & ~without);
      const { payload, fds = 0 } = EXAMPLES[name];
      await expect(it.say(name, payload, { fds })).rejects.toThrow(/without VHOST_USER_PROTOCOL_F/);
      expect(it.fds.count).toBe(0);
    },
  );
});

test('SET_BACKEND_REQ_FD is held, replaced, and closed with the session', async () => {
  await negotiate();
  await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
  expect(it.fds.count).toBe(1);
  await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
  expect(it.fds.count).toBe(1);
  await it.session.end();
  expect(it.fds.count).toBe(0);
});

describe('VHOST_USER_PROTOCOL_F_GPA_ADDRESSES', () => {
  const GPA = ALL_PROTOCOL | bitsToWord(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
  const doubled = { ...REGION, guestAddress: 0x4000, userAddress: 0x4000 };

  test('a region whose user address is not its guest address is refused', async () => {
    await negotiate(GPA);
    expect(await statusOf('ADD_MEM_REG', singleRegionPayload(REGION), 1)).not.toBe(0n);
    expect(await statusOf('SET_MEM_TABLE', memTablePayload([doubled, REGION]), 2)).not.toBe(0n);
    expect(await statusOf('REM_MEM_REG', singleRegionPayload(REGION))).not.toBe(0n);
    expect(it.logLines[0]?.error).toMatch(
      /user address=0x7000, expected the guest address 0x0 \(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES\)/,
    );
    expect(it.disk.callsOf('addRegion')).toEqual([]);
    expect(it.disk.callsOf('replaceRegions')).toEqual([]);
    expect(it.disk.callsOf('removeRegion')).toEqual([]);
    expect(it.fds.count).toBe(0);
  });

  test('one that says the guest address twice is taken', async () => {
    await negotiate(GPA);
    expect(await statusOf('ADD_MEM_REG', singleRegionPayload(doubled), 1)).toBe(0n);
    expect(it.disk.callsOf('addRegion')).toEqual([[doubled]]);
  });

  test('without it the two have nothing to do with each other', async () => {
    await negotiate();
    expect(await statusOf('ADD_MEM_REG', singleRegionPayload(REGION), 1)).toBe(0n);
  });
});
