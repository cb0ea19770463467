/**
 * The vrings of a session: the messages that set them up, start and stop them. Started and enabled are
 * two independent bits; geometry is frozen while a ring runs. Source: vhost-user.rst, "Ring states".
 */

import {
  VHOST_USER_VRING_IDX_MASK,
  VHOST_USER_VRING_NOFD_MASK,
  VHOST_VRING_F_LOG,
} from '../../protocol/vhost-user.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import { vhostVringAddr, vhostVringState } from '../../protocol/vhost-user-payloads.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  vringPackedDescEvent,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';
import { invalidVringSize, misalignedVring } from '../virtqueue/vring-config.ts';
import { unseen } from '../worker/messages.ts';
import type { VringStand, VringState } from '../worker/session-state.ts';
import { encodeReply } from './message-encoder.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionFeatures } from './session-features.ts';
import type { SessionInband } from './session-inband.ts';
import type { SessionPort } from './session-port.ts';
import { SessionVring, type VringFd } from './session-vring.ts';
import { SessionVringStart } from './session-vring-start.ts';

export class SessionVrings {
  readonly #port: SessionPort;
  readonly #features: SessionFeatures;
  readonly #inband: SessionInband;
  readonly #vrings: SessionVring[];
  readonly #starter: SessionVringStart;

  constructor(port: SessionPort, features: SessionFeatures, inband: SessionInband) {
    this.#port = port;
    this.#inband = inband;
    this.#features = features;
    this.#starter = new SessionVringStart(port, features, inband);
    this.#vrings = Array.from(
      { length: port.disk.queueCount },
      (_, index) => new SessionVring(index),
    );
  }

  get anyStarted(): boolean {
    return this.#vrings.some((vring) => vring.started);
  }

  /** Another in-flight region: it says what is in flight from here on. */
  forgetDrained(): void {
    for (const vring of this.#vrings) vring.drained = false;
  }

  async enableAll(enabled: boolean): Promise<void> {
    for (const vring of this.#vrings) await this.enable(vring, enabled);
  }

  /** All vrings as they were at first: stopped, disabled, with nothing said of them but their eventfds. */
  async reset(): Promise<void> {
    for (const vring of this.#vrings) {
      if (vring.started) await this.#port.disk.stopVring(vring.index);
      this.#starter.close(vring.replaceFd('kick', -1));
      vring.forget();
    }
  }

  /** Closes every eventfd; the vrings have been stopped. */
  closeFds(): void {
    for (const vring of this.#vrings) {
      for (const which of ['kick', 'call', 'err'] as const)
        this.#starter.close(vring.replaceFd(which, -1));
    }
  }

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

  /** SET_VRING_NUM, BASE, ENABLE and GET_VRING_BASE. The reply's bytes, or null. */
  async state(row: MessageRow, payload: DataView): Promise<Uint8Array | null> {
    const { at } = vhostVringState;
    const vring = this.#vring(row, payload.getUint32(at.index, true));
    const num = payload.getUint32(at.num, true);
    if (row === M.GET_VRING_BASE || row === M.GET_VRING_BASE_SKIP_DRAIN) {
      return this.#getVringBase(row, vring);
    }
    if (row === M.SET_VRING_ENABLE) {
      if (this.#features.set && !this.#features.has(VHOST_USER_F_PROTOCOL_FEATURES)) {
        throw new ProtocolError(`${row.name} without VHOST_USER_F_PROTOCOL_FEATURES negotiated`);
      }
      if (num > 1) throw new ProtocolError(`${row.name}: num=${num}, expected 0 or 1`);
      await this.enable(vring, num === 1);
      return null;
    }
    if (row === M.SET_VRING_NUM) {
      const invalid = invalidVringSize(num, this.#features.packed);
      if (invalid !== null) throw new ProtocolError(`${row.name}: ${invalid}`);
      if (num !== vring.size) this.#refuseRunning(row, vring);
      vring.size = num;
    } else {
      if (num > 0xffff && !this.#features.packed) {
        throw new ProtocolError(`${row.name}: num=${num}, expected at most 65535`);
      }
      this.#refuseRunning(row, vring);
      vring.base = num;
    }
    return null;
  }

  /** Geometry is frozen while a ring runs (CVE-2026-5747). */
  #refuseRunning(row: MessageRow, vring: SessionVring): void {
    if (vring.started) throw new ProtocolError(`${row.name}: vring ${vring.index} is running`);
  }

  /** Guest addresses that logged rings reach up to; 0: there are none. */
  get loggedEnd(): number {
    const logged = this.#vrings.filter(({ logGuestAddress }) => logGuestAddress >= 0);
    const { sizeBytes } = vringPackedDescEvent;
    const ends = logged.map(({ size, logGuestAddress }) => {
      return logGuestAddress + (this.#features.packed ? sizeBytes : vringUsedBytes(size));
    });
    return Math.max(0, ...ends);
  }

  async setAddresses(payload: DataView): Promise<null> {
    const { at } = vhostVringAddr;
    const row = M.SET_VRING_ADDR;
    const vring = this.#vring(row, payload.getUint32(at.index, true));
    const addresses = {
      desc: readAddress(row, payload, at.desc_user_addr),
      avail: readAddress(row, payload, at.avail_user_addr),
      used: readAddress(row, payload, at.used_user_addr),
    };
    const misaligned = misalignedVring(addresses, this.#features.packed);
    if (misaligned !== null) throw new ProtocolError(`${row.name}: ${misaligned}`);
    const old = vring.addresses;
    const same =
      old !== null &&
      old.desc === addresses.desc &&
      old.avail === addresses.avail &&
      old.used === addresses.used;
    // Front-ends send the same addresses again to change the log flag of a running ring.
    if (!same) this.#refuseRunning(row, vring);
    const isLogged = (payload.getUint32(at.flags, true) & (1 << VHOST_VRING_F_LOG)) !== 0;
    vring.addresses = addresses;
    vring.logGuestAddress = isLogged ? readAddress(row, payload, at.log_guest_addr) : -1;
    if (vring.started) await this.#port.disk.setVringLog(vring.index, vring.logGuestAddress);
    return null;
  }

  async enable(vring: SessionVring, enabled: boolean): Promise<void> {
    vring.enabled = enabled;
    if (vring.started) await this.#port.disk.setVringEnabled(vring.index, enabled);
  }

  async #getVringBase(row: MessageRow, vring: SessionVring): Promise<Uint8Array> {
    const suspend = row === M.GET_VRING_BASE_SKIP_DRAIN;
    if (vring.started) {
      const base = await this.#port.disk.stopVring(vring.index, { suspend });
      vring.base = base < 0 ? unseen(base) : base;
      vring.started = false;
      vring.drained = !suspend && base >= 0;
      this.#starter.close(vring.replaceFd('kick', -1));
      this.#starter.close(vring.replaceFd('call', -1));
      vring.named.kick = false;
      vring.named.call = false;
    }
    const payload = new Uint8Array(vhostVringState.sizeBytes);
    const view = new DataView(payload.buffer);
    view.setUint32(vhostVringState.at.index, vring.index, true);
    view.setUint32(vhostVringState.at.num, vring.base, true);
    return encodeReply(row.code, payload);
  }

  /** SET_VRING_KICK, CALL and ERR: takes the fd out of `fds`. */
  async setFd(row: MessageRow, payload: DataView, fds: number[]): Promise<null> {
    const which: VringFd =
      row === M.SET_VRING_KICK ? 'kick' : row === M.SET_VRING_CALL ? 'call' : 'err';
    const word = payload.getBigUint64(0, true);
    const known = BigInt(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD_MASK);
    if ((word & ~known) !== 0n) {
      throw new ProtocolError(`${row.name}: u64=0x${word.toString(16)} has unknown bits`);
    }
    const vring = this.#vring(row, Number(word) & VHOST_USER_VRING_IDX_MASK);
    if (fds.length > 0 && !this.#port.adoptEventfd(fds[0]!)) {
      throw new ProtocolError(`${row.name}: the file descriptor is not an eventfd`);
    }
    const fd = fds.shift() ?? -1;
    const old = vring.replaceFd(which, fd);
    vring.named[which] = true;
    try {
      if (vring.started) await this.#port.disk.setVringFd(vring.index, which, fd);
      else if (which === 'kick') await this.#starter.start(row, vring);
      else if (which === 'call' && fd >= 0) this.#port.disk.signal(fd);
    } finally {
      this.#starter.close(old);
    }
    return null;
  }

  /** VRING_KICK: starts a ring, or kicks it in place of its eventfd. */
  async kick(payload: DataView): Promise<null> {
    const row = M.VRING_KICK;
    const vring = this.#vring(row, payload.getUint32(vhostVringState.at.index, true));
    const num = payload.getUint32(vhostVringState.at.num, true);
    if (num !== 0) throw new ProtocolError(`${row.name}: num=${num}, expected 0`);
    if (!vring.started) {
      this.#starter.close(vring.replaceFd('kick', this.#inband.kickFd()));
      await this.#starter.start(row, vring);
    } else if (vring.fds.kick >= 0) {
      this.#port.disk.signal(vring.fds.kick);
    }
    return null;
  }

  // ── another process takes over ───────────────────────────────────────────────────────────────

  /** What the front-end has said of its vrings; those that it has not named are left out. */
  states(): VringState[] {
    return this.#vrings.map((vring) => vring.state).filter((state) => state !== null);
  }

  /** The same on the other side, which owns the fds from here on. Nothing runs yet. */
  adopt(states: readonly VringState[]): string | null {
    for (const state of states) {
      const vring = this.#vrings[state.index];
      if (vring === undefined) return `vring ${state.index}: there are ${this.#vrings.length}`;
      vring.adopt(state);
    }
    return null;
  }

  /** Starts the vrings that ran, where they stand, without serving them. null, or why not. */
  async startPaused(stands: readonly VringStand[]): Promise<string | null> {
    for (const stand of stands) {
      const refusal = await this.#starter.startPaused(this.#vrings[stand.index], stand);
      if (refusal !== null) return refusal;
    }
    return null;
  }

  /** Serves what `startPaused` has started. */
  async unpause(): Promise<void> {
    await Promise.all(
      this.#vrings
        .filter(({ started, enabled }) => started && enabled)
        .map(({ index }) => this.#port.disk.setVringEnabled(index, true)),
    );
  }
}

function readAddress(row: MessageRow, view: DataView, offset: number): number {
  const address = Number(view.getBigUint64(offset, true));
  if (Number.isSafeInteger(address)) return address;
  throw new ProtocolError(`${row.name}: address=0x${address.toString(16)}, expected below 2^53`);
}
