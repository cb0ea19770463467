/**
 * IOTLB messages of a session in a recorded world: updates and invalidations as the disk gets them,
 * misses as the front-end gets them, each page once, and what becomes of those that are denied or
 * never answered.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { vhostIotlbMsg } from '../../../protocol/vhost-user-payloads.ts';
import { VIRTIO_F_ACCESS_PLATFORM } from '../../../protocol/virtio-ring.ts';
import { MISS_AGAIN_MS } from '../../../src/vhost-user/session-iotlb.ts';
import { type RecordedChannel, RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, MODERN, sessionSteps } from '../../support/session-steps.ts';
import { type IotlbText, iotlbPayload, replyU64 } from '../../support/vhost-user-messages.ts';

const UPDATE = 2;
const INVALIDATE = 3;
const IOTLB = 1;
let it: RecordedSession;
let channel: RecordedChannel;

const { negotiate } = sessionSteps(() => it);

async function say(text: IotlbText): Promise<bigint> {
  const [reply] = await it.say('IOTLB_MSG', iotlbPayload(text));
  return replyU64(reply!);
}

/** What was asked for: [iova, access]. */
function asked(): number[][] {
  const { at } = vhostIotlbMsg;
  return channel.sent.map(({ payload }) => [
    Number(payload.getBigUint64(at.iova, true)),
    payload.getUint8(at.perm),
  ]);
}

const retries = () => it.disk.callsOf('retryVring');
const miss = (vring: number, ...pages: Array<[iova: number, access: number]>) =>
  it.disk.onMiss(
    vring,
    pages.map(([iova, access]) => ({ iova, access })),
  );

beforeEach(async () => {
  it = new RecordedSession();
  await negotiate(ALL_PROTOCOL, MODERN | bitsToWord(VIRTIO_F_ACCESS_PLATFORM));
  await it.say('SET_BACKEND_REQ_FD', undefined, { fds: 1 });
  channel = it.channels[0]!;
});

describe('from the front-end', () => {
  test('an update reaches the disk, and is answered without NEED_REPLY', async () => {
    expect(await say({ type: UPDATE, iova: 0x1000, size: 0x2000, uaddr: 0x7000, perm: 1 })).toBe(
      0n,
    );
    expect(it.disk.callsOf('updateIotlb')).toEqual([
      [{ iova: 0x1000, sizeBytes: 0x2000, userAddress: 0x7000, access: 1 }],
    ]);
  });

  test.each<[IotlbText, number, number]>([
    [{ type: INVALIDATE, iova: 0x3000, size: 0x1000 }, 0x3000, 0x4000],
    [{ type: INVALIDATE }, 0, Number.MAX_SAFE_INTEGER],
    [{ type: INVALIDATE, size: 2n ** 64n - 1n }, 0, Number.MAX_SAFE_INTEGER],
    [{ type: INVALIDATE, iova: 0x1000, size: 2n ** 63n }, 0x1000, Number.MAX_SAFE_INTEGER],
    [
      { type: INVALIDATE, iova: 2n ** 63n, size: 4096 },
      Number.MAX_SAFE_INTEGER,
      Number.MAX_SAFE_INTEGER,
    ],
  ])('an invalidation %o', async (text, start, end) => {
    expect(await say(text)).toBe(0n);
    expect(it.disk.callsOf('invalidateIotlb')).toEqual([[start, end]]);
  });

  test('what the disk refuses is refused with its words, and the session goes on', async () => {
    it.disk.refusals.set('updateIotlb', 'is not inside one memory region');
    expect(await say({ type: UPDATE, size: 1, perm: 1 })).toBe(1n);
    expect(it.logLines.at(-1)?.error).toContain('VHOST_USER_IOTLB_MSG: is not inside');
    expect(await it.say('GET_FEATURES')).toHaveLength(1);
  });

  test.each<[IotlbText]>([
    [{ type: UPDATE, size: 4096, perm: 0 }],
    [{ type: UPDATE, size: 4096, perm: 4 }],
    [{ type: UPDATE, size: 0, perm: 3 }],
    [{ type: UPDATE, size: 2n ** 53n, perm: 3 }],
    [{ type: UPDATE, size: 4096, uaddr: 2n ** 64n - 1n, perm: 3 }],
    [{ type: 0 }],
    [{ type: 1, size: 4096, perm: 3 }],
    [{ type: 4, size: 4096, perm: 3 }],
    [{ type: 255 }],
  ])('%o is refused', async (text) => {
    expect(await say(text)).toBe(1n);
    expect(it.disk.callsOf('updateIotlb')).toEqual([]);
    expect(it.logLines).toHaveLength(1);
  });

  test('without ACCESS_PLATFORM everything is', async () => {
    await negotiate(ALL_PROTOCOL, MODERN);
    expect(await say({ type: INVALIDATE, size: 4096 })).toBe(1n);
    expect(it.disk.callsOf('invalidateIotlb')).toEqual([]);
  });
});

describe('misses', () => {
  test('a page is asked for once, and every vring that waits goes on when it comes', async () => {
    miss(0, [0x1000, 1], [0x2000, 2]);
    miss(1, [0x1000, 1]);
    expect(asked()).toEqual([
      [0x1000, 1],
      [0x2000, 2],
    ]);
    await say({ type: UPDATE, iova: 0x1000, size: 0x1000, uaddr: 0, perm: 3 });
    expect(retries()).toEqual([[1, false]]);
    await say({ type: UPDATE, iova: 0x2000, size: 0x1000, uaddr: 0, perm: 2 });
    expect(retries()).toEqual([
      [1, false],
      [0, false],
    ]);
    channel.reply(IOTLB, 0);
    channel.reply(IOTLB, 0);
    expect(it.timers.size).toBe(0);
  });

  test('one large update answers all that lies in it', async () => {
    miss(0, [0x1000, 1], [0x2000, 2], [0x5000, 3]);
    await say({ type: UPDATE, iova: 0, size: 0x10_0000, uaddr: 0, perm: 3 });
    expect(retries()).toEqual([[0, false]]);
  });

  test.each([
    ['an update without the access that is needed', 'update'],
    ['a refusal', 'refusal'],
  ])('%s denies the page to all who wait', async (_, how) => {
    miss(0, [0x1000, 2], [0x2000, 2]);
    miss(1, [0x1000, 2]);
    if (how === 'update') {
      await say({ type: UPDATE, iova: 0x1000, size: 0x1000, uaddr: 0, perm: 1 });
    } else channel.reply(IOTLB, 1);
    await Promise.resolve();
    expect(retries()).toEqual([
      [0, true],
      [1, true],
    ]);
    expect(it.logLines.at(-1)?.text).toContain('does not allow');
  });

  test('when nothing comes in time the vring looks again, and the page is asked for again', () => {
    miss(0, [0x1000, 1]);
    expect([...it.timers.values()]).toContain(MISS_AGAIN_MS);
    it.expireTimers();
    expect(retries()).toEqual([[0, false]]);
    miss(0, [0x1000, 1]);
    expect(asked()).toHaveLength(2);
  });

  test('an answer without an update is no answer', async () => {
    miss(0, [0x1000, 1]);
    channel.reply(IOTLB, 0);
    await Promise.resolve();
    expect(retries()).toEqual([]);
  });

  test('a vring that has looked again waits for what it lacks now', async () => {
    miss(0, [0x1000, 1]);
    miss(0, [0x9000, 1]);
    await say({ type: UPDATE, iova: 0x1000, size: 0x1000, uaddr: 0, perm: 3 });
    expect(retries()).toEqual([]);
    await say({ type: UPDATE, iova: 0x9000, size: 0x1000, uaddr: 0, perm: 3 });
    expect(retries()).toEqual([[0, false]]);
  });

  test('without a channel a line says so, and an update of its own accord will do', async () => {
    channel.events.onClosed();
    it = new RecordedSession();
    await negotiate(ALL_PROTOCOL, MODERN | bitsToWord(VIRTIO_F_ACCESS_PLATFORM));
    miss(0, [0x1000, 1]);
    expect(it.logLines.at(-1)?.text).toContain('no channel');
    await say({ type: UPDATE, iova: 0x1000, size: 0x1000, uaddr: 0, perm: 1 });
    expect(retries()).toEqual([[0, false]]);
  });

  test('while another process takes over nothing is sent; what was is still answered', async () => {
    miss(0, [0x1000, 1]);
    it.session.quiesce(true);
    miss(1, [0x2000, 1]);
    expect(asked()).toHaveLength(1);
    await say({ type: UPDATE, iova: 0x1000, size: 0x1000, uaddr: 0, perm: 1 });
    expect(retries()).toEqual([[0, false]]);
    it.session.quiesce(false);
    it.expireTimers();
    expect(retries()).toEqual([
      [0, false],
      [1, false],
    ]);
  });

  test('lines about them are of one kind, which is what the log limits', async () => {
    for (let i = 0; i < 100; i++) {
      miss(0, [i * 4096, 2]);
      await say({ type: UPDATE, iova: i * 4096, size: 4096, uaddr: 0, perm: 1 });
    }
    expect(it.logLines).toHaveLength(100);
    expect(new Set(it.logLines.map(({ text }) => text)).size).toBe(1);
  });

  test('the end of the session leaves no timer, and nobody to tell', async () => {
    miss(0, [0x1000, 1]);
    await it.session.end();
    expect(it.timers.size).toBe(0);
    miss(0, [0x2000, 1]);
    expect([it.timers.size, it.fds.count]).toEqual([0, 0]);
  });
});
