/**
 * Status, reset and device state in a session that records: what is answered, what the disk is asked, and
 * which streams are no state of a disk.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH } from '../../../protocol/virtio-blk.ts';
import { decodeDeviceState, encodeDeviceState } from '../../../src/vhost-user/device-state.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, MODERN, sessionSteps } from '../../support/session-steps.ts';
import {
  configPayload,
  replyU64,
  transferPayload,
  u64Payload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

const [SAVE, LOAD] = [0, 1];
const NO_FD = 0x100n;
const FAILED = 1n;
let it: RecordedSession;

beforeEach(async () => {
  it = new RecordedSession();
  await negotiate();
});

const { negotiate, statusOf, setUp, kick, baseOf } = sessionSteps(() => it);

async function answer(...message: Parameters<RecordedSession['say']>): Promise<bigint> {
  const [reply] = await it.say(...message);
  return replyU64(reply!);
}

function begin(direction: number, phase = 0): Promise<bigint> {
  return answer('SET_DEVICE_STATE_FD', transferPayload(direction, phase), { fds: 1 });
}

describe('the status', () => {
  test('is what was told last', async () => {
    expect(await answer('GET_STATUS')).toBe(0n);
    for (const status of [1n, 3n, 11n, 15n, 0n]) {
      await it.say('SET_STATUS', u64Payload(status));
      expect(await answer('GET_STATUS')).toBe(status);
    }
  });

  test('of more than a byte is refused', async () => {
    expect(await statusOf('SET_STATUS', u64Payload(0x100))).not.toBe(0n);
    expect(await answer('GET_STATUS')).toBe(0n);
  });

  test('of 0 resets nothing: QEMU 7.2 asks for the rings’ bases after it', async () => {
    await setUp(0);
    await kick(0);
    it.disk.stoppedAt = 4711;
    await it.say('SET_STATUS', u64Payload(0));
    expect(it.disk.running.has(0)).toBe(true);
    expect(await baseOf(0)).toBe(4711);
  });
});

describe('RESET_DEVICE', () => {
  test('stops and disables the rings; status, features and cache mode are as at first', async () => {
    const wce = bitsToWord(VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH);
    await setUp(0, MODERN | wce);
    await it.say('SET_VRING_ENABLE', vringStatePayload(0, 1));
    await kick(0);
    await it.say('SET_CONFIG', configPayload(32, Uint8Array.of(0)));
    await it.say('SET_STATUS', u64Payload(15));
    expect(await statusOf('RESET_DEVICE')).toBe(0n);
    expect(it.disk.running.size).toBe(0);
    expect(it.disk.writeback).toBe(true);
    expect(it.disk.callsOf('setFeatures').at(-1)).toEqual([0n]);
    expect(await answer('GET_STATUS')).toBe(0n);
    expect(await baseOf(0)).toBe(0);
    // Set up anew, it runs disabled, as a new ring does.
    await setUp(0);
    await kick(0);
    expect(it.disk.callsOf('startVring').at(-1)).toMatchObject([{ base: 7, enabled: false }]);
  });

  test('leaves memory, protocol features and eventfds alone, and no fd behind', async () => {
    await setUp(0);
    await kick(0);
    await it.say('SET_VRING_CALL', u64Payload(0), { fds: 1 });
    await it.say('RESET_DEVICE');
    expect(it.disk.callsOf('replaceRegions')).toEqual([]);
    expect(it.fds.count).toBe(1);
    expect(await answer('GET_QUEUE_NUM')).toBe(4n);
    await it.session.end();
    expect(it.fds.count).toBe(0);
  });

  test('a ring that was reset needs its set-up before it starts', async () => {
    await setUp(0);
    await it.say('RESET_DEVICE');
    expect(await statusOf('SET_VRING_KICK', u64Payload(0), 1)).not.toBe(0n);
  });
});

describe('device state', () => {
  test.each([true, false])('saved with writeback=%s it is loaded so', async (writeback) => {
    await it.say('SET_FEATURES', u64Payload(MODERN | bitsToWord(9, 11)));
    await it.say('SET_CONFIG', configPayload(32, Uint8Array.of(Number(writeback))));
    expect(await begin(SAVE)).toBe(NO_FD);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(0n);
    const [saved] = it.sentStates;
    it = new RecordedSession();
    await negotiate();
    it.stateToReceive = saved as Uint8Array<ArrayBuffer>;
    expect(await begin(LOAD)).toBe(NO_FD);
    expect(it.disk.callsOf('setWriteback')).toEqual([]);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(0n);
    expect(it.disk.callsOf('setWriteback')).toEqual([[writeback]]);
    expect(it.fds.count).toBe(0);
  });

  test.each([
    ['another phase', SAVE, 1],
    ['another direction', 2, 0],
  ])('%s is answered with an error, and the fd is closed', async (_, direction, phase) => {
    expect(await begin(direction!, phase)).toBe(NO_FD | FAILED);
    expect(it.fds.count).toBe(0);
    expect(it.logLines.at(-1)?.error).toContain('expected 0');
  });

  test('while a vring runs it is answered with an error', async () => {
    await setUp(0);
    await kick(0);
    expect(await begin(SAVE)).toBe(NO_FD | FAILED);
    expect(it.logLines.at(-1)?.error).toContain('a vring is running');
  });

  test('loaded but checked after a vring was started, it is not taken', async () => {
    it.stateToReceive = encodeDeviceState({ writeback: false }) as Uint8Array<ArrayBuffer>;
    await begin(LOAD);
    await setUp(0);
    await kick(0);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(FAILED);
    expect(it.disk.callsOf('setWriteback')).toEqual([]);
  });

  test('a check without a transfer, and a second check, are errors', async () => {
    expect(await answer('CHECK_DEVICE_STATE')).toBe(FAILED);
    await begin(SAVE);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(0n);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(FAILED);
  });

  test.each([SAVE, LOAD])('a transfer that fails is told of by the check', async (direction) => {
    it.transferFailure = 'the transfer failed (EPIPE)';
    expect(await begin(direction)).toBe(NO_FD);
    expect(await answer('CHECK_DEVICE_STATE')).toBe(FAILED);
    expect(it.logLines.at(-1)?.error).toBe(
      'VHOST_USER_CHECK_DEVICE_STATE: the transfer failed (EPIPE)',
    );
  });

  test('without its feature it is refused', async () => {
    await it.say('SET_PROTOCOL_FEATURES', u64Payload(ALL_PROTOCOL & ~bitsToWord(19)));
    await expect(begin(SAVE)).rejects.toThrow('without VHOST_USER_PROTOCOL_F_DEVICE_STATE');
  });
});

describe('a stream that is no state of a disk', () => {
  const right = encodeDeviceState({ writeback: false });
  const with32 = (at: number, value: number) => {
    const bytes = right.slice();
    new DataView(bytes.buffer).setUint32(at, value, true);
    return bytes;
  };

  test('is one cut short anywhere', () => {
    for (let length = 0; length < right.length; length++) {
      expect(decodeDeviceState(right.subarray(0, length))).toMatch(
        /the stream (ends after|has) \d+ /,
      );
    }
    expect(decodeDeviceState(right)).toEqual({ writeback: false });
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['longer than it says', Uint8Array.of(...right, 0), /has 17 bytes, expected 16/],
    ['somebody else’s', with32(0, 0x1234), /magic=0x1234/],
    ['a later version', with32(4, 2), /version=2, expected 1/],
    ['a size that lies', with32(8, 15), /size=15/],
    ['a writeback of 2', with32(12, 2), /writeback=2/],
  ])('is one that is %s', (_, bytes, line) => expect(decodeDeviceState(bytes)).toMatch(line));
});
