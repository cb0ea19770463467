/**
 * The vhost-user session: one front-end from its first message to its last. A message is handled to
 * its end, draining included, before the next is looked at. Owns every fd it is given; knows sockets
 * and threads only through its port. Source: vhost-user.rst.
 */

import {
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
} from '../../protocol/vhost-user.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { vhostUserMessages as M, requestName } from '../../protocol/vhost-user-messages.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_ACCESS_PLATFORM,
} from '../../protocol/virtio-ring.ts';
import { hasFeature } from '../blk/features.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import {
  decodeWord,
  encodeWord,
  type SessionState,
  type VringStand,
} from '../worker/session-state.ts';
import { getInflightFd, setInflightFd } from './inflight-messages.ts';
import type { Message } from './message-decoder.ts';
import { encodeU64Reply } from './message-encoder.ts';
import { ProtocolError, refuseWith } from './protocol-error.ts';
import { PROTOCOL_FEATURES } from './protocol-features.ts';
import { singleRegion, tableRegions } from './region-messages.ts';
import { SessionChannel } from './session-channel.ts';
import { SessionDevice } from './session-device.ts';
import { SessionFeatures } from './session-features.ts';
import { SessionInband } from './session-inband.ts';
import { SessionIotlb } from './session-iotlb.ts';
import { SessionLog } from './session-log.ts';
import type { SessionPort } from './session-port.ts';
import { SessionVrings } from './session-vrings.ts';

/** The status of a message that was refused, in a reply that was asked for. */
const NACK = 1n;

export class Session {
  readonly #port: SessionPort;
  readonly #features = new SessionFeatures();
  readonly #vrings: SessionVrings;
  readonly #log: SessionLog;
  readonly #iotlb: SessionIotlb;
  readonly #channel: SessionChannel;
  readonly #inband: SessionInband;
  readonly #device: SessionDevice;

  constructor(port: SessionPort) {
    this.#port = port;
    const negotiated = (feature: number) => this.#features.negotiated(feature);
    this.#inband = new SessionInband(
      port,
      () => this.#channel.current,
      () => negotiated(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS),
    );
    this.#vrings = new SessionVrings(port, this.#features, this.#inband);
    this.#log = new SessionLog(port, this.#vrings);
    this.#channel = new SessionChannel(port, negotiated, () => !this.#vrings.anyStarted);
    this.#iotlb = new SessionIotlb(port, () => this.#channel.current);
    this.#device = new SessionDevice(port, this.#vrings, this.#features, (error) =>
      this.#sayRefused(error),
    );
  }

  /**
   * Handles one message; takes its fds. Rejects with a ProtocolError when the session cannot go on:
   * the front-end broke the protocol in a way that it did not ask to be told about.
   */
  async handle(message: Message): Promise<void> {
    const { row, needReply } = message;
    const acks = needReply && this.#features.negotiated(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    try {
      if (row === null) throw new ProtocolError(`${requestName(message.request)} is not served`);
      this.#features.requireFor(row);
      const reply = await this.#dispatch(row, message);
      this.#channel.announceConfig();
      if (reply !== null) this.#port.send(reply, row.replyFd ? message.fds : []);
      else if (acks) this.#port.send(encodeU64Reply(row.code, 0n));
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.fatal) throw error;
      this.#sayRefused(error);
      // A message that vloop does not know and nobody waits for is skipped: its size is known.
      if (row === null && !acks) return;
      if (!acks || row?.reply === 'payload') throw error;
      this.#port.send(encodeU64Reply(message.request, NACK));
    } finally {
      for (const fd of message.fds.splice(0)) this.#port.closeFd(fd);
    }
  }

  #sayRefused(error: ProtocolError): void {
    this.#port.log('warn', { error: error.message }, 'front-end message refused');
  }

  /** The front-end has gone: stops everything, closes every fd. */
  async end(): Promise<void> {
    this.#iotlb.end();
    await this.#port.disk.reset();
    this.#vrings.closeFds();
    this.#log.closeFds();
    this.#channel.close();
  }

  /** The front-end is told, when a vring runs: a suspended device sends nothing. */
  configChanged(): void {
    this.#channel.configChanged();
  }

  // ── another process takes over ───────────────────────────────────────────────────────────────

  /** Why another process cannot take over at this moment, or null. Between messages only. */
  get pinned(): string | null {
    if (this.#inband.inUse) return 'it has in-band notifications';
    if (this.#device.pinned !== null) return this.#device.pinned;
    return this.#channel.isWaiting ? 'a message of the back-end is unanswered' : null;
  }

  /** Asks the front-end for nothing more, until it may again: what has been asked is still answered. */
  quiesce(quiet: boolean): void {
    this.#iotlb.quiet = quiet;
  }

  /** All there is of the session; the fds stay its own. */
  state(): SessionState {
    return {
      ...this.#features.state,
      status: encodeWord(this.#device.status),
      configStale: this.#channel.configStale,
      channelFd: this.#channel.fd,
      logEventFd: this.#log.eventFd,
      vrings: this.#vrings.states(),
    };
  }

  /** The same on the other side, for a new session that owns the fds from here on. null, or why not. */
  async adopt(state: SessionState): Promise<string | null> {
    const refusal = this.#features.adopt(state);
    if (refusal !== null) return refusal;
    this.#device.status = decodeWord(state.status);
    this.#channel.configStale = state.configStale;
    if (state.logEventFd >= 0) await this.#log.adopt(state.logEventFd);
    if (state.channelFd >= 0) this.#channel.set([state.channelFd]);
    return this.#vrings.adopt(state.vrings);
  }

  /** Starts the vrings that ran, without serving them. null, or why not. */
  async startPaused(stands: readonly VringStand[]): Promise<string | null> {
    return await this.#vrings.startPaused(stands);
  }

  /** Serves what `startPaused` has started. */
  async unpause(): Promise<void> {
    await this.#vrings.unpause();
    this.#channel.announceConfig();
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────

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
        return refuseWith(row, await disk.addRegion(this.#region(row, payload), fds[0]!));
      case M.REM_MEM_REG:
        return refuseWith(row, await disk.removeRegion(this.#region(row, payload)));
      case M.SET_VRING_NUM:
      case M.SET_VRING_BASE:
      case M.SET_VRING_ENABLE:
      case M.GET_VRING_BASE:
      case M.GET_VRING_BASE_SKIP_DRAIN:
        return this.#vrings.state(row, payload);
      case M.SET_VRING_ADDR:
        return this.#vrings.setAddresses(payload);
      case M.SET_VRING_KICK:
      case M.SET_VRING_CALL:
      case M.SET_VRING_ERR:
        return this.#vrings.setFd(row, payload, fds);
      case M.GET_INFLIGHT_FD:
      case M.SET_INFLIGHT_FD:
        return this.#inflight(row, payload, fds);
      case M.SET_LOG_BASE:
        return this.#log.setBase(payload, fds[0]!);
      case M.SET_LOG_FD:
        return this.#log.setEventFd(fds);
      case M.VRING_KICK:
        return this.#vrings.kick(payload);
      case M.IOTLB_MSG:
        return this.#iotlbMessage(row, payload);
      case M.SET_BACKEND_REQ_FD:
        return this.#channel.set(fds);
      default:
        return this.#device.handle(row, message);
    }
  }

  // ── features ─────────────────────────────────────────────────────────────────────────────────

  async #setFeatures(acked: bigint): Promise<null> {
    const { disk } = this.#port;
    this.#features.take(acked, disk.features, this.#vrings.anyStarted);
    await disk.setFeatures(acked);
    // Without protocol features there is no SET_VRING_ENABLE: every ring is enabled at once.
    if (!hasFeature(acked, VHOST_USER_F_PROTOCOL_FEATURES)) {
      await this.#vrings.enableAll(true);
    }
    return null;
  }

  #setProtocolFeatures(acked: bigint): null {
    this.#features.takeProtocol(acked);
    return null;
  }

  /** The region cannot change under a running vring. */
  #inflight(row: MessageRow, payload: DataView, fds: number[]): Uint8Array | null {
    if (this.#vrings.anyStarted) throw new ProtocolError(`${row.name}: a vring is running`);
    this.#vrings.forgetDrained();
    const { disk } = this.#port;
    if (row === M.SET_INFLIGHT_FD) return setInflightFd(disk, payload, fds[0]!);
    const packed = this.#features.set ? this.#features.packed : null;
    return getInflightFd(disk, payload, packed, fds);
  }

  /** Deprecated: "disable all rings", and keep the connection's state. */
  async #resetOwner(): Promise<null> {
    await this.#vrings.enableAll(false);
    return null;
  }

  /** Always answered, with a status (vhost-user.rst, "IOMMU support"); a lie ends nothing. */
  async #iotlbMessage(row: MessageRow, payload: DataView): Promise<Uint8Array> {
    try {
      if (!this.#features.has(VIRTIO_F_ACCESS_PLATFORM)) {
        throw new ProtocolError(`${row.name} without VIRTIO_F_ACCESS_PLATFORM negotiated`);
      }
      await this.#iotlb.take(payload);
      return encodeU64Reply(row.code, 0n);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#sayRefused(error);
      return encodeU64Reply(row.code, NACK);
    }
  }

  // ── memory ───────────────────────────────────────────────────────────────────────────────────

  get #guestAddressed(): boolean {
    return this.#features.negotiated(VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
  }

  #region(row: MessageRow, payload: DataView): RegionDescription {
    return singleRegion(row, payload, this.#guestAddressed);
  }

  async #setMemTable(payload: DataView, fds: readonly number[]): Promise<null> {
    const regions = tableRegions(payload, this.#guestAddressed);
    const withFds = regions.map((region, i) => ({ region, fd: fds[i]! }));
    return refuseWith(M.SET_MEM_TABLE, await this.#port.disk.replaceRegions(withFds));
  }
}
