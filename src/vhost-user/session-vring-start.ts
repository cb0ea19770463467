/**
 * The start of a session's vring: what has to be known before it can run, the eventfds that it lacks, and what its
 * worker is told. A ring starts at SET_VRING_KICK, or where another process has left it.
 * Source: vhost-user.rst, "Ring states".
 */
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import {
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import type { VringAddresses } from '../virtqueue/vring-config.ts';
import type { VringStart } from '../worker/messages.ts';
import type { VringStand } from '../worker/session-state.ts';
import { ProtocolError } from './protocol-error.ts';
import type { SessionFeatures } from './session-features.ts';
import type { SessionInband } from './session-inband.ts';
import type { SessionPort } from './session-port.ts';
import type { SessionVring } from './session-vring.ts';

export class SessionVringStart {
  readonly #port: SessionPort;
  readonly #features: SessionFeatures;
  readonly #inband: SessionInband;

  constructor(port: SessionPort, features: SessionFeatures, inband: SessionInband) {
    this.#port = port;
    this.#features = features;
    this.#inband = inband;
  }

  /** A ring starts at SET_VRING_KICK itself, not at its first kick. */
  async start(row: MessageRow, vring: SessionVring): Promise<void> {
    const { index, size, addresses, base, enabled } = vring;
    const missing =
      size === 0
        ? 'size'
        : addresses === null
          ? 'addresses'
          : this.#features.has(VIRTIO_F_VERSION_1)
            ? null
            : 'driver with VIRTIO_F_VERSION_1';
    if (missing !== null || addresses === null) {
      this.close(vring.replaceFd('kick', -1));
      throw new ProtocolError(`${row.name}: vring ${index} has no ${missing} yet`);
    }
    this.#standIn(vring);
    const start = this.#startOf(vring, addresses);
    const started = await this.#port.disk.startVring({ ...start, recover: !vring.drained });
    if (typeof started === 'string') {
      this.close(vring.replaceFd('kick', -1));
      throw new ProtocolError(`${row.name}: ${started}`);
    }
    vring.started = true;
    const layout = this.#features.packed ? 'packed' : 'split';
    this.#port.log('debug', { vring: index, layout, size, base, enabled }, 'vring started');
    if (started > 0) {
      this.#port.log(
        'info',
        { vring: index, requests: started },
        'requests in flight taken up again',
      );
    }
  }

  /** Where another process has left it, without serving it. null, or why not. */
  async startPaused(
    vring: SessionVring | undefined,
    { index, base, broken }: VringStand,
  ): Promise<string | null> {
    if (vring === undefined || vring.addresses === null) return `vring ${index} is not set up`;
    vring.base = base;
    const start = this.#startOf(vring, vring.addresses);
    const ready = { ...start, enabled: false, recover: false, broken };
    const started = await this.#port.disk.startVring(ready);
    if (typeof started === 'string') return `vring ${index}: ${started}`;
    vring.started = true;
    return null;
  }

  /** Messages take the place of eventfds that the front-end has said nothing of. */
  #standIn(vring: SessionVring): void {
    if (!this.#inband.negotiated) return;
    for (const which of ['call', 'err'] as const) {
      if (vring.named[which] || vring.fds[which] >= 0) continue;
      vring.fds[which] = this.#inband.standIn(vring.index, which);
    }
  }

  #startOf(vring: SessionVring, addresses: VringAddresses): Omit<VringStart, 'recover'> {
    const { index, size, base, enabled, fds } = vring;
    return {
      index,
      size,
      addresses,
      base,
      enabled,
      packed: this.#features.packed,
      inOrder: this.#features.has(VIRTIO_F_IN_ORDER),
      eventIdx: this.#features.has(VIRTIO_RING_F_EVENT_IDX),
      indirect: this.#features.has(VIRTIO_RING_F_INDIRECT_DESC),
      translated: this.#features.has(VIRTIO_F_ACCESS_PLATFORM),
      kickFd: fds.kick,
      callFd: fds.call,
      errFd: fds.err,
      logGuestAddress: vring.logGuestAddress,
    };
  }

  /** Closes an eventfd of a vring, or one that stands in for it. */
  close(fd: number): void {
    if (fd < 0) return;
    this.#inband.release(fd);
    this.#port.closeFd(fd);
  }
}
