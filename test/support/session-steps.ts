/**
 * The usual steps of a recorded session, for tests that make a new one each time: negotiating, setting a
 * vring up, asking for an acknowledgement. `current` says which session is meant at the moment.
 */
import { expect } from 'vitest';
import { bitsToWord } from '../../protocol/layout.ts';
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
} from '../../protocol/vhost-user.ts';
import type { MessageName } from '../../protocol/vhost-user-messages.ts';
import { VHOST_USER_F_PROTOCOL_FEATURES, VIRTIO_F_VERSION_1 } from '../../protocol/virtio-ring.ts';
import type { RecordedSession } from './recording-session-port.ts';
import {
  replyU64,
  requestCode,
  u64Payload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from './vhost-user-messages.ts';

export const ALL_PROTOCOL = bitsToWord(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
);
/** All that is offered: nobody acks the last two without meaning them. */
export const OFFERED_PROTOCOL =
  ALL_PROTOCOL |
  bitsToWord(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES);
export const MODERN = bitsToWord(VIRTIO_F_VERSION_1, VHOST_USER_F_PROTOCOL_FEATURES);
export const REGION = { guestAddress: 0, sizeBytes: 4096, userAddress: 0x7000, mmapOffset: 0 };
export const PLACE = { desc: 0x1000, avail: 0x2000, used: 0x3000 };

export function sessionSteps(current: () => RecordedSession) {
  return {
    /** Acks protocol features and driver features. */
    async negotiate(protocol = ALL_PROTOCOL, features = MODERN): Promise<void> {
      await current().say('SET_PROTOCOL_FEATURES', u64Payload(protocol));
      await current().say('SET_FEATURES', u64Payload(features));
    },

    /** The acknowledgement of a message that asks for one. */
    async statusOf(name: MessageName | number, payload?: Uint8Array, fds = 0): Promise<bigint> {
      const replies = await current().say(name, payload, { fds, needReply: true });
      expect(replies).toHaveLength(1);
      expect(replies[0]).toMatchObject({ request: requestCode(name), flags: 5 });
      return replyU64(replies[0]!);
    },

    /** Everything that a vring needs before its kick. */
    async setUp(index: number, features = MODERN): Promise<void> {
      await current().say('SET_FEATURES', u64Payload(features));
      await current().say('SET_VRING_NUM', vringStatePayload(index, 128));
      await current().say('SET_VRING_BASE', vringStatePayload(index, 7));
      await current().say('SET_VRING_ADDR', vringAddrPayload(index, PLACE));
    },

    async kick(index: number): Promise<void> {
      await current().say('SET_VRING_KICK', vringFdPayload(index, true), { fds: 1 });
    },

    async baseOf(index: number): Promise<number> {
      const [reply] = await current().say('GET_VRING_BASE', vringStatePayload(index, 0));
      expect(reply?.payload.getUint32(0, true)).toBe(index);
      return reply!.payload.getUint32(4, true);
    },

    /** Whether a message is refused, by its acknowledgement. */
    async isRefused(...message: Parameters<RecordedSession['say']>): Promise<boolean> {
      const [request, payload, options] = message;
      const [reply] = await current().say(request, payload, { ...options, needReply: true });
      return replyU64(reply!) !== 0n;
    },
  };
}
