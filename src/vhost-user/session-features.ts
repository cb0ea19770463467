/**
 * What a session has negotiated: the driver's virtio features and the connection's protocol features. Which messages
 * and changes that allows is asked here. Source: vhost-user.rst, "Feature bits"; virtio 1.3 §2.2.
 */
import { bitsToWord, namesOfBits } from '../../protocol/layout.ts';
import { vhostUserProtocolFeatures } from '../../protocol/vhost-user.ts';
import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  ringFeatures,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import { hasFeature } from '../blk/features.ts';
import { decodeWord, encodeWord, type SessionState } from '../worker/session-state.ts';
import { ProtocolError } from './protocol-error.ts';
import { PROTOCOL_FEATURES, requireProtocolFeatures } from './protocol-features.ts';

/** What the ring was activated with; it cannot change while a vring runs. */
const RING_LAYOUT_FEATURES = bitsToWord(
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_ACCESS_PLATFORM,
);

type FeatureState = Pick<SessionState, 'features' | 'featuresSet' | 'protocolFeatures'>;

export class SessionFeatures {
  /** The driver's; `set` once SET_FEATURES has come. */
  word = 0n;
  set = false;
  #protocol = 0n;

  /** The driver has acked a virtio feature. */
  has(feature: number): boolean {
    return hasFeature(this.word, feature);
  }

  /** Packed rings have other sizes, alignments and bases. */
  get packed(): boolean {
    return this.has(VIRTIO_F_RING_PACKED);
  }

  /** Both sides have a protocol feature. */
  negotiated(feature: number): boolean {
    return hasFeature(this.#protocol, feature);
  }

  /** Throws a ProtocolError when a message needs a protocol feature that was not negotiated. */
  requireFor(row: MessageRow): void {
    if (row.needs === null || this.negotiated(row.needs)) return;
    const feature = vhostUserProtocolFeatures.nameOf(row.needs);
    throw new ProtocolError(`${row.name} without ${feature} negotiated`);
  }

  /** SET_FEATURES, of which some cannot change while a vring runs. */
  take(acked: bigint, offered: bigint, anyStarted: boolean): void {
    const name = M.SET_FEATURES.name;
    const unoffered = acked & ~offered;
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
    const changed = (acked ^ this.word) & RING_LAYOUT_FEATURES;
    if (changed !== 0n && anyStarted) {
      throw new ProtocolError(`${name}: ring features changed while a vring runs`);
    }
    this.word = acked;
    this.set = true;
  }

  /** SET_PROTOCOL_FEATURES. */
  takeProtocol(acked: bigint): void {
    requireProtocolFeatures(acked);
    this.#protocol = acked;
  }

  /** RESET_DEVICE: the driver starts anew, the connection stays. */
  reset(): void {
    this.word = 0n;
    this.set = false;
  }

  /** For another process. */
  get state(): FeatureState {
    return {
      features: encodeWord(this.word),
      featuresSet: this.set,
      protocolFeatures: encodeWord(this.#protocol),
    };
  }

  /** The same on the other side. null, or why not. */
  adopt(state: FeatureState): string | null {
    this.#protocol = decodeWord(state.protocolFeatures);
    if ((this.#protocol & ~PROTOCOL_FEATURES) !== 0n) {
      return `protocol features ${state.protocolFeatures}: not all are offered here`;
    }
    this.word = decodeWord(state.features);
    this.set = state.featuresSet;
    return null;
  }
}
