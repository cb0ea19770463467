/**
 * The message table of the vhost-user protocol (front-end messages 1–45), from which the decoder's size, fd
 * and feature checks, the session's dispatch and the documentation derive.
 * Source: QEMU docs/interop/vhost-user.rst, "Front-end message types". Data only.
 */
import { vhostUserInflight } from './inflight.ts';
import { codes } from './layout.ts';
import {
  VHOST_MEMORY_BASELINE_NREGIONS,
  VHOST_USER_MAX_CONFIG_SIZE,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
} from './vhost-user.ts';
import { type MessageRow, row } from './vhost-user-message-row.ts';
import {
  vhostIotlbMsg,
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostSingleMemoryRegion,
  vhostTransferState,
  vhostUserConfigHead,
  vhostUserLog,
  vhostUserU64,
  vhostVringAddr,
  vhostVringState,
} from './vhost-user-payloads.ts';

const SOURCE = 'vhost-user.rst';

const ACK = { fds: 0, reply: 'ack', needs: null } as const;
const GET = { fds: 0, reply: 'payload', needs: null } as const;
const U64 = vhostUserU64;
const STATE = vhostVringState;
const MEM_SLOTS = VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS;
const CONFIG = VHOST_USER_PROTOCOL_F_CONFIG;
const INBAND = VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;
const INFLIGHT = VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;

/** Every front-end message that vloop serves. A code that is not here is an unknown message. */
export const vhostUserMessages = {
  GET_FEATURES: row('GET_FEATURES', 1, {
    ...GET,
    payload: null,
    meaning: 'offered virtio features',
  }),
  SET_FEATURES: row('SET_FEATURES', 2, { ...ACK, payload: U64, meaning: 'acked virtio features' }),
  SET_OWNER: row('SET_OWNER', 3, { ...ACK, payload: null, meaning: 'starts the session' }),
  RESET_OWNER: row('RESET_OWNER', 4, {
    ...ACK,
    payload: null,
    meaning: 'deprecated: disables all rings',
  }),
  SET_MEM_TABLE: row('SET_MEM_TABLE', 5, {
    payload: vhostMemoryHead,
    tail: 'regions',
    fds: 'perRegion',
    reply: 'ack',
    needs: null,
    meaning: 'replaces all memory regions',
  }),
  SET_LOG_BASE: row('SET_LOG_BASE', 6, {
    payload: vhostUserLog,
    fds: 1,
    reply: 'payload',
    needs: VHOST_USER_PROTOCOL_F_LOG_SHMFD,
    meaning: 'the dirty log: a bit for each page of guest memory',
  }),
  SET_LOG_FD: row('SET_LOG_FD', 7, {
    ...ACK,
    payload: null,
    fds: 1,
    meaning: 'eventfd to signal when the dirty log changes',
  }),
  SET_VRING_NUM: row('SET_VRING_NUM', 8, { ...ACK, payload: STATE, meaning: 'size of a ring' }),
  SET_VRING_ADDR: row('SET_VRING_ADDR', 9, {
    ...ACK,
    payload: vhostVringAddr,
    meaning: 'where the parts of a ring are',
  }),
  SET_VRING_BASE: row('SET_VRING_BASE', 10, {
    ...ACK,
    payload: STATE,
    meaning: 'next avail index to take',
  }),
  GET_VRING_BASE: row('GET_VRING_BASE', 11, {
    ...GET,
    payload: STATE,
    meaning: 'drains and stops a ring, answers its next avail index',
  }),
  SET_VRING_KICK: row('SET_VRING_KICK', 12, {
    ...ACK,
    payload: U64,
    fds: 'unlessNoFdBit',
    meaning: 'starts a ring; its kick eventfd',
  }),
  SET_VRING_CALL: row('SET_VRING_CALL', 13, {
    ...ACK,
    payload: U64,
    fds: 'unlessNoFdBit',
    meaning: 'call eventfd of a ring',
  }),
  SET_VRING_ERR: row('SET_VRING_ERR', 14, {
    ...ACK,
    payload: U64,
    fds: 'unlessNoFdBit',
    meaning: 'error eventfd of a ring',
  }),
  GET_PROTOCOL_FEATURES: row('GET_PROTOCOL_FEATURES', 15, {
    ...GET,
    payload: null,
    meaning: 'offered protocol features',
  }),
  SET_PROTOCOL_FEATURES: row('SET_PROTOCOL_FEATURES', 16, {
    ...ACK,
    payload: U64,
    meaning: 'acked protocol features',
  }),
  GET_QUEUE_NUM: row('GET_QUEUE_NUM', 17, {
    ...GET,
    payload: null,
    needs: VHOST_USER_PROTOCOL_F_MQ,
    meaning: 'number of queues',
  }),
  SET_VRING_ENABLE: row('SET_VRING_ENABLE', 18, {
    ...ACK,
    payload: STATE,
    meaning: 'enables or disables a ring (needs VHOST_USER_F_PROTOCOL_FEATURES)',
  }),
  SET_BACKEND_REQ_FD: row('SET_BACKEND_REQ_FD', 21, {
    ...ACK,
    payload: null,
    fds: 1,
    needs: VHOST_USER_PROTOCOL_F_BACKEND_REQ,
    meaning: 'socket for messages of the back-end',
  }),
  IOTLB_MSG: row('IOTLB_MSG', 22, {
    ...GET,
    payload: vhostIotlbMsg,
    meaning: 'a translation, or its end (needs VIRTIO_F_ACCESS_PLATFORM)',
  }),
  GET_CONFIG: row('GET_CONFIG', 24, {
    ...GET,
    payload: vhostUserConfigHead,
    tail: 'config',
    needs: CONFIG,
    meaning: 'reads the config space',
  }),
  SET_CONFIG: row('SET_CONFIG', 25, {
    ...ACK,
    payload: vhostUserConfigHead,
    tail: 'config',
    needs: CONFIG,
    meaning: 'writes the config space (writeback only)',
  }),
  GET_INFLIGHT_FD: row('GET_INFLIGHT_FD', 31, {
    ...GET,
    payload: vhostUserInflight,
    tail: 'padding',
    replyFd: true,
    needs: INFLIGHT,
    meaning: 'makes a region that records requests in flight',
  }),
  SET_INFLIGHT_FD: row('SET_INFLIGHT_FD', 32, {
    ...ACK,
    payload: vhostUserInflight,
    tail: 'padding',
    fds: 1,
    needs: INFLIGHT,
    meaning: 'hands such a region back: what it records is finished',
  }),
  VRING_KICK: row('VRING_KICK', 35, {
    ...ACK,
    payload: STATE,
    needs: INBAND,
    meaning: 'starts a ring, or kicks it, in place of its eventfd',
  }),
  RESET_DEVICE: row('RESET_DEVICE', 34, {
    ...ACK,
    payload: null,
    needs: VHOST_USER_PROTOCOL_F_RESET_DEVICE,
    meaning: 'stops and disables all rings; the device is as it was at first',
  }),
  SET_STATUS: row('SET_STATUS', 39, {
    ...ACK,
    payload: U64,
    needs: VHOST_USER_PROTOCOL_F_STATUS,
    meaning: 'tells the virtio device status',
  }),
  GET_STATUS: row('GET_STATUS', 40, {
    ...GET,
    payload: null,
    needs: VHOST_USER_PROTOCOL_F_STATUS,
    meaning: 'the virtio device status that was told last',
  }),
  SET_DEVICE_STATE_FD: row('SET_DEVICE_STATE_FD', 42, {
    payload: vhostTransferState,
    fds: 1,
    reply: 'payload',
    needs: VHOST_USER_PROTOCOL_F_DEVICE_STATE,
    meaning: 'transfers what the guest has set of the disk (writeback), out or in',
  }),
  CHECK_DEVICE_STATE: row('CHECK_DEVICE_STATE', 43, {
    ...GET,
    payload: null,
    needs: VHOST_USER_PROTOCOL_F_DEVICE_STATE,
    meaning: 'whether the transfer went well',
  }),
  GET_MAX_MEM_SLOTS: row('GET_MAX_MEM_SLOTS', 36, {
    ...GET,
    payload: null,
    needs: MEM_SLOTS,
    meaning: 'most memory regions',
  }),
  ADD_MEM_REG: row('ADD_MEM_REG', 37, {
    ...ACK,
    payload: vhostSingleMemoryRegion,
    fds: 1,
    needs: MEM_SLOTS,
    meaning: 'adds a memory region',
  }),
  REM_MEM_REG: row('REM_MEM_REG', 38, {
    ...ACK,
    payload: vhostSingleMemoryRegion,
    fds: 'optional',
    needs: MEM_SLOTS,
    meaning: 'removes a memory region',
  }),
  GET_VRING_BASE_SKIP_DRAIN: row('GET_VRING_BASE_SKIP_DRAIN', 45, {
    ...GET,
    payload: STATE,
    needs: VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
    meaning: 'stops a ring at once: what is in flight stays recorded',
  }),
} as const satisfies Readonly<Record<string, MessageRow>>;

export type MessageName = keyof typeof vhostUserMessages;

const MESSAGE_NAMES = Object.keys(vhostUserMessages) as MessageName[];
const NAME_OF_CODE = new Map(MESSAGE_NAMES.map((name) => [vhostUserMessages[name].code, name]));

/** The key of a message row for a request code; undefined for a message that vloop does not serve. */
export function messageNameOf(code: number): MessageName | undefined {
  return NAME_OF_CODE.get(code);
}

/** Codes of messages that the protocol knows and vloop does not serve, for log lines. */
export const vhostUserUnserved = codes('VHOST_USER (not served)', SOURCE, {
  VHOST_USER_SEND_RARP: 19,
  VHOST_USER_NET_SET_MTU: 20,
  VHOST_USER_SET_VRING_ENDIAN: 23,
  VHOST_USER_CREATE_CRYPTO_SESSION: 26,
  VHOST_USER_CLOSE_CRYPTO_SESSION: 27,
  VHOST_USER_POSTCOPY_ADVISE: 28,
  VHOST_USER_POSTCOPY_LISTEN: 29,
  VHOST_USER_POSTCOPY_END: 30,
  VHOST_USER_GPU_SET_SOCKET: 33,
  VHOST_USER_GET_SHARED_OBJECT: 41,
  VHOST_USER_GET_SHMEM_CONFIG: 44,
});

/** `VHOST_USER_…` for any request code. */
export function requestName(code: number): string {
  const name = NAME_OF_CODE.get(code);
  return name === undefined ? vhostUserUnserved.nameOf(code) : vhostUserMessages[name].name;
}

/** The largest payload a served message can have; anything above is refused before it is read. */
export const VHOST_USER_MAX_PAYLOAD_BYTES = Math.max(
  vhostMemoryHead.sizeBytes + VHOST_MEMORY_BASELINE_NREGIONS * vhostMemoryRegion.sizeBytes,
  vhostUserConfigHead.sizeBytes + VHOST_USER_MAX_CONFIG_SIZE,
);
