/**
 * The session under any order of messages, right, wrong and hostile: it answers what has to be answered,
 * never throws anything but a protocol error, asks the disk only what makes sense (the recording disk
 * objects otherwise), and at the end every fd that came in has been closed exactly once.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VHOST_USER_PROTOCOL_F_REPLY_ACK } from '../../../protocol/vhost-user.ts';
import type { MessageName } from '../../../protocol/vhost-user-messages.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
} from '../../../protocol/virtio-ring.ts';
import { ProtocolError } from '../../../src/vhost-user/protocol-error.ts';
import { holdsAsync } from '../../support/property.ts';
import { RECORDED_SHAPE, RecordedSession } from '../../support/recording-session-port.ts';
import {
  configPayload,
  inflightPayload,
  logPayload,
  MESSAGE_NAMES,
  memTablePayload,
  replyU64,
  requestCode,
  rowOf,
  singleRegionPayload,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
  type Word,
} from '../../support/vhost-user-messages.ts';

interface Step {
  readonly name: MessageName | number;
  readonly payload: Uint8Array;
  readonly fds: number;
  readonly needReply: boolean;
  /** Its fds are no eventfds. */
  readonly strangeFds: boolean;
  /** The disk refuses what it is asked. */
  readonly refused: boolean;
}

const MODERN = bitsToWord(VIRTIO_F_VERSION_1, VHOST_USER_F_PROTOCOL_FEATURES);
const hostileU64: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
);
const ring = fc.oneof(
  { weight: 8, arbitrary: fc.nat(RECORDED_SHAPE.queueCount - 1) },
  { weight: 1, arbitrary: fc.constantFrom(4, 0x100, 0x1_0000, 0xffff_ffff) },
);
const size = fc.oneof(fc.constantFrom(1, 128, 256), fc.nat(70_000));
const address: fc.Arbitrary<Word> = fc.oneof(
  { weight: 8, arbitrary: fc.nat(100).map((page) => page * 4096) },
  { weight: 1, arbitrary: hostileU64 },
);
const region = fc.record({
  guestAddress: address,
  sizeBytes: address,
  userAddress: address,
  mmapOffset: address,
});
const features = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(MODERN, MODERN | bitsToWord(28, 29, 9, 11)) },
  { weight: 1, arbitrary: fc.constantFrom(0n, bitsToWord(VIRTIO_F_VERSION_1)) },
  { weight: 1, arbitrary: hostileU64 },
);
const protocolFeatures = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(0x99_b22bn, 0x822bn, 0x8209n) },
  { weight: 1, arbitrary: hostileU64 },
);
const config = fc
  .tuple(fc.oneof(fc.constantFrom(0, 32), fc.nat(200)), fc.uint8Array({ maxLength: 96 }))
  .map(([offset, bytes]) => configPayload(offset, bytes));

const state = fc.tuple(ring, size).map(([index, num]) => vringStatePayload(index, num));
const fdPayload = fc
  .tuple(ring, fc.boolean())
  .map(([index, hasFd]) => vringFdPayload(index & 0xff, hasFd));

function payloadOf(name: MessageName): fc.Arbitrary<Uint8Array> {
  switch (name) {
    case 'SET_FEATURES':
      return features.map(u64Payload);
    case 'SET_PROTOCOL_FEATURES':
      return protocolFeatures.map(u64Payload);
    case 'SET_MEM_TABLE':
      return fc.array(region, { maxLength: 8 }).map((regions) => memTablePayload(regions));
    case 'ADD_MEM_REG':
    case 'REM_MEM_REG':
      return region.map(singleRegionPayload);
    case 'SET_VRING_ENABLE':
      return fc
        .tuple(ring, fc.constantFrom(0, 1, 1, 2))
        .map(([index, num]) => vringStatePayload(index, num));
    case 'SET_VRING_ADDR':
      return fc
        .tuple(ring, address, address, address, fc.constantFrom(0, 1), address)
        .map(([index, desc, avail, used, flags, log]) =>
          vringAddrPayload(index, { desc, avail, used, flags, log }),
        );
    case 'SET_LOG_BASE':
      return fc.tuple(address, address).map(([size, offset]) => logPayload(size, offset));
    case 'SET_VRING_KICK':
    case 'SET_VRING_CALL':
    case 'SET_VRING_ERR':
      return fdPayload;
    case 'GET_CONFIG':
    case 'SET_CONFIG':
      return config;
    case 'GET_INFLIGHT_FD':
    case 'SET_INFLIGHT_FD':
      return fc
        .record({ mmapBytes: address, mmapOffset: address, queueCount: ring, queueSize: size })
        .chain((text) => fc.boolean().map((padded) => inflightPayload(text, { padded })));
    default:
      return (rowOf(name).payload?.sizeBytes ?? 0) === 8 ? state : fc.constant(new Uint8Array(0));
  }
}

/** How many fds the decoder lets through with this payload. */
function fdsOf(name: MessageName, payload: Uint8Array, drawn: number): number {
  const { fds } = rowOf(name);
  const word = payload.length >= 4 ? new DataView(payload.buffer).getUint32(0, true) : 0;
  if (fds === 'perRegion') return word;
  if (fds === 'unlessNoFdBit') return (word & 0x100) === 0 ? 1 : 0;
  return fds === 'optional' ? drawn % 2 : fds;
}

const circumstances = {
  needReply: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.boolean()),
  strangeFds: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
  refused: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
};

const served: fc.Arbitrary<Step> = fc
  .constantFrom(...MESSAGE_NAMES)
  .chain((name) =>
    fc
      .record({ payload: payloadOf(name), drawn: fc.nat(8), ...circumstances })
      .map(({ drawn, ...rest }) => ({ name, ...rest, fds: fdsOf(name, rest.payload, drawn) })),
  );
const unserved: fc.Arbitrary<Step> = fc.record({
  name: fc.constantFrom(0, 19, 23, 33, 44, 199, 0xffff_ffff),
  payload: fc.uint8Array({ maxLength: 64 }),
  fds: fc.nat(8),
  ...circumstances,
});
const steps = fc.array(
  fc.oneof({ weight: 20, arbitrary: served }, { weight: 1, arbitrary: unserved }),
  { maxLength: 60 },
);
/** Most sessions begin well, so that the rest meets rings that run. */
const opening = fc.constantFrom<readonly Step[]>(
  [],
  [
    step('SET_PROTOCOL_FEATURES', u64Payload(0x99_b22bn)),
    step('SET_FEATURES', u64Payload(MODERN)),
    ...[0, 1].flatMap((index) => [
      step('SET_VRING_NUM', vringStatePayload(index, 128)),
      step('SET_VRING_ADDR', vringAddrPayload(index, { desc: 0, avail: 4096, used: 8192 })),
      step('SET_VRING_KICK', vringFdPayload(index, true), 1),
    ]),
  ],
);

function step(name: MessageName, payload: Uint8Array, fds = 0): Step {
  return { name, payload, fds, needReply: false, strangeFds: false, refused: false };
}

/** Says one step; false when it ended the session. */
async function say(it: RecordedSession, one: Step): Promise<boolean> {
  const kinds = ['addRegion', 'removeRegion', 'replaceRegions', 'startVring'] as const;
  for (const kind of kinds) {
    if (one.refused) it.disk.refusals.set(kind, 'the disk says no');
    else it.disk.refusals.delete(kind);
  }
  if (one.strangeFds) for (let fd = 100; fd < 2000; fd++) it.fds.notEventfds.add(fd);
  else it.fds.notEventfds.clear();
  try {
    const { fds, needReply } = one;
    const replies = await it.say(one.name, one.payload, { fds, needReply });
    checkReplies(it, one, replies);
    return true;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

function checkReplies(
  it: RecordedSession,
  { name, needReply }: Step,
  replies: Awaited<ReturnType<RecordedSession['say']>>,
): void {
  const hasPayload = typeof name === 'string' && rowOf(name).reply === 'payload';
  if (hasPayload) expect(replies).toHaveLength(1);
  else expect(replies.length).toBeLessThanOrEqual(needReply ? 1 : 0);
  for (const reply of replies) {
    expect([reply.request, reply.flags]).toEqual([requestCode(name), 5]);
    if (!hasPayload) expect([0n, 1n]).toContain(replyU64(reply));
  }
  expect(it.logLines.length).toBeLessThan(100);
}

test('bug class 17: any order of messages leaves every fd closed once, and the disk asked nothing absurd', async () => {
  await holdsAsync(fc.tuple(opening, steps), async ([first, rest]) => {
    const it = new RecordedSession();
    for (const one of [...first, ...rest]) if (!(await say(it, one))) break;
    await it.session.end();
    expect(it.fds.count).toBe(0);
    expect(it.disk.running.size).toBe(0);
  });
});

test('with REPLY_ACK on and asked for, each acknowledged message is answered exactly once', async () => {
  await holdsAsync(steps, async (drawn) => {
    const it = new RecordedSession();
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(bitsToWord(VHOST_USER_PROTOCOL_F_REPLY_ACK)));
    for (const one of drawn) {
      if (one.name === 'SET_PROTOCOL_FEATURES') continue;
      const before = it.replies.length;
      if (!(await say(it, { ...one, needReply: true }))) break;
      expect(it.replies.length).toBe(before + 1);
    }
  });
});
