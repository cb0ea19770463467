/**
 * A disk's state as bytes, for the other side of a migration. Content, ring positions and features are
 * moved by others; left over is the one byte that a guest may write. Nothing in a stream is trusted.
 * Source: vhost-user.rst, "Migrating back-end state".
 */
import { DISK_STATE_MAGIC, DISK_STATE_VERSION, diskState } from '../../protocol/device-state.ts';

const { at: AT, sizeBytes: STATE_BYTES } = diskState;

/** No version has more: a stream that goes on is not read to its end. */
export const DISK_STATE_BYTES_MAX = 4096;

export interface DeviceState {
  readonly writeback: boolean;
}

export function encodeDeviceState({ writeback }: DeviceState): Uint8Array {
  const bytes = new Uint8Array(STATE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(AT.magic, DISK_STATE_MAGIC, true);
  view.setUint32(AT.version, DISK_STATE_VERSION, true);
  view.setUint32(AT.size, STATE_BYTES, true);
  view.setUint8(AT.writeback, writeback ? 1 : 0);
  return bytes;
}

/** The state, or a sentence that says why the bytes are none. */
export function decodeDeviceState(bytes: Uint8Array): DeviceState | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < AT.writeback) {
    return `the stream ends after ${bytes.length} bytes, expected ${STATE_BYTES}`;
  }
  const magic = view.getUint32(AT.magic, true);
  const version = view.getUint32(AT.version, true);
  const size = view.getUint32(AT.size, true);
  if (magic !== DISK_STATE_MAGIC) return `magic=0x${magic.toString(16)}: it is not a vloop's`;
  if (version !== DISK_STATE_VERSION) return `version=${version}, expected ${DISK_STATE_VERSION}`;
  if (size !== STATE_BYTES) return `size=${size}, expected ${STATE_BYTES}`;
  if (bytes.length !== size) return `the stream has ${bytes.length} bytes, expected ${size}`;
  const writeback = view.getUint8(AT.writeback);
  if (writeback > 1) return `writeback=${writeback}, expected 0 or 1`;
  return { writeback: writeback === 1 };
}
