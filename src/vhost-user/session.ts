/**
 * The vhost-user session: one front-end from its first message to its last. A message is handled to
 * its end, draining included, before the next is looked at. Owns every fd it is given; knows sockets
 * and threads only through its port. Source: vhost-user.rst.
 */

import { bitsToWord, namesOfBits } from '../../protocol/layout.ts';
import {
  vhostUserMessages as M,
  type MessageRow,
  requestName,
  VHOST_SET_CONFIG_TYPE_MIGRATION,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_VRING_IDX_MASK,
  VHOST_USER_VRING_NOFD_MASK,
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostSingleMemoryRegion,
  vhostUserConfigHead,
  vhostUserProtocolFeatures,
  vhostVringAddr,
  vhostVringState,
} from '../../protocol/vhost-user.ts';
import { VIRTIO_BLK_F_CONFIG_WCE } from '../../protocol/virtio-blk.ts';
import {
  ringFeatures,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import { isWritebackWrite } from '../blk/config-space.ts';
import { hasFeature } from '../blk/features.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import { invalidVringSize, misalignedVring } from '../virtqueue/vring-config.ts';
import type { Message } from './message-decoder.ts';
import { encodeReply, encodeU64Reply } from './message-encoder.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionPort } from './session-port.ts';
import { SessionVring, type VringFd } from './session-vring.ts';

const PROTOCOL_FEATURES = bitsToWord(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
);

/** What the ring was activated with; it cannot change while a vring runs. */
const RING_LAYOUT_FEATURES = bitsToWord(VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX);

/** The status of a message that was refused, in a reply that was asked for. */
const NACK = 1n;

export class Session {
  readonly #port: SessionPort;
  readonly #vrings: SessionVring[];
  #features = 0n;
  #featuresSet = false;
  #protocolFeatures = 0n;
  /** Socket for messages of the back-end; held, and closed with the session. */
  #backendReqFd = -1;

  constructor(port: SessionPort) {
    this.#port = port;
    this.#vrings = Array.from(
      { length: port.disk.queueCount },
      (_, index) => new SessionVring(index),
    );
  }

  /**
   * Handles one message; takes its fds. Rejects with a ProtocolError when the session cannot go on:
   * the front-end broke the protocol in a way that it did not ask to be told about.
   */
  async handle(message: Message): Promise<void> {
    const { row, needReply } = message;
    const acks = needReply && hasFeature(this.#protocolFeatures, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    try {
      if (row === null) throw new ProtocolError(`${requestName(message.request)} is not served`);
      this.#requireFeature(row);
      const reply = await this.#dispatch(row, message);
      if (reply !== null) this.#port.send(reply);
      else if (acks) this.#port.send(encodeU64Reply(row.code, 0n));
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.fatal) throw error;
      this.#port.log('warn', { error: error.message }, 'front-end message refused');
      // A message that vloop does not know and nobody waits for is skipped: its size is known.
      if (row === null && !acks) return;
      if (!acks || row?.reply === 'payload') throw error;
      this.#port.send(encodeU64Reply(message.request, NACK));
    } finally {
      for (const fd of message.fds.splice(0)) this.#port.closeFd(fd);
    }
  }

  /** The front-end has gone: stops everything, closes every fd. */
  async end(): Promise<void> {
    await this.#port.disk.reset();
    for (const vring of this.#vrings) {
      for (const which of ['kick', 'call', 'err'] as const) this.#close(vring.replaceFd(which, -1));
    }
    this.#close(this.#backendReqFd);
    this.#backendReqFd = -1;
  }

  #close(fd: number): void {
    if (fd >= 0) this.#port.closeFd(fd);
  }

  #requireFeature(row: MessageRow): void {
    if (row.needs === null || hasFeature(this.#protocolFeatures, row.needs)) return;
    const feature = vhostUserProtocolFeatures.nameOf(row.needs);
    throw new ProtocolError(`${row.name} without ${feature} negotiated`);
  }

  /** Carries a message out. The reply's bytes, or null when an acknowledgement is all there is. */
  async #dispatch(row: MessageRow, message: Message): Promise<Uint8Array | null> {
    const { disk } = this.#port;
    const { payload, fds } = message;
    const number = (value: number | bigint) => encodeU64Reply(row.code, BigInt(value));
    switch (row) {
      case M.GET_FEATURES:
        return number(disk.features);
      case M.SET_FEATURES:
        return this.#setFeatures(payload.getBigUint64(0, true));
      case M.GET_PROTOCOL_FEATURES:
        return number(PROTOCOL_FEATURES);
      case M.SET_PROTOCOL_FEATURES:
        return this.#setProtocolFeatures(payload.getBigUint64(0, true));
      case M.SET_OWNER:
        return null;
      case M.RESET_OWNER:
        return this.#resetOwner();
      case M.GET_QUEUE_NUM:
        return number(disk.queueCount);
      case M.GET_MAX_MEM_SLOTS:
        return number(disk.memorySlotCount);
      case M.SET_MEM_TABLE:
        return this.#setMemTable(payload, fds);
      case M.ADD_MEM_REG:
        return this.#refuse(row, await disk.addRegion(singleRegion(payload), fds[0]!));
      case M.REM_MEM_REG:
        return this.#refuse(row, await disk.removeRegion(singleRegion(payload)));
      case M.SET_VRING_NUM:
      case M.SET_VRING_BASE:
      case M.SET_VRING_ENABLE:
      case M.GET_VRING_BASE:
        return this.#vringState(row, payload);
      case M.SET_VRING_ADDR:
        return this.#setVringAddr(payload);
      case M.SET_VRING_KICK:
        return this.#setVringFd(row, 'kick', payload, fds);
      case M.SET_VRING_CALL:
        return this.#setVringFd(row, 'call', payload, fds);
      case M.SET_VRING_ERR:
        return this.#setVringFd(row, 'err', payload, fds);
      case M.GET_CONFIG:
        return this.#getConfig(payload);
      case M.SET_CONFIG:
        return this.#setConfig(payload);
      case M.SET_BACKEND_REQ_FD:
        this.#close(this.#backendReqFd);
        this.#backendReqFd = fds.shift()!;
        return null;
      default:
        throw new ProtocolError(`${row.name} is not served`);
    }
  }

  #refuse(row: MessageRow, refusal: string | null): null {
    if (refusal !== null) throw new ProtocolError(`${row.name}: ${refusal}`);
    return null;
  }

  // ── features ─────────────────────────────────────────────────────────────────────────────────

  async #setFeatures(acked: bigint): Promise<null> {
    const { disk } = this.#port;
    const name = M.SET_FEATURES.name;
    const unoffered = acked & ~disk.features;
    if (unoffered !== 0n) {
      const bits = namesOfBits(ringFeatures, unoffered).join(', ');
      throw new ProtocolError(`${name}: features=0x${acked.toString(16)} has ${bits}, not offered`);
    }
    // QEMU sends an empty word when it resets; only a driver that starts has to be a modern one.
    if (acked !== 0n && !hasFeature(acked, VIRTIO_F_VERSION_1)) {
      throw new ProtocolError(
        `${name}: features=0x${acked.toString(16)} lacks VIRTIO_F_VERSION_1: a legacy driver, which vloop does not serve (give the device disable-legacy=on)`,
        { fatal: true },
      );
    }
    const changed = (acked ^ this.#features) & RING_LAYOUT_FEATURES;
    if (changed !== 0n && this.#vrings.some((vring) => vring.started)) {
      throw new ProtocolError(`${name}: ring features changed while a vring runs`);
    }
    this.#features = acked;
    this.#featuresSet = true;
    await disk.setFeatures(acked);
    // Without protocol features there is no SET_VRING_ENABLE: every ring is enabled at once.
    if (!hasFeature(acked, VHOST_USER_F_PROTOCOL_FEATURES)) {
      for (const vring of this.#vrings) await this.#enable(vring, true);
    }
    return null;
  }

  #setProtocolFeatures(acked: bigint): null {
    const unoffered = acked & ~PROTOCOL_FEATURES;
    if (unoffered !== 0n) {
      const bits = namesOfBits(vhostUserProtocolFeatures, unoffered).join(', ');
      throw new ProtocolError(`${M.SET_PROTOCOL_FEATURES.name}: ${bits} not offered`);
    }
    this.#protocolFeatures = acked;
    return null;
  }

  /** Deprecated: "disable all rings", and keep the connection's state. */
  async #resetOwner(): Promise<null> {
    for (const vring of this.#vrings) await this.#enable(vring, false);
    return null;
  }

  // ── memory ───────────────────────────────────────────────────────────────────────────────────

  async #setMemTable(payload: DataView, fds: readonly number[]): Promise<null> {
    const count = payload.getUint32(vhostMemoryHead.at.nregions, true);
    const regions = Array.from({ length: count }, (_, i) => {
      const at = vhostMemoryHead.sizeBytes + i * vhostMemoryRegion.sizeBytes;
      return { region: readRegion(payload, at, vhostMemoryRegion.at), fd: fds[i]! };
    });
    return this.#refuse(M.SET_MEM_TABLE, await this.#port.disk.replaceRegions(regions));
  }

  // ── vrings ───────────────────────────────────────────────────────────────────────────────────

  /** The index is checked at its full width, before anything narrows it (CVE-2020-10723). */
  #vring(row: MessageRow, index: number): SessionVring {
    const vring = this.#vrings[index];
    if (vring === undefined) {
      throw new ProtocolError(
        `${row.name}: index=${index}, expected less than ${this.#vrings.length}`,
      );
    }
    return vring;
  }

  async #vringState(row: MessageRow, payload: DataView): Promise<Uint8Array | null> {
    const { at } = vhostVringState;
    const vring = this.#vring(row, payload.getUint32(at.index, true));
    const num = payload.getUint32(at.num, true);
    if (row === M.GET_VRING_BASE) return this.#getVringBase(vring);
    if (row === M.SET_VRING_ENABLE) {
      if (this.#featuresSet && !hasFeature(this.#features, VHOST_USER_F_PROTOCOL_FEATURES)) {
        throw new ProtocolError(`${row.name} without VHOST_USER_F_PROTOCOL_FEATURES negotiated`);
      }
      if (num > 1) throw new ProtocolError(`${row.name}: num=${num}, expected 0 or 1`);
      await this.#enable(vring, num === 1);
      return null;
    }
    if (row === M.SET_VRING_NUM) {
      const invalid = invalidVringSize(num);
      if (invalid !== null) throw new ProtocolError(`${row.name}: ${invalid}`);
      if (num !== vring.size) this.#refuseRunning(row, vring);
      vring.size = num;
    } else {
      if (num > 0xffff) throw new ProtocolError(`${row.name}: num=${num}, expected at most 65535`);
      this.#refuseRunning(row, vring);
      vring.base = num;
    }
    return null;
  }

  /** Geometry is frozen while a ring runs (CVE-2026-5747). */
  #refuseRunning(row: MessageRow, vring: SessionVring): void {
    if (vring.started) throw new ProtocolError(`${row.name}: vring ${vring.index} is running`);
  }

  #setVringAddr(payload: DataView): null {
    const { at } = vhostVringAddr;
    const row = M.SET_VRING_ADDR;
    const vring = this.#vring(row, payload.getUint32(at.index, true));
    const addresses = {
      desc: readAddress(row, payload, at.desc_user_addr),
      avail: readAddress(row, payload, at.avail_user_addr),
      used: readAddress(row, payload, at.used_user_addr),
    };
    const misaligned = misalignedVring(addresses);
    if (misaligned !== null) throw new ProtocolError(`${row.name}: ${misaligned}`);
    const old = vring.addresses;
    const same =
      old !== null &&
      old.desc === addresses.desc &&
      old.avail === addresses.avail &&
      old.used === addresses.used;
    // Front-ends send the same addresses again to change the log flag of a running ring.
    if (!same) this.#refuseRunning(row, vring);
    vring.addresses = addresses;
    return null;
  }

  async #enable(vring: SessionVring, enabled: boolean): Promise<void> {
    vring.enabled = enabled;
    if (vring.started) await this.#port.disk.setVringEnabled(vring.index, enabled);
  }

  async #getVringBase(vring: SessionVring): Promise<Uint8Array> {
    if (vring.started) {
      vring.base = await this.#port.disk.stopVring(vring.index);
      vring.started = false;
      this.#close(vring.replaceFd('kick', -1));
      this.#close(vring.replaceFd('call', -1));
    }
    const payload = new Uint8Array(vhostVringState.sizeBytes);
    const view = new DataView(payload.buffer);
    view.setUint32(vhostVringState.at.index, vring.index, true);
    view.setUint32(vhostVringState.at.num, vring.base, true);
    return encodeReply(M.GET_VRING_BASE.code, payload);
  }

  async #setVringFd(
    row: MessageRow,
    which: VringFd,
    payload: DataView,
    fds: number[],
  ): Promise<null> {
    const word = payload.getBigUint64(0, true);
    const known = BigInt(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD_MASK);
    if ((word & ~known) !== 0n) {
      throw new ProtocolError(`${row.name}: u64=0x${word.toString(16)} has unknown bits`);
    }
    const vring = this.#vring(row, Number(word) & VHOST_USER_VRING_IDX_MASK);
    const fd = fds.shift() ?? -1;
    const old = vring.replaceFd(which, fd);
    try {
      if (vring.started) await this.#port.disk.setVringFd(vring.index, which, fd);
      else if (which === 'kick') await this.#startVring(row, vring);
      else if (which === 'call' && fd >= 0) this.#port.disk.signal(fd);
    } finally {
      this.#close(old);
    }
    return null;
  }

  /** A ring starts at SET_VRING_KICK itself, not at its first kick. */
  async #startVring(row: MessageRow, vring: SessionVring): Promise<void> {
    const { index, size, addresses, base, enabled, fds } = vring;
    const missing =
      size === 0
        ? 'size'
        : addresses === null
          ? 'addresses'
          : this.#featuresSet
            ? null
            : 'features';
    if (missing !== null || addresses === null) {
      this.#close(vring.replaceFd('kick', -1));
      throw new ProtocolError(`${row.name}: vring ${index} has no ${missing} yet`);
    }
    const refusal = await this.#port.disk.startVring({
      index,
      size,
      addresses,
      base,
      enabled,
      eventIdx: hasFeature(this.#features, VIRTIO_RING_F_EVENT_IDX),
      indirect: hasFeature(this.#features, VIRTIO_RING_F_INDIRECT_DESC),
      kickFd: fds.kick,
      callFd: fds.call,
      errFd: fds.err,
    });
    if (refusal !== null) this.#close(vring.replaceFd('kick', -1));
    this.#refuse(row, refusal);
    vring.started = true;
    this.#port.log('debug', { vring: index, size, base, enabled }, 'vring started');
  }

  // ── config space ─────────────────────────────────────────────────────────────────────────────

  /** The reply's payload is as long as the request's; size 0 says that the range is not there. */
  #getConfig(payload: DataView): Uint8Array {
    const { at, sizeBytes: headBytes } = vhostUserConfigHead;
    const offset = payload.getUint32(at.offset, true);
    const size = payload.getUint32(at.size, true);
    const config = this.#port.disk.configSpace();
    const reply = new Uint8Array(payload.byteLength);
    const view = new DataView(reply.buffer);
    view.setUint32(at.offset, offset, true);
    view.setUint32(at.flags, payload.getUint32(at.flags, true), true);
    if (size === 0 || offset + size > config.length) {
      this.#port.log('warn', { offset, size }, 'front-end reads past the config space');
      return encodeReply(M.GET_CONFIG.code, reply.subarray(0, headBytes));
    }
    view.setUint32(at.size, size, true);
    reply.set(config.subarray(offset, offset + size), headBytes);
    return encodeReply(M.GET_CONFIG.code, reply);
  }

  async #setConfig(payload: DataView): Promise<null> {
    const { at, sizeBytes: headBytes } = vhostUserConfigHead;
    const row = M.SET_CONFIG;
    const offset = payload.getUint32(at.offset, true);
    const size = payload.getUint32(at.size, true);
    const flags = payload.getUint32(at.flags, true);
    if (!isWritebackWrite(offset, size)) {
      throw new ProtocolError(
        `${row.name}: offset=${offset} size=${size}: only writeback is writable`,
      );
    }
    if (flags > VHOST_SET_CONFIG_TYPE_MIGRATION) {
      throw new ProtocolError(`${row.name}: flags=${flags}, expected 0 or 1`);
    }
    if (this.#featuresSet && !hasFeature(this.#features, VIRTIO_BLK_F_CONFIG_WCE)) {
      throw new ProtocolError(`${row.name}: writeback without VIRTIO_BLK_F_CONFIG_WCE negotiated`);
    }
    const value = payload.getUint8(headBytes);
    if (value > 1) throw new ProtocolError(`${row.name}: writeback=${value}, expected 0 or 1`);
    await this.#port.disk.setWriteback(value === 1);
    return null;
  }
}

type RegionOffsets = Readonly<Record<'guest_addr' | 'size' | 'user_addr' | 'mmap_offset', number>>;

/** 64-bit numbers become Numbers; those above 2^53 are inexact and refused by `invalidRegion`. */
function readRegion(view: DataView, base: number, at: RegionOffsets): RegionDescription {
  const u64 = (offset: number) => Number(view.getBigUint64(base + offset, true));
  return {
    guestAddress: u64(at.guest_addr),
    sizeBytes: u64(at.size),
    userAddress: u64(at.user_addr),
    mmapOffset: u64(at.mmap_offset),
  };
}

function singleRegion(payload: DataView): RegionDescription {
  return readRegion(payload, 0, vhostSingleMemoryRegion.at);
}

function readAddress(row: MessageRow, view: DataView, offset: number): number {
  const address = Number(view.getBigUint64(offset, true));
  if (Number.isSafeInteger(address)) return address;
  throw new ProtocolError(`${row.name}: address=0x${address.toString(16)}, expected below 2^53`);
}
