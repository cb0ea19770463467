/**
 * The messages of a session that go to the disk: memory, config space, and what the disk refuses.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { bitsToWord } from '../../../protocol/layout.ts';
import { VIRTIO_BLK_F_CONFIG_WCE } from '../../../protocol/virtio-blk.ts';
import { RecordedSession } from '../../support/recording-session-port.ts';
import { ALL_PROTOCOL, MODERN, REGION, sessionSteps } from '../../support/session-steps.ts';
import {
  configPayload,
  memTablePayload,
  singleRegionPayload,
} from '../../support/vhost-user-messages.ts';

let it: RecordedSession;

beforeEach(() => {
  it = new RecordedSession();
});

const { negotiate, statusOf } = sessionSteps(() => it);

describe('memory', () => {
  test('a table is handed over whole; its fds are closed afterwards', async () => {
    const regions = [REGION, { ...REGION, guestAddress: 0x10_0000, mmapOffset: 4096 }];
    await it.say('SET_MEM_TABLE', memTablePayload(regions), { fds: 2 });
    expect(it.disk.callsOf('replaceRegions')).toEqual([[regions]]);
    expect(it.fds.count).toBe(0);
  });

  test('REM_MEM_REG with a needless fd closes it', async () => {
    await negotiate();
    await it.say('REM_MEM_REG', singleRegionPayload(REGION), { fds: 1 });
    expect(it.disk.callsOf('removeRegion')).toEqual([[REGION]]);
    expect(it.fds.count).toBe(0);
  });

  test.each(['ADD_MEM_REG', 'REM_MEM_REG'] as const)(
    'what the disk refuses of %s is a NACK, with its words in the log',
    async (name) => {
      await negotiate();
      it.disk.refusals.set('addRegion', 'no room');
      it.disk.refusals.set('removeRegion', 'no room');
      expect(await statusOf(name, singleRegionPayload(REGION), 1)).not.toBe(0n);
      expect(it.logLines[0]?.error).toBe(`VHOST_USER_${name}: no room`);
      expect(it.fds.count).toBe(0);
    },
  );

  test('bug class 14: numbers beyond 2^53 reach the disk as numbers it refuses', async () => {
    await negotiate();
    const payload = singleRegionPayload({ ...REGION, mmapOffset: 2n ** 64n - 1n });
    await it.say('ADD_MEM_REG', payload, { fds: 1 });
    const [[region]] = it.disk.callsOf('addRegion') as [[{ mmapOffset: number }]];
    expect(Number.isSafeInteger(region.mmapOffset)).toBe(false);
  });
});

describe('SET_CONFIG', () => {
  beforeEach(async () => {
    await negotiate(ALL_PROTOCOL, MODERN | bitsToWord(VIRTIO_BLK_F_CONFIG_WCE));
  });

  test.each([
    [0, false],
    [1, true],
  ])('writeback=%i is set', async (value, writeback) => {
    expect(await statusOf('SET_CONFIG', configPayload(32, Uint8Array.of(value)))).toBe(0n);
    expect(it.disk.callsOf('setWriteback')).toEqual([[writeback]]);
  });

  test('with the live migration flag it is set as well', async () => {
    const payload = configPayload(32, Uint8Array.of(0), { flags: 1 });
    expect(await statusOf('SET_CONFIG', payload)).toBe(0n);
  });

  test.each<[string, Uint8Array]>([
    ['a value of 2', configPayload(32, Uint8Array.of(2))],
    ['two bytes', configPayload(32, Uint8Array.of(1, 0))],
    ['no byte', configPayload(32, new Uint8Array(0))],
    ['the byte before', configPayload(31, Uint8Array.of(1))],
    ['the byte after', configPayload(33, Uint8Array.of(1))],
    ['the whole config space', configPayload(0, new Uint8Array(96))],
    ['an offset of 2^32-1', configPayload(0xffff_ffff, Uint8Array.of(1))],
    ['an unknown flag', configPayload(32, Uint8Array.of(1), { flags: 2 })],
  ])('bug class 25: %s is refused', async (_, payload) => {
    expect(await statusOf('SET_CONFIG', payload)).not.toBe(0n);
    expect(it.disk.callsOf('setWriteback')).toEqual([]);
  });
});

test('SET_CONFIG without CONFIG_WCE negotiated is refused', async () => {
  await negotiate();
  expect(await statusOf('SET_CONFIG', configPayload(32, Uint8Array.of(0)))).not.toBe(0n);
});
