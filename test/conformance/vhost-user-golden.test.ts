/**
 * The structs of the vhost-user socket, which no C header declares, against bytes written by hand from
 * vhost-user.rst ("Message Specification"): each row is the text of a message payload as it crosses
 * the socket of a little-endian host, and what its fields mean. Message codes and feature bits likewise.
 */
import { expect, test } from 'vitest';
import * as inflight from '../../protocol/inflight.ts';
import { fieldSizeBytes, type Layout } from '../../protocol/layout.ts';
import { allLayouts } from '../../protocol/readme.ts';
import * as vhostUser from '../../protocol/vhost-user.ts';
import { vhostUserBackendMessages } from '../../protocol/vhost-user-backend-messages.ts';
import * as messages from '../../protocol/vhost-user-messages.ts';
import * as payloads from '../../protocol/vhost-user-payloads.ts';

interface Golden {
  readonly layout: Layout;
  /** Bytes in hexadecimal, blanks between fields. */
  readonly bytes: string;
  readonly fields: Readonly<Record<string, bigint>>;
}

const GOLDEN: readonly Golden[] = [
  {
    // SET_MEM_TABLE (5), version 1 with NEED_REPLY, one region of payload.
    layout: payloads.vhostUserHeader,
    bytes: '05000000 09000000 28000000',
    fields: { request: 5n, flags: 9n, size: 40n },
  },
  {
    layout: payloads.vhostUserU64,
    bytes: '0000004001000000',
    fields: { value: 0x1_4000_0000n },
  },
  {
    layout: payloads.vhostVringState,
    bytes: '01000000 80000000',
    fields: { index: 1n, num: 128n },
  },
  {
    // Descriptors, used, available, log: the used ring comes before the avail ring.
    layout: payloads.vhostVringAddr,
    bytes: '02000000 01000000 00100000007f0000 00300000007f0000 00200000007f0000 0040000000000000',
    fields: {
      index: 2n,
      flags: 1n,
      desc_user_addr: 0x7f00_0000_1000n,
      used_user_addr: 0x7f00_0000_3000n,
      avail_user_addr: 0x7f00_0000_2000n,
      log_guest_addr: 0x4000n,
    },
  },
  {
    layout: payloads.vhostMemoryHead,
    bytes: '02000000 00000000',
    fields: { nregions: 2n, padding: 0n },
  },
  {
    layout: payloads.vhostMemoryRegion,
    bytes: '0000000001000000 0000008000000000 00000040557f0000 0000001000000000',
    fields: {
      guest_addr: 0x1_0000_0000n,
      size: 0x8000_0000n,
      user_addr: 0x7f55_4000_0000n,
      mmap_offset: 0x1000_0000n,
    },
  },
  {
    // 64 bits of padding, then the region as in the table.
    layout: payloads.vhostSingleMemoryRegion,
    bytes: '0000000000000000 0000000001000000 0000008000000000 00000040557f0000 0000001000000000',
    fields: {
      padding: 0n,
      guest_addr: 0x1_0000_0000n,
      size: 0x8000_0000n,
      user_addr: 0x7f55_4000_0000n,
      mmap_offset: 0x1000_0000n,
    },
  },
  {
    // SET_CONFIG of one byte, writeback.
    layout: payloads.vhostUserConfigHead,
    bytes: '20000000 01000000 00000000',
    fields: { offset: 32n, size: 1n, flags: 0n },
  },
  {
    // An update, readable and writable; the C struct has six bytes more than its fields.
    layout: payloads.vhostTransferState,
    bytes: '01000000 00000000',
    fields: { direction: 1n, phase: 0n },
  },
  {
    layout: payloads.vhostUserLog,
    bytes: '0080000000000000 0010000000000000',
    fields: { mmap_size: 0x8000n, mmap_offset: 0x1000n },
  },
  {
    layout: payloads.vhostIotlbMsg,
    bytes: '00e0ffff00000000 0010000000000000 00000040557f0000 03 02 000000000000',
    fields: {
      iova: 0xffff_e000n,
      size: 0x1000n,
      uaddr: 0x7f55_4000_0000n,
      perm: 3n,
      type: 2n,
      padding: 0n,
    },
  },
  {
    // SET_INFLIGHT_FD of two queues of 128; QEMU sends four bytes of padding more.
    layout: inflight.vhostUserInflight,
    bytes: '8020000000000000 0010000000000000 0200 8000',
    fields: { mmap_size: 0x2080n, mmap_offset: 0x1000n, num_queues: 2n, queue_size: 128n },
  },
  {
    layout: inflight.queueRegionSplit,
    bytes: '0000000000000000 0100 8000 0700 feff',
    fields: { features: 0n, version: 1n, desc_num: 128n, last_batch_head: 7n, used_idx: 0xfffen },
  },
  {
    layout: inflight.descStateSplit,
    bytes: '01 0000000000 0300 0900000001000000',
    fields: { inflight: 1n, padding: 0n, next: 3n, counter: 0x1_0000_0009n },
  },
  {
    // The compiler pads the header to the alignment of the entries.
    layout: inflight.queueRegionPacked,
    bytes: '0000000000000000 0100 8000 0500 0400 0b00 0a00 01 00 00000000000000000000',
    fields: {
      features: 0n,
      version: 1n,
      desc_num: 128n,
      free_head: 5n,
      old_free_head: 4n,
      used_idx: 11n,
      old_used_idx: 10n,
      used_wrap_counter: 1n,
      old_used_wrap_counter: 0n,
      padding: 0n,
    },
  },
  {
    layout: inflight.descStatePacked,
    bytes: '01 00 0200 0400 0300 0800000000000000 0c00 8200 00100000 00e0ff3f00000000',
    fields: {
      inflight: 1n,
      padding: 0n,
      next: 2n,
      last: 4n,
      num: 3n,
      counter: 8n,
      id: 12n,
      flags: 0x82n,
      len: 4096n,
      addr: 0x3fff_e000n,
    },
  },
];

function decode(layout: Layout, text: string): Record<string, bigint> {
  const bytes = Buffer.from(text.replaceAll(' ', ''), 'hex');
  expect(bytes.length).toBe(layout.sizeBytes);
  const decoded: Record<string, bigint> = {};
  for (const [field, [type]] of Object.entries(layout.fields)) {
    const at = layout.at[field]!;
    const own = bytes.subarray(at, at + fieldSizeBytes(type));
    decoded[field] = own.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
  }
  return decoded;
}

test.each(GOLDEN.map((golden) => [golden.layout.name, golden] as const))(
  '%s decodes as the protocol writes it',
  (_, { layout, bytes, fields }) => expect(decode(layout, bytes)).toEqual(fields),
);

test('every layout of the messages and of inflight.ts has golden bytes', () => {
  const declared = allLayouts()
    .filter(([file]) => file === 'vhost-user-payloads.ts' || file === 'inflight.ts')
    .map(([, layout]) => layout.name);
  expect(GOLDEN.map(({ layout }) => layout.name).sort()).toEqual([...new Set(declared)].sort());
});

test('front-end messages have the codes of the protocol', () => {
  const codes = Object.fromEntries(
    Object.entries(messages.vhostUserMessages).map(([name, row]) => [name, row.code]),
  );
  expect(codes).toEqual({
    GET_FEATURES: 1,
    SET_FEATURES: 2,
    SET_OWNER: 3,
    RESET_OWNER: 4,
    SET_MEM_TABLE: 5,
    SET_LOG_BASE: 6,
    SET_LOG_FD: 7,
    SET_VRING_NUM: 8,
    SET_VRING_ADDR: 9,
    SET_VRING_BASE: 10,
    GET_VRING_BASE: 11,
    SET_VRING_KICK: 12,
    SET_VRING_CALL: 13,
    SET_VRING_ERR: 14,
    GET_PROTOCOL_FEATURES: 15,
    SET_PROTOCOL_FEATURES: 16,
    GET_QUEUE_NUM: 17,
    SET_VRING_ENABLE: 18,
    SET_BACKEND_REQ_FD: 21,
    IOTLB_MSG: 22,
    GET_CONFIG: 24,
    SET_CONFIG: 25,
    GET_INFLIGHT_FD: 31,
    SET_INFLIGHT_FD: 32,
    VRING_KICK: 35,
    RESET_DEVICE: 34,
    GET_MAX_MEM_SLOTS: 36,
    ADD_MEM_REG: 37,
    REM_MEM_REG: 38,
    SET_STATUS: 39,
    GET_STATUS: 40,
    SET_DEVICE_STATE_FD: 42,
    CHECK_DEVICE_STATE: 43,
    GET_VRING_BASE_SKIP_DRAIN: 45,
  });
});

test('back-end messages have the codes of the protocol', () => {
  const codes = Object.fromEntries(
    Object.entries(vhostUserBackendMessages).map(([name, row]) => [name, row.code]),
  );
  expect(codes).toEqual({ IOTLB_MSG: 1, CONFIG_CHANGE_MSG: 2, VRING_CALL: 4, VRING_ERR: 5 });
});

test('no code belongs to two messages, and 1 to 45 are all named', () => {
  const served = Object.values(messages.vhostUserMessages).map((row) => row.code);
  const unserved = Object.values(messages.vhostUserUnserved.values);
  const all = [...served, ...unserved].sort((a, b) => a - b);
  expect(all).toEqual(Array.from({ length: 45 }, (_, index) => index + 1));
  for (const code of all) expect(messages.requestName(code)).toMatch(/^VHOST_USER_[A-Z_]+$/);
  expect(messages.requestName(46)).toBe('unknown (0x2e)');
});

test('header flags: version in bits 0-1, reply bit 2, need_reply bit 3; a reply is 5', () => {
  expect(vhostUser.VHOST_USER_VERSION).toBe(1);
  expect(vhostUser.VHOST_USER_VERSION_MASK).toBe(3);
  expect(vhostUser.VHOST_USER_REPLY_MASK).toBe(1 << 2);
  expect(vhostUser.VHOST_USER_NEED_REPLY_MASK).toBe(1 << 3);
  expect(vhostUser.VHOST_USER_REPLY_FLAGS).toBe(5);
});
