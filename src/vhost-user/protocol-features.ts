/**
 * The protocol features of a session: what is offered, and which of them need each other.
 * Source: vhost-user.rst, "Protocol features" and the sections that it names.
 */
import { bitsToWord, namesOfBits } from '../../protocol/layout.ts';
import {
  vhostUserMessages as M,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
  vhostUserProtocolFeatures,
} from '../../protocol/vhost-user.ts';
import { hasFeature } from '../blk/features.ts';
import { ProtocolError } from './protocol-error.ts';

export const PROTOCOL_FEATURES = bitsToWord(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
);

/** Throws a ProtocolError when a word cannot be what SET_PROTOCOL_FEATURES says. */
export function requireProtocolFeatures(acked: bigint): void {
  const unoffered = acked & ~PROTOCOL_FEATURES;
  if (unoffered !== 0n) {
    const bits = namesOfBits(vhostUserProtocolFeatures, unoffered).join(', ');
    throw new ProtocolError(`${M.SET_PROTOCOL_FEATURES.name}: ${bits} not offered`);
  }
  const needed = bitsToWord(
    VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  );
  if (
    hasFeature(acked, VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN) &&
    (acked & needed) !== needed
  ) {
    const bits = namesOfBits(vhostUserProtocolFeatures, needed).join(' and ');
    throw new ProtocolError(
      `${M.SET_PROTOCOL_FEATURES.name}: VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN without ${bits}`,
    );
  }
  const channel = bitsToWord(VHOST_USER_PROTOCOL_F_BACKEND_REQ, VHOST_USER_PROTOCOL_F_REPLY_ACK);
  if (
    hasFeature(acked, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS) &&
    (acked & channel) !== channel
  ) {
    const bits = namesOfBits(vhostUserProtocolFeatures, channel).join(' and ');
    // "The back-end should close the connection": it has no other way of saying so.
    throw new ProtocolError(
      `${M.SET_PROTOCOL_FEATURES.name}: VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS without ${bits}`,
      { fatal: true },
    );
  }
}
