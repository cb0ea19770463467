/**
 * The decoder against the message table: every row at its size and around it, header bits, fd counts;
 * and that no fd is ever lost, whatever is refused.
 */
import { describe, expect, test } from 'vitest';
import {
  VHOST_USER_MAX_CONFIG_SIZE,
  VHOST_USER_MAX_FDS,
  VHOST_USER_NEED_REPLY_MASK,
} from '../../../protocol/vhost-user.ts';
import {
  type MessageName,
  VHOST_USER_MAX_PAYLOAD_BYTES,
} from '../../../protocol/vhost-user-messages.ts';
import { MessageDecoder } from '../../../src/vhost-user/message-decoder.ts';
import { ProtocolError } from '../../../src/vhost-user/protocol-error.ts';
import {
  configPayload,
  encodeMessage,
  MESSAGE_NAMES,
  memTablePayload,
  requestCode,
  rowOf,
  vringFdPayload,
} from '../../support/vhost-user-messages.ts';

/** A right payload for a message, and how many fds go with it. */
function rightly(name: MessageName): { payload: Uint8Array; fds: number } {
  const row = rowOf(name);
  if (row.tail === 'config') return { payload: configPayload(0, new Uint8Array(60)), fds: 0 };
  if (row.tail === 'regions') return { payload: memTablePayload([]), fds: 0 };
  if (row.fds === 'unlessNoFdBit') return { payload: vringFdPayload(0, true), fds: 1 };
  const payload = new Uint8Array(row.payload?.sizeBytes ?? 0);
  return { payload, fds: typeof row.fds === 'number' ? row.fds : 0 };
}

function fdsOf(count: number): number[] {
  return Array.from({ length: count }, (_, i) => 100 + i);
}

/** Pushes header and rest as the connection does. */
function decode(bytes: Uint8Array, fds = 0, decoder = new MessageDecoder()) {
  const first = bytes.subarray(0, Math.min(bytes.length, decoder.wantedBytes));
  const message = decoder.push(first, fdsOf(fds));
  if (message !== null || bytes.length <= first.length) return message;
  return decoder.push(bytes.subarray(first.length), []);
}

function refused(bytes: Uint8Array, fds: number, reason: RegExp): void {
  const decoder = new MessageDecoder();
  let thrown: unknown;
  try {
    decode(bytes, fds, decoder);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ProtocolError);
  expect((thrown as ProtocolError).fatal).toBe(true);
  expect((thrown as ProtocolError).message).toMatch(reason);
  expect(decoder.takeFds()).toEqual(fdsOf(fds));
}

describe.each(MESSAGE_NAMES)('%s', (name) => {
  const row = rowOf(name);
  const { payload, fds } = rightly(name);

  test('is decoded at its size, with its fds', () => {
    const message = decode(encodeMessage({ request: name }, payload), fds);
    expect(message).toMatchObject({ request: row.code, needReply: false, fds: fdsOf(fds) });
    expect(message?.row).toBe(row);
    expect(new Uint8Array(message!.payload.buffer)).toEqual(payload);
  });

  test('bug class 11: one byte more or less is refused', () => {
    const more = new Uint8Array(payload.length + 1);
    more.set(payload);
    // A region table may be longer than its regions: QEMU sends all of it.
    if (row.tail !== 'regions') refused(encodeMessage({ request: name }, more), fds, /size=/);
    if (payload.length > 0) {
      refused(encodeMessage({ request: name }, payload.subarray(1)), fds, /size=/);
    }
  });

  test.each([0, 0xffff_ffff, 0x8000_0000, VHOST_USER_MAX_PAYLOAD_BYTES + 1])(
    'bug class 11: a size of %i is refused before the payload is read',
    (size) => {
      if (size === 0 && payload.length === 0) return;
      refused(encodeMessage({ request: name, size }), fds, /size=/);
    },
  );

  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('with %i fds', (count) => {
    const bytes = encodeMessage({ request: name }, payload);
    if (count === fds || (row.fds === 'optional' && count === 1)) {
      expect(decode(bytes, count)?.fds).toEqual(fdsOf(count));
    } else {
      refused(bytes, count, /file descriptors, expected/);
    }
  });

  test.each([0, 2, 3])('version %i is refused', (flags) => {
    refused(encodeMessage({ request: name, flags }, payload), fds, /version=/);
  });

  test('bug class 11: a message that is marked as a reply is refused', () => {
    refused(encodeMessage({ request: name, flags: 5 }, payload), fds, /marked as a reply/);
  });

  test('NEED_REPLY is understood, other flag bits are ignored', () => {
    const flags = 1 | VHOST_USER_NEED_REPLY_MASK | 0xffff_fff0;
    expect(decode(encodeMessage({ request: name, flags }, payload), fds)?.needReply).toBe(true);
  });
});

describe.each(['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'] as const)('%s', (name) => {
  test('with the no-fd bit carries none', () => {
    const bytes = encodeMessage({ request: name }, vringFdPayload(3, false));
    expect(decode(bytes, 0)?.fds).toEqual([]);
    refused(bytes, 1, /1 file descriptors, expected 0/);
  });
});

describe('SET_MEM_TABLE', () => {
  const region = { guestAddress: 0, sizeBytes: 4096, userAddress: 0, mmapOffset: 0 };
  const table = (count: number) => memTablePayload(new Array(count).fill(region));

  test.each([0, 1, 7, 8])('%i regions with an fd each', (count) => {
    const bytes = encodeMessage({ request: 'SET_MEM_TABLE' }, table(count));
    expect(decode(bytes, count)?.fds).toHaveLength(count);
    if (count > 0) refused(bytes, count - 1, /expected/);
  });

  test('the whole table of 8 with fewer regions used, as QEMU sends it', () => {
    const payload = memTablePayload(new Array(8).fill(region), 2);
    expect(decode(encodeMessage({ request: 'SET_MEM_TABLE' }, payload), 2)?.fds).toHaveLength(2);
  });

  test.each([9, 0xffff_ffff])('a count of %i is refused', (count) => {
    const payload = memTablePayload([region], count);
    refused(encodeMessage({ request: 'SET_MEM_TABLE' }, payload), 1, /nregions=/);
  });

  test('a count of more regions than bytes follow is refused', () => {
    const payload = memTablePayload([region], 2);
    refused(encodeMessage({ request: 'SET_MEM_TABLE' }, payload), 2, /size=/);
  });
});

describe.each(['GET_CONFIG', 'SET_CONFIG'] as const)('%s', (name) => {
  test.each([0, 1, 57, 60, VHOST_USER_MAX_CONFIG_SIZE])('%i config bytes', (size) => {
    const bytes = encodeMessage({ request: name }, configPayload(0, new Uint8Array(size)));
    expect(decode(bytes)?.payload.byteLength).toBe(12 + size);
  });

  test.each([
    [60, 59],
    [60, 61],
    [0, 1],
    [0, 0xffff_ffff],
    [0, 0xffff_fff4],
  ])('%i bytes with a size field of %i are refused', (bytes, size) => {
    const payload = configPayload(0, new Uint8Array(bytes), { size });
    refused(encodeMessage({ request: name }, payload), 0, /config size=/);
  });

  test('more than the protocol allows is refused', () => {
    const payload = configPayload(0, new Uint8Array(VHOST_USER_MAX_CONFIG_SIZE + 1));
    refused(encodeMessage({ request: name }, payload), 0, /size=/);
  });
});

describe('a message that vloop does not serve', () => {
  test.each([0, 19, 23, 44, 46, 199, 0xffff_ffff])('code %i comes whole, without a row', (code) => {
    const message = decode(encodeMessage({ request: code }, new Uint8Array(33)), 2);
    expect(message).toMatchObject({ request: code, row: null, fds: fdsOf(2) });
    expect(message?.payload.byteLength).toBe(33);
  });

  test('one larger than any that is served is refused', () => {
    const bytes = encodeMessage({ request: 199, size: VHOST_USER_MAX_PAYLOAD_BYTES + 1 });
    refused(bytes, 0, /size=/);
  });
});

describe('fds', () => {
  test('that come with the payload instead of the header are refused, and not lost', () => {
    const decoder = new MessageDecoder();
    const bytes = encodeMessage({ request: 'SET_FEATURES' }, new Uint8Array(8));
    decoder.push(bytes.subarray(0, 12), [1]);
    expect(() => decoder.push(bytes.subarray(12), [2, 3])).toThrow(/in the middle of a message/);
    expect(decoder.takeFds()).toEqual([1, 2, 3]);
  });

  test(`bug class 12: more than ${VHOST_USER_MAX_FDS} are refused, and not lost`, () => {
    const decoder = new MessageDecoder();
    expect(() => decoder.push(new Uint8Array(1), fdsOf(253))).toThrow(/253 file descriptors/);
    expect(decoder.takeFds()).toHaveLength(253);
    expect(decoder.takeFds()).toEqual([]);
  });

  test('of a whole message are gone from the decoder', () => {
    const decoder = new MessageDecoder();
    decode(encodeMessage({ request: 'ADD_MEM_REG' }, new Uint8Array(40)), 1, decoder);
    expect(decoder.takeFds()).toEqual([]);
  });
});

test('a payload is a copy: the next message does not change it', () => {
  const decoder = new MessageDecoder();
  const first = decode(
    encodeMessage({ request: 'SET_FEATURES' }, new Uint8Array(8).fill(1)),
    0,
    decoder,
  );
  decode(encodeMessage({ request: 'SET_FEATURES' }, new Uint8Array(8).fill(2)), 0, decoder);
  expect(first?.payload.getUint8(0)).toBe(1);
});

test('wantedBytes is the rest of the header, then of the payload, and never more', () => {
  const decoder = new MessageDecoder();
  expect(decoder.wantedBytes).toBe(12);
  const bytes = encodeMessage({ request: 'SET_VRING_ADDR' }, new Uint8Array(40));
  decoder.push(bytes.subarray(0, 5), []);
  expect(decoder.wantedBytes).toBe(7);
  decoder.push(bytes.subarray(5, 12), []);
  expect(decoder.wantedBytes).toBe(40);
  expect(decoder.push(bytes.subarray(12), [])?.request).toBe(requestCode('SET_VRING_ADDR'));
  expect(decoder.wantedBytes).toBe(12);
});
