/**
 * vhost-user messages as bytes, front-end side: the payloads of the message table and the header in
 * front of them, right or wrong. Independent of the back-end's codec; used by the mock front-end, the
 * unit tests and the property tests.
 * Source: vhost-user.rst, "Message Specification".
 */
import { vhostUserInflight } from '../../protocol/inflight.ts';
import type { Layout } from '../../protocol/layout.ts';
import {
  VHOST_USER_NEED_REPLY_MASK,
  VHOST_USER_VERSION,
  VHOST_USER_VRING_NOFD_MASK,
} from '../../protocol/vhost-user.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { type MessageName, vhostUserMessages } from '../../protocol/vhost-user-messages.ts';
import {
  vhostIotlbMsg,
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostSingleMemoryRegion,
  vhostTransferState,
  vhostUserConfigHead,
  vhostUserHeader,
  vhostUserLog,
  vhostUserU64,
  vhostVringAddr,
  vhostVringState,
} from '../../protocol/vhost-user-payloads.ts';

export const MESSAGE_NAMES = Object.keys(vhostUserMessages) as MessageName[];

/** A message's row with its general type: the table's own rows are literal types. */
export function rowOf(name: MessageName): MessageRow {
  return vhostUserMessages[name];
}

export interface HeaderText {
  /** A name of the message table, or any code. */
  readonly request: MessageName | number;
  readonly needReply?: boolean;
  /** Overrides version and NEED_REPLY. */
  readonly flags?: number;
  /** Overrides the payload's length. */
  readonly size?: number;
}

export function requestCode(request: MessageName | number): number {
  return typeof request === 'number' ? request : vhostUserMessages[request].code;
}

/** Header and payload. */
export function encodeMessage(text: HeaderText, payload: Uint8Array = new Uint8Array(0)) {
  const bytes = new Uint8Array(vhostUserHeader.sizeBytes + payload.length);
  const view = new DataView(bytes.buffer);
  const usual = VHOST_USER_VERSION | (text.needReply ? VHOST_USER_NEED_REPLY_MASK : 0);
  view.setUint32(vhostUserHeader.at.request, requestCode(text.request), true);
  view.setUint32(vhostUserHeader.at.flags, text.flags ?? usual, true);
  view.setUint32(vhostUserHeader.at.size, text.size ?? payload.length, true);
  bytes.set(payload, vhostUserHeader.sizeBytes);
  return bytes;
}

export type Word = number | bigint;

/** The bytes of a layout with the given fields; fields left out are 0. */
export function encodeLayout(layout: Layout, fields: Readonly<Record<string, Word>>): Uint8Array {
  const bytes = new Uint8Array(layout.sizeBytes);
  const view = new DataView(bytes.buffer);
  for (const [name, value] of Object.entries(fields)) {
    const at = layout.at[name];
    const field = layout.fields[name];
    if (at === undefined || field === undefined) throw new Error(`${layout.name} has no ${name}`);
    if (field[0] === 'u64') view.setBigUint64(at, BigInt(value), true);
    else if (field[0] === 'u8') view.setUint8(at, Number(value));
    else if (field[0] === 'u16') view.setUint16(at, Number(value), true);
    else view.setUint32(at, Number(value), true);
  }
  return bytes;
}

export function u64Payload(value: Word): Uint8Array {
  return encodeLayout(vhostUserU64, { value });
}

/** KICK, CALL, ERR: a vring index, and the bit that says that no fd comes. */
export function vringFdPayload(index: number, hasFd: boolean): Uint8Array {
  return u64Payload(index | (hasFd ? 0 : VHOST_USER_VRING_NOFD_MASK));
}

export function vringStatePayload(index: number, num: number): Uint8Array {
  return encodeLayout(vhostVringState, { index, num });
}

export interface VringAddrText {
  readonly desc: Word;
  readonly avail: Word;
  readonly used: Word;
  /** Bit 0: the used ring's writes are logged, as if it were at `log`. */
  readonly flags?: number;
  readonly log?: Word;
}

export function vringAddrPayload(index: number, text: VringAddrText): Uint8Array {
  return encodeLayout(vhostVringAddr, {
    index,
    flags: text.flags ?? 0,
    desc_user_addr: text.desc,
    avail_user_addr: text.avail,
    used_user_addr: text.used,
    log_guest_addr: text.log ?? 0,
  });
}

/** SET_DEVICE_STATE_FD: 0 save, 1 load. */
export function transferPayload(direction: number, phase = 0): Uint8Array {
  return encodeLayout(vhostTransferState, { direction, phase });
}

/** SET_LOG_BASE. */
export function logPayload(sizeBytes: Word, mmapOffset: Word = 0): Uint8Array {
  return encodeLayout(vhostUserLog, { mmap_size: sizeBytes, mmap_offset: mmapOffset });
}

export interface RegionText {
  readonly guestAddress: Word;
  readonly sizeBytes: Word;
  readonly userAddress: Word;
  readonly mmapOffset: Word;
}

function regionFields(region: RegionText): Record<string, Word> {
  return {
    guest_addr: region.guestAddress,
    size: region.sizeBytes,
    user_addr: region.userAddress,
    mmap_offset: region.mmapOffset,
  };
}

/** ADD_MEM_REG, REM_MEM_REG. */
export function singleRegionPayload(region: RegionText): Uint8Array {
  return encodeLayout(vhostSingleMemoryRegion, regionFields(region));
}

/** SET_MEM_TABLE; `count` may lie about the number of regions. */
export function memTablePayload(regions: readonly RegionText[], count = regions.length) {
  const { sizeBytes } = vhostMemoryHead;
  const bytes = new Uint8Array(sizeBytes + regions.length * vhostMemoryRegion.sizeBytes);
  bytes.set(encodeLayout(vhostMemoryHead, { nregions: count }));
  regions.forEach((region, i) => {
    const at = sizeBytes + i * vhostMemoryRegion.sizeBytes;
    bytes.set(encodeLayout(vhostMemoryRegion, regionFields(region)), at);
  });
  return bytes;
}

/** GET_CONFIG and SET_CONFIG: `bytes` follow the head, whose size field may lie. */
export function configPayload(
  offset: number,
  bytes: Uint8Array,
  { size = bytes.length, flags = 0 } = {},
): Uint8Array {
  const payload = new Uint8Array(vhostUserConfigHead.sizeBytes + bytes.length);
  payload.set(encodeLayout(vhostUserConfigHead, { offset, size, flags }));
  payload.set(bytes, vhostUserConfigHead.sizeBytes);
  return payload;
}

export interface InflightText {
  readonly mmapBytes?: Word;
  readonly mmapOffset?: Word;
  readonly queueCount: number;
  readonly queueSize: number;
}

/** GET_INFLIGHT_FD, SET_INFLIGHT_FD; QEMU's struct has four bytes of padding behind it. */
export function inflightPayload(text: InflightText, { padded = true } = {}): Uint8Array {
  const fields = encodeLayout(vhostUserInflight, {
    mmap_size: text.mmapBytes ?? 0,
    mmap_offset: text.mmapOffset ?? 0,
    num_queues: text.queueCount,
    queue_size: text.queueSize,
  });
  const payload = new Uint8Array(fields.length + (padded ? 4 : 0));
  payload.set(fields);
  return payload;
}

export interface IotlbText {
  readonly type: number;
  readonly iova?: Word;
  readonly size?: Word;
  readonly uaddr?: Word;
  readonly perm?: number;
}

/** IOTLB_MSG; fields left out are 0. */
export function iotlbPayload(text: IotlbText): Uint8Array {
  return encodeLayout(vhostIotlbMsg, { ...text });
}

/** A reply as a front-end reads it. */
export interface Reply {
  readonly request: number;
  readonly flags: number;
  readonly payload: DataView;
}

export function replyU64(reply: Reply): bigint {
  if (reply.payload.byteLength !== vhostUserU64.sizeBytes) {
    throw new Error(`a reply of ${reply.payload.byteLength} bytes, expected a u64`);
  }
  return reply.payload.getBigUint64(0, true);
}
