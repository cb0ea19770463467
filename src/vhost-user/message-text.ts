/**
 * vhost-user messages as text for people, strace-like: names and fields by the message table, counts of
 * file descriptors. Guest memory is never looked at; of config space only the range is told. Pure.
 */
import { type Codes, fieldSizeBytes, type Layout, namesOfBits } from '../../protocol/layout.ts';
import {
  VHOST_USER_NEED_REPLY_MASK,
  vhostUserProtocolFeatures,
} from '../../protocol/vhost-user.ts';
import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import {
  vhostUserMessages as M,
  messageNameOf,
  requestName,
} from '../../protocol/vhost-user-messages.ts';
import {
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostUserHeader,
  vhostUserU64,
} from '../../protocol/vhost-user-payloads.ts';
import { virtioBlkFeatures } from '../../protocol/virtio-blk.ts';
import { ringFeatures } from '../../protocol/virtio-ring.ts';
import type { Message } from './message-decoder.ts';

/** Below this a number is a count or a status, and from it on a word of bits or an address. */
const DECIMAL_BELOW = 4096n;

/** Feature words of devices and of transport share their 64 bits. */
const virtioFeatures: Codes = {
  ...ringFeatures,
  nameOf(bit) {
    const name = ringFeatures.nameOf(bit);
    return name.startsWith('unknown') ? virtioBlkFeatures.nameOf(bit) : name;
  },
};

/** Words whose bits have names. */
const BITS_OF: ReadonlyMap<number, Codes> = new Map([
  [M.GET_FEATURES.code, virtioFeatures],
  [M.SET_FEATURES.code, virtioFeatures],
  [M.GET_PROTOCOL_FEATURES.code, vhostUserProtocolFeatures],
  [M.SET_PROTOCOL_FEATURES.code, vhostUserProtocolFeatures],
]);

const BACKEND_NAMES = new Map<number, string>(
  Object.values(B).map(({ code, name }) => [code, shortened(name)]),
);

/** Header and payload of a whole message. */
function split(bytes: Uint8Array): { code: number; flags: number; payload: DataView } {
  const { at, sizeBytes } = vhostUserHeader;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const payload = new DataView(
    bytes.buffer,
    bytes.byteOffset + sizeBytes,
    bytes.length - sizeBytes,
  );
  return {
    code: view.getUint32(at.request, true),
    flags: view.getUint32(at.flags, true),
    payload,
  };
}

/** `SET_VRING_KICK(value=0), 1 fd, need_reply`. */
export function describeMessage({ request, row, payload, fds, needReply }: Message): string {
  const call = `${shortened(requestName(request))}(${payloadText(row, payload)})`;
  return [call, ...(fds.length > 0 ? [fdsText(fds.length)] : []), ...flagText(needReply)].join(
    ', ',
  );
}

/** What a reply says: a number, or fields in braces. */
export function describeReply(bytes: Uint8Array, fdCount: number): string {
  const { code, payload } = split(bytes);
  const name = messageNameOf(code);
  const row: MessageRow | null = name === undefined ? null : M[name];
  const likeRequest = row !== null && row.reply === 'payload' && row.payload !== null;
  const text = likeRequest
    ? `{${payloadText(row, payload)}}`
    : payload.byteLength === vhostUserU64.sizeBytes
      ? wordText(code, payload.getBigUint64(0, true))
      : bytesText(payload.byteLength);
  return fdCount > 0 ? `${text}, ${fdsText(fdCount)}` : text;
}

/** A message of the back-end's own. */
export function describeBackendMessage(bytes: Uint8Array): string {
  const { code, flags, payload } = split(bytes);
  const layout = Object.values(B).find((row) => row.code === code)?.payload ?? null;
  const fields =
    layout !== null && payload.byteLength === layout.sizeBytes
      ? fieldsText(layout, payload, 0)
      : bytesText(payload.byteLength);
  const call = `${BACKEND_NAMES.get(code) ?? `unknown ${code}`}(${fields})`;
  return [call, ...flagText((flags & VHOST_USER_NEED_REPLY_MASK) !== 0)].join(', ');
}

/** What came back for one; what is no reply is only counted. */
export function describeBackendReply(bytes: Uint8Array): string {
  if (bytes.length !== vhostUserHeader.sizeBytes + vhostUserU64.sizeBytes) {
    return bytesText(bytes.length);
  }
  const { code, payload } = split(bytes);
  return `${BACKEND_NAMES.get(code) ?? `unknown ${code}`} = ${payload.getBigUint64(0, true)}`;
}

function shortened(name: string): string {
  return name.replace(/^VHOST_USER_/, '');
}

function fdsText(count: number): string {
  return `${count} ${count === 1 ? 'fd' : 'fds'}`;
}

function flagText(needReply: boolean): string[] {
  return needReply ? ['need_reply'] : [];
}

function bytesText(count: number): string {
  return count === 0 ? '' : `${count} bytes`;
}

function wordText(code: number, word: bigint): string {
  const family = BITS_OF.get(code);
  const bits = family === undefined ? [] : namesOfBits(family, word);
  if (bits.length > 0) return `0x${word.toString(16)} ${bits.join('|')}`;
  return word < DECIMAL_BELOW ? String(word) : `0x${word.toString(16)}`;
}

function payloadText(row: MessageRow | null, payload: DataView): string {
  const layout = row?.payload ?? null;
  if (row === null || layout === null || payload.byteLength < layout.sizeBytes) {
    return bytesText(payload.byteLength);
  }
  if (layout === vhostUserU64) return `value=${wordText(row.code, payload.getBigUint64(0, true))}`;
  const fields = fieldsText(layout, payload, 0);
  if (row.tail !== 'regions') return fields;
  const count = payload.getUint32(vhostMemoryHead.at.nregions, true);
  const regions = Array.from({ length: count }, (_, i) => {
    const at = vhostMemoryHead.sizeBytes + i * vhostMemoryRegion.sizeBytes;
    return `{${fieldsText(vhostMemoryRegion, payload, at)}}`;
  });
  return [fields, ...regions].join(', ');
}

/** `name=number` of every field but padding; 64-bit ones are addresses and sizes, in hexadecimal. */
function fieldsText(layout: Layout, view: DataView, from: number): string {
  return Object.entries(layout.fields)
    .filter(([name]) => name !== 'padding')
    .map(([name, [type]]) => {
      const at = from + layout.at[name]!;
      const bytes = fieldSizeBytes(type);
      if (bytes === 8) return `${name}=0x${view.getBigUint64(at, true).toString(16)}`;
      if (bytes === 4) return `${name}=${view.getUint32(at, true)}`;
      return `${name}=${bytes === 2 ? view.getUint16(at, true) : view.getUint8(at)}`;
    })
    .join(', ');
}
