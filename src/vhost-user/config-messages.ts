/**
 * GET_CONFIG and SET_CONFIG: ranges of the config space, of which a driver may write one byte.
 * Source: vhost-user.rst, "Virtio device config space"; virtio 1.3 §5.2.5.2.
 */

import { VHOST_SET_CONFIG_TYPE_MIGRATION } from '../../protocol/vhost-user.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import { vhostUserConfigHead } from '../../protocol/vhost-user-payloads.ts';
import { isWritebackWrite } from '../blk/config-space.ts';
import { ProtocolError } from './protocol-error.ts';

const { at: AT, sizeBytes: HEAD_BYTES } = vhostUserConfigHead;

/**
 * The reply's payload, as long as the request's. A range that the config space does not have is
 * answered with size 0 and no bytes, which is how the protocol says so.
 */
export function readConfigRange(payload: DataView, config: Uint8Array): Uint8Array {
  const offset = payload.getUint32(AT.offset, true);
  const size = payload.getUint32(AT.size, true);
  const reply = new Uint8Array(payload.byteLength);
  const view = new DataView(reply.buffer);
  view.setUint32(AT.offset, offset, true);
  view.setUint32(AT.flags, payload.getUint32(AT.flags, true), true);
  if (size === 0 || offset + size > config.length) return reply.subarray(0, HEAD_BYTES);
  view.setUint32(AT.size, size, true);
  reply.set(config.subarray(offset, offset + size), HEAD_BYTES);
  return reply;
}

/** The writeback byte that SET_CONFIG writes. Throws ProtocolError for anything else. */
export function writtenWriteback(payload: DataView): boolean {
  const { name } = M.SET_CONFIG;
  const offset = payload.getUint32(AT.offset, true);
  const size = payload.getUint32(AT.size, true);
  const flags = payload.getUint32(AT.flags, true);
  if (!isWritebackWrite(offset, size)) {
    throw new ProtocolError(`${name}: offset=${offset} size=${size}: only writeback is writable`);
  }
  if (flags > VHOST_SET_CONFIG_TYPE_MIGRATION) {
    throw new ProtocolError(`${name}: flags=${flags}, expected 0 or 1`);
  }
  const value = payload.getUint8(HEAD_BYTES);
  if (value > 1) throw new ProtocolError(`${name}: writeback=${value}, expected 0 or 1`);
  return value === 1;
}
