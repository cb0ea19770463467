/**
 * SET_DEVICE_STATE_FD and CHECK_DEVICE_STATE: the disk's state goes out on a file descriptor or comes in
 * on one, while all vrings are stopped. What goes wrong is answered, as the messages have room for it; what
 * has come in takes effect with the check. Source: vhost-user.rst, "Migrating back-end state".
 */

import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  VHOST_USER_DEVICE_STATE_NOFD_MASK,
  VHOST_USER_TRANSFER_STATE_DIRECTION_LOAD,
  VHOST_USER_TRANSFER_STATE_DIRECTION_SAVE,
  VHOST_USER_TRANSFER_STATE_PHASE_STOPPED,
  vhostTransferState,
} from '../../protocol/vhost-user-payloads.ts';
import { DISK_STATE_BYTES_MAX, decodeDeviceState, encodeDeviceState } from './device-state.ts';
import { encodeU64Reply } from './message-encoder.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionPort } from './session-port.ts';

const FAILED = 1n;

type Transfer =
  | { readonly direction: 'save'; readonly result: Promise<string | null> }
  | { readonly direction: 'load'; readonly result: Promise<Uint8Array | string> };

export class SessionTransfer {
  readonly #port: SessionPort;
  readonly #isSuspended: () => boolean;
  readonly #sayRefused: (error: ProtocolError) => void;
  #transfer: Transfer | null = null;

  constructor(
    port: SessionPort,
    isSuspended: () => boolean,
    sayRefused: (error: ProtocolError) => void,
  ) {
    this.#port = port;
    this.#isSuspended = isSuspended;
    this.#sayRefused = sayRefused;
  }

  /** A transfer has begun and was not checked. */
  get isUnderWay(): boolean {
    return this.#transfer !== null;
  }

  /** Begins a transfer; takes the fd out of `fds`. The front-end's own channel is always good enough. */
  begin(payload: DataView, fds: number[]): Uint8Array {
    const direction = payload.getUint32(vhostTransferState.at.direction, true);
    const phase = payload.getUint32(vhostTransferState.at.phase, true);
    const refusal = this.#refusal(direction, phase);
    if (refusal === null) {
      const fd = fds.shift()!;
      this.#transfer =
        direction === VHOST_USER_TRANSFER_STATE_DIRECTION_SAVE
          ? { direction: 'save', result: this.#port.sendState(fd, this.#encoded()) }
          : { direction: 'load', result: this.#port.receiveState(fd, DISK_STATE_BYTES_MAX) };
    } else this.#refuse(M.SET_DEVICE_STATE_FD, refusal);
    const error = refusal === null ? 0n : FAILED;
    const noFd = BigInt(VHOST_USER_DEVICE_STATE_NOFD_MASK);
    return encodeU64Reply(M.SET_DEVICE_STATE_FD.code, noFd | error);
  }

  #refusal(direction: number, phase: number): string | null {
    if (phase !== VHOST_USER_TRANSFER_STATE_PHASE_STOPPED) return `phase=${phase}, expected 0`;
    if (direction > VHOST_USER_TRANSFER_STATE_DIRECTION_LOAD) {
      return `direction=${direction}, expected 0 or 1`;
    }
    return this.#isSuspended() ? null : 'a vring is running';
  }

  #encoded(): Uint8Array {
    return encodeDeviceState({ writeback: this.#port.disk.writeback });
  }

  /** Answers when it is known how the transfer went; the port bounds the wait. */
  async check(): Promise<Uint8Array> {
    const failure = await this.#end();
    if (failure !== null) this.#refuse(M.CHECK_DEVICE_STATE, failure);
    return encodeU64Reply(M.CHECK_DEVICE_STATE.code, failure === null ? 0n : FAILED);
  }

  async #end(): Promise<string | null> {
    const transfer = this.#transfer;
    this.#transfer = null;
    if (transfer === null) return 'no device state was transferred';
    if (transfer.direction === 'save') return await transfer.result;
    const bytes = await transfer.result;
    const state = typeof bytes === 'string' ? bytes : decodeDeviceState(bytes);
    if (typeof state === 'string') return state;
    if (!this.#isSuspended()) return 'a vring has been started before the check';
    await this.#port.disk.setWriteback(state.writeback);
    return null;
  }

  #refuse(row: { readonly name: string }, reason: string): void {
    this.#sayRefused(new ProtocolError(`${row.name}: ${reason}`));
  }
}
