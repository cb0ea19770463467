/**
 * What vloop does with each protocol feature of vhost-user.rst. A bit is offered when its row says
 * `served`: GET_PROTOCOL_FEATURES, the check of SET_PROTOCOL_FEATURES and README's table follow. And which
 * of them need each other.
 */
import { bitsToWord, namesOfBits } from '../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  vhostUserProtocolFeatures,
} from '../../protocol/vhost-user.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  type FeatureTable,
  featureMarkdown,
  offeredWord,
  refused,
  served,
} from '../blk/feature-table.ts';
import { hasFeature } from '../blk/features.ts';
import { ProtocolError } from './protocol-error.ts';

export const protocolFeatureTable: FeatureTable<typeof vhostUserProtocolFeatures> = {
  VHOST_USER_PROTOCOL_F_MQ: served('as many queues as `--num-queues` says, 256 at most'),
  VHOST_USER_PROTOCOL_F_LOG_SHMFD: served('the dirty log of a live migration'),
  VHOST_USER_PROTOCOL_F_RARP: refused('for network devices'),
  VHOST_USER_PROTOCOL_F_REPLY_ACK: served('a status for every message that asks for one'),
  VHOST_USER_PROTOCOL_F_MTU: refused('for network devices'),
  VHOST_USER_PROTOCOL_F_BACKEND_REQ: served(
    'CONFIG_CHANGE_MSG when the backing file was resized, IOTLB misses, in-band calls; replies awaited where REPLY_ACK says so',
  ),
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN: refused('legacy devices only, which vloop does not serve'),
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION: refused('for crypto devices'),
  VHOST_USER_PROTOCOL_F_PAGEFAULT: refused(
    'postcopy needs userfaultfd, a privilege; the specification forbids it beside CONFIGURE_MEM_SLOTS',
  ),
  VHOST_USER_PROTOCOL_F_CONFIG: served('the config space is read, its writeback byte written'),
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD: refused('a disk has no descriptor to send'),
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER: refused('no doorbell page: kicks are eventfds'),
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD: served(
    'requests in flight outlive a killed vloop, split and packed rings',
  ),
  VHOST_USER_PROTOCOL_F_RESET_DEVICE: served(
    'rings stop, features and cache mode go back to the start',
  ),
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS: served(
    'VRING_KICK, VRING_CALL and VRING_ERR in place of eventfds; needs BACKEND_REQ and REPLY_ACK',
  ),
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS: served(
    '512 regions, added and removed while rings run: memory hot-plug',
  ),
  VHOST_USER_PROTOCOL_F_STATUS: served('the device status, kept and answered'),
  VHOST_USER_PROTOCOL_F_XEN_MMAP: refused('for Xen'),
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT: refused('for graphics and media devices'),
  VHOST_USER_PROTOCOL_F_DEVICE_STATE: served('the cache mode, versioned'),
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT: served(
    'GET_VRING_BASE completes what is in flight, which both readings of the text allow',
  ),
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES: served('rings lie at guest-physical addresses'),
  VHOST_USER_PROTOCOL_F_SHMEM: refused('a disk has no shared memory regions'),
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN: served(
    'GET_VRING_BASE_SKIP_DRAIN leaves what is in flight to the in-flight region',
  ),
};

/** What GET_PROTOCOL_FEATURES answers. */
export const PROTOCOL_FEATURES = offeredWord(
  vhostUserProtocolFeatures,
  protocolFeatureTable,
  false,
);

/** README's table. */
export function protocolFeaturesMarkdown(): string {
  const prefix = /^VHOST_USER_PROTOCOL_F_/;
  return featureMarkdown(vhostUserProtocolFeatures, protocolFeatureTable, prefix);
}

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
