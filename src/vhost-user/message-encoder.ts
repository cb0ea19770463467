/**
 * Replies → bytes. A reply's flags are exactly REPLY and the version: QEMU drops the connection when
 * NEED_REPLY is echoed. Source: vhost-user.rst, "Header".
 */

import { VHOST_USER_REPLY_FLAGS } from '../../protocol/vhost-user.ts';
import { vhostUserHeader, vhostUserU64 } from '../../protocol/vhost-user-payloads.ts';

const HEADER_BYTES = vhostUserHeader.sizeBytes;

/** A reply to `request` with a payload. */
export function encodeReply(request: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(vhostUserHeader.at.request, request, true);
  view.setUint32(vhostUserHeader.at.flags, VHOST_USER_REPLY_FLAGS, true);
  view.setUint32(vhostUserHeader.at.size, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A reply with a 64-bit number: feature words, counts, and acknowledgements (0 = done). */
export function encodeU64Reply(request: number, value: bigint): Uint8Array {
  const payload = new Uint8Array(vhostUserU64.sizeBytes);
  new DataView(payload.buffer).setBigUint64(vhostUserU64.at.value, value, true);
  return encodeReply(request, payload);
}
