/**
 * Replies byte by byte: QEMU drops the connection for a reply whose header is not exactly this.
 */
import { expect, test } from 'vitest';
import { encodeReply, encodeU64Reply } from '../../../src/vhost-user/message-encoder.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('a u64 reply: request, flags 5 (reply, version 1), size 8, the number', () => {
  expect(hex(encodeU64Reply(1, 0x1_4000_0000n))).toBe(
    ['01000000', '05000000', '08000000', '0000004001000000'].join(''),
  );
});

test('a u64 reply of all ones', () => {
  expect(hex(encodeU64Reply(15, 2n ** 64n - 1n)).slice(24)).toBe('f'.repeat(16));
});

test('a reply with a payload carries it unchanged', () => {
  expect(hex(encodeReply(11, Uint8Array.of(2, 0, 0, 0, 0xff, 0xff, 0, 0)))).toBe(
    ['0b000000', '05000000', '08000000', '02000000', 'ffff0000'].join(''),
  );
});

test('a reply without a payload is a header', () => {
  expect(hex(encodeReply(24, new Uint8Array(0)))).toBe('180000000500000000000000');
});

test('a payload that is a view into more is copied by its own length', () => {
  const large = new Uint8Array(100).fill(7);
  expect(encodeReply(24, large.subarray(10, 12))).toHaveLength(14);
});
