/**
 * GET_INFLIGHT_FD and SET_INFLIGHT_FD: the memory in which requests in flight are recorded goes to the
 * front-end, and comes back to whoever serves it next.
 * Source: vhost-user.rst, "Inflight description", "Inflight I/O tracking".
 */
import { vhostUserInflight } from '../../protocol/inflight.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  type InflightDescription,
  invalidInflight,
  invalidInflightShape,
} from '../worker/inflight-memory.ts';
import { encodeReply } from './message-encoder.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionDisk } from './session-port.ts';

const { at: AT } = vhostUserInflight;

function readDescription(payload: DataView): InflightDescription {
  return {
    mmapBytes: Number(payload.getBigUint64(AT.mmap_size, true)),
    mmapOffset: Number(payload.getBigUint64(AT.mmap_offset, true)),
    queueCount: payload.getUint16(AT.num_queues, true),
    queueSize: payload.getUint16(AT.queue_size, true),
  };
}

function refuse(row: { readonly name: string }, refusal: string): never {
  throw new ProtocolError(`${row.name}: ${refusal}`);
}

/**
 * Makes a region for the queues that the front-end names. The reply's bytes; the region's fd is added to
 * `fds`. `packed`: which rings the driver uses; null when it has not said yet (QEMU before 5.2).
 */
export function getInflightFd(
  disk: SessionDisk,
  payload: DataView,
  packed: boolean | null,
  fds: number[],
): Uint8Array {
  const row = M.GET_INFLIGHT_FD;
  const { queueCount, queueSize } = readDescription(payload);
  const invalid = invalidInflightShape(queueCount, queueSize, disk.queueCount);
  if (invalid !== null) refuse(row, invalid);
  const made = disk.createInflight(queueCount, queueSize, packed);
  if (typeof made === 'string') refuse(row, made);
  fds.push(made.fd);
  // As long as the request: QEMU's struct has padding behind its fields, others do not.
  const reply = new Uint8Array(payload.byteLength);
  const view = new DataView(reply.buffer);
  view.setBigUint64(AT.mmap_size, BigInt(made.description.mmapBytes), true);
  view.setBigUint64(AT.mmap_offset, BigInt(made.description.mmapOffset), true);
  view.setUint16(AT.num_queues, queueCount, true);
  view.setUint16(AT.queue_size, queueSize, true);
  return encodeReply(row.code, reply);
}

/** Takes a region that a front-end has kept, whoever made it. */
export function setInflightFd(disk: SessionDisk, payload: DataView, fd: number): null {
  const row = M.SET_INFLIGHT_FD;
  const description = readDescription(payload);
  const refusal =
    invalidInflight(description, disk.queueCount) ?? disk.setInflight(description, fd);
  return refusal === null ? null : refuse(row, refusal);
}
