/**
 * Messages as text: names and fields come from the message table, numbers are the ones that were sent,
 * and neither guest data nor the bytes of the config space can get into a line.
 */
import { expect, test } from 'vitest';
import { vhostUserBackendMessages as B } from '../../../protocol/vhost-user-backend-messages.ts';
import { vhostUserMessages } from '../../../protocol/vhost-user-messages.ts';
import { MessageDecoder } from '../../../src/vhost-user/message-decoder.ts';
import { encodeReply, encodeU64Reply } from '../../../src/vhost-user/message-encoder.ts';
import {
  describeBackendMessage,
  describeBackendReply,
  describeMessage,
  describeReply,
} from '../../../src/vhost-user/message-text.ts';
import {
  configPayload,
  encodeMessage,
  type HeaderText,
  memTablePayload,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../../support/vhost-user-messages.ts';

function text(
  header: HeaderText,
  payload: Uint8Array = new Uint8Array(0),
  fds: number[] = [],
): string {
  const decoder = new MessageDecoder();
  const bytes = encodeMessage(header, payload);
  let message = decoder.push(bytes.subarray(0, decoder.wantedBytes), fds);
  message ??= decoder.push(bytes.subarray(12), []);
  return describeMessage(message!);
}

const REGION = { guestAddress: 0x1000, sizeBytes: 0x2000, userAddress: 0x7f00, mmapOffset: 0 };

test.each([
  [text({ request: 'GET_FEATURES' }), 'GET_FEATURES()'],
  [
    text({ request: 'SET_FEATURES' }, u64Payload((1n << 32n) | (1n << 9n) | (1n << 63n))),
    'SET_FEATURES(value=0x8000000100000200 VIRTIO_BLK_F_FLUSH|VIRTIO_F_VERSION_1|bit 63)',
  ],
  [
    text({ request: 'SET_PROTOCOL_FEATURES', needReply: true }, u64Payload(9)),
    'SET_PROTOCOL_FEATURES(value=0x9 VHOST_USER_PROTOCOL_F_MQ|VHOST_USER_PROTOCOL_F_REPLY_ACK), need_reply',
  ],
  [
    text({ request: 'SET_VRING_NUM' }, vringStatePayload(3, 128)),
    'SET_VRING_NUM(index=3, num=128)',
  ],
  [
    text({ request: 'SET_VRING_KICK' }, vringFdPayload(1, true), [7]),
    'SET_VRING_KICK(value=1), 1 fd',
  ],
  [
    text({ request: 'SET_VRING_ADDR' }, vringAddrPayload(0, { desc: 16, avail: 32, used: 48 })),
    'SET_VRING_ADDR(index=0, flags=0, desc_user_addr=0x10, used_user_addr=0x30, avail_user_addr=0x20, log_guest_addr=0x0)',
  ],
  [
    text({ request: 'SET_MEM_TABLE', needReply: true }, memTablePayload([REGION, REGION]), [7, 8]),
    'SET_MEM_TABLE(nregions=2, {guest_addr=0x1000, size=0x2000, user_addr=0x7f00, mmap_offset=0x0}, {guest_addr=0x1000, size=0x2000, user_addr=0x7f00, mmap_offset=0x0}), 2 fds, need_reply',
  ],
  [text({ request: 200 }, u64Payload(1)), 'unknown (0xc8)(8 bytes)'],
])('%s', (said, expected) => expect(said).toBe(expected));

test('the bytes of a config space stay out of the line, asked for or written', () => {
  const secret = Uint8Array.from([0xde, 0xad, 0xbe, 0xef]);
  const asked = text({ request: 'SET_CONFIG' }, configPayload(32, secret));
  expect(asked).toBe('SET_CONFIG(offset=32, size=4, flags=0)');
  const reply = encodeReply(vhostUserMessages.GET_CONFIG.code, configPayload(0, secret));
  expect(describeReply(reply, 0)).toBe('{offset=0, size=4, flags=0}');
});

test('replies are numbers, words of bits, or fields', () => {
  const { GET_QUEUE_NUM, GET_VRING_BASE, SET_VRING_NUM, GET_FEATURES } = vhostUserMessages;
  expect(describeReply(encodeU64Reply(GET_QUEUE_NUM.code, 64n), 0)).toBe('64');
  expect(describeReply(encodeU64Reply(SET_VRING_NUM.code, 1n), 0)).toBe('1');
  expect(describeReply(encodeU64Reply(GET_FEATURES.code, 1n << 32n), 0)).toBe(
    '0x100000000 VIRTIO_F_VERSION_1',
  );
  const base = encodeReply(GET_VRING_BASE.code, vringStatePayload(2, 77));
  expect(describeReply(base, 0)).toBe('{index=2, num=77}');
  expect(describeReply(base, 1)).toBe('{index=2, num=77}, 1 fd');
});

test('every message of the table has a line with its name', () => {
  for (const [name, { code }] of Object.entries(vhostUserMessages)) {
    const payload = new DataView(new ArrayBuffer(4));
    const message = { request: code, row: null, needReply: false, payload, fds: [] };
    expect(describeMessage(message)).toBe(`${name}(4 bytes)`);
  }
});

test('messages of the back-end and what comes back', () => {
  const config = encodeMessage({ request: B.CONFIG_CHANGE_MSG.code, needReply: true });
  expect(describeBackendMessage(config)).toBe('BACKEND_CONFIG_CHANGE_MSG(), need_reply');
  const call = encodeMessage({ request: B.VRING_CALL.code }, vringStatePayload(1, 0));
  expect(describeBackendMessage(call)).toBe('BACKEND_VRING_CALL(index=1, num=0)');
  const answer = encodeU64Reply(B.CONFIG_CHANGE_MSG.code, 0n);
  expect(describeBackendReply(answer)).toBe('BACKEND_CONFIG_CHANGE_MSG = 0');
  expect(describeBackendReply(answer.subarray(3))).toBe('17 bytes');
});
