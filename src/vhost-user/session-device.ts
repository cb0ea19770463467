/**
 * The messages about a device as a whole: its config space, its status, its reset, and its state for the other side
 * of a migration. Source: vhost-user.rst, VHOST_USER_GET_CONFIG, SET_STATUS, RESET_DEVICE, SET_DEVICE_STATE_FD.
 */
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import { VIRTIO_BLK_F_CONFIG_WCE } from '../../protocol/virtio-blk.ts';
import { readConfigRange, writtenWriteback } from './config-messages.ts';
import type { Message } from './message-decoder.ts';
import { encodeReply, encodeU64Reply } from './message-encoder.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionFeatures } from './session-features.ts';
import type { SessionPort } from './session-port.ts';
import { SessionTransfer } from './session-transfer.ts';
import type { SessionVrings } from './session-vrings.ts';

export class SessionDevice {
  readonly #port: SessionPort;
  readonly #vrings: SessionVrings;
  readonly #features: SessionFeatures;
  readonly #transfer: SessionTransfer;
  /** The virtio device status, as the front-end has told it last. */
  status = 0n;

  constructor(
    port: SessionPort,
    vrings: SessionVrings,
    features: SessionFeatures,
    sayRefused: (error: ProtocolError) => void,
  ) {
    this.#port = port;
    this.#vrings = vrings;
    this.#features = features;
    this.#transfer = new SessionTransfer(port, () => !vrings.anyStarted, sayRefused);
  }

  /** Why another process cannot take over at this moment, or null. */
  get pinned(): string | null {
    return this.#transfer.isUnderWay ? 'its device state is being transferred' : null;
  }

  /** Carries a message out. The reply's bytes, or null when an acknowledgement is all there is. */
  async handle(row: MessageRow, { payload, fds }: Message): Promise<Uint8Array | null> {
    switch (row) {
      case M.GET_CONFIG:
        return encodeReply(row.code, readConfigRange(payload, this.#port.disk.configSpace()));
      case M.SET_CONFIG:
        return this.#setConfig(payload);
      case M.SET_DEVICE_STATE_FD:
        return this.#transfer.begin(payload, fds);
      case M.CHECK_DEVICE_STATE:
        return await this.#transfer.check();
      case M.SET_STATUS:
        return this.#setStatus(payload.getBigUint64(0, true));
      case M.GET_STATUS:
        return encodeU64Reply(row.code, this.status);
      case M.RESET_DEVICE:
        return await this.#reset();
      default:
        throw new ProtocolError(`${row.name} is not served`);
    }
  }

  async #setConfig(payload: DataView): Promise<null> {
    const writeback = writtenWriteback(payload);
    if (this.#features.set && !this.#features.has(VIRTIO_BLK_F_CONFIG_WCE)) {
      const { name } = M.SET_CONFIG;
      throw new ProtocolError(`${name}: writeback without VIRTIO_BLK_F_CONFIG_WCE negotiated`);
    }
    await this.#port.disk.setWriteback(writeback);
    return null;
  }

  /**
   * Only taken note of, a 0 as well: QEMU 7.2 sends it before GET_VRING_BASE, and every QEMU whenever the
   * machine stops. Whoever wants a reset sends RESET_DEVICE.
   */
  #setStatus(status: bigint): null {
    if (status > 0xffn) {
      throw new ProtocolError(
        `${M.SET_STATUS.name}: u64=0x${status.toString(16)}, expected a byte`,
      );
    }
    this.status = status;
    return null;
  }

  /** Rings, features, cache mode and status; memory, eventfds and the connection's features stay. */
  async #reset(): Promise<null> {
    const { disk } = this.#port;
    await this.#vrings.reset();
    this.#features.reset();
    this.status = 0n;
    await disk.setFeatures(0n);
    await disk.setWriteback(true);
    return null;
  }
}
