/**
 * The vhost-user protocol: header, payloads, protocol features, and the message table from which the
 * decoder's size, fd and feature checks, the session's dispatch and the documentation derive.
 * Source: QEMU docs/interop/vhost-user.rst (protocol features 0–23, front-end messages 1–45). Data only.
 */
import { vhostUserInflight } from './inflight.ts';
import { codes, type Layout, struct } from './layout.ts';

const SOURCE = 'vhost-user.rst';

export const vhostUserHeader = struct('vhost_user_header', SOURCE, 12, {
  request: ['u32', 'VHOST_USER_*'],
  flags: ['u32', 'bits 0-1 version (1), bit 2 reply, bit 3 need_reply'],
  size: ['u32', 'payload bytes'],
});

export const vhostUserU64 = struct('u64', SOURCE, 8, {
  value: ['u64', 'a 64-bit number'],
});

export const vhostVringState = struct('vhost_vring_state', SOURCE, 8, {
  index: ['u32', 'vring index'],
  num: ['u32', 'size, base or enable bit'],
});

export const vhostVringAddr = struct('vhost_vring_addr', SOURCE, 40, {
  index: ['u32', 'vring index'],
  flags: ['u32', 'bit 0 VHOST_VRING_F_LOG'],
  desc_user_addr: ['u64', 'descriptor table, front-end address'],
  used_user_addr: ['u64', 'used ring, front-end address'],
  avail_user_addr: ['u64', 'avail ring, front-end address'],
  log_guest_addr: ['u64', 'used ring for dirty logging, guest address'],
});

export const vhostMemoryRegion = struct('vhost_memory_region', SOURCE, 32, {
  guest_addr: ['u64', 'guest-physical address'],
  size: ['u64', 'bytes'],
  user_addr: ['u64', 'front-end address'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostMemoryHead = struct('vhost_memory', SOURCE, 8, {
  nregions: ['u32', 'number of vhost_memory_region that follow'],
  padding: ['u32', 'reserved'],
});

export const vhostSingleMemoryRegion = struct('vhost_single_memory_region', SOURCE, 40, {
  padding: ['u64', 'reserved'],
  guest_addr: ['u64', 'guest-physical address'],
  size: ['u64', 'bytes'],
  user_addr: ['u64', 'front-end address'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostUserConfigHead = struct('vhost_user_config', SOURCE, 12, {
  offset: ['u32', 'first byte of the config space'],
  size: ['u32', 'bytes that follow'],
  flags: ['u32', '0 writable fields, 1 live migration'],
});

export const vhostUserLog = struct('vhost_user_log', SOURCE, 16, {
  mmap_size: ['u64', 'bytes of the dirty log'],
  mmap_offset: ['u64', 'offset in the fd that came with the message'],
});

export const vhostTransferState = struct('vhost_transfer_state', SOURCE, 8, {
  direction: ['u32', '0 save: back-end to front-end, 1 load'],
  phase: ['u32', '0: all vrings are stopped'],
});

export const VHOST_USER_TRANSFER_STATE_DIRECTION_SAVE = 0;
export const VHOST_USER_TRANSFER_STATE_DIRECTION_LOAD = 1;
export const VHOST_USER_TRANSFER_STATE_PHASE_STOPPED = 0;
/** In the reply to SET_DEVICE_STATE_FD: no fd comes with it. Bits 0-7 are an error. */
export const VHOST_USER_DEVICE_STATE_NOFD_MASK = 0x100;

/** A bit of the dirty log stands for a page of this size, whatever the machines' pages are. */
export const VHOST_LOG_PAGE = 0x1000;

export const vhostIotlbMsg = struct('vhost_iotlb_msg', SOURCE, 32, {
  iova: ['u64', 'I/O virtual address'],
  size: ['u64', 'bytes'],
  uaddr: ['u64', 'front-end address'],
  perm: ['u8', 'VHOST_ACCESS_*'],
  type: ['u8', 'VHOST_IOTLB_*'],
  padding: ['bytes[6]', 'the C struct ends at a multiple of 8'],
});

export const VHOST_ACCESS_RO = 1;
export const VHOST_ACCESS_WO = 2;
export const VHOST_ACCESS_RW = 3;

export const VHOST_IOTLB_MISS = 1;
export const VHOST_IOTLB_UPDATE = 2;
export const VHOST_IOTLB_INVALIDATE = 3;
export const VHOST_IOTLB_ACCESS_FAIL = 4;

export const vhostIotlbTypes = codes('VHOST_IOTLB (type)', SOURCE, {
  VHOST_IOTLB_MISS,
  VHOST_IOTLB_UPDATE,
  VHOST_IOTLB_INVALIDATE,
  VHOST_IOTLB_ACCESS_FAIL,
});

/** The regions of SET_MEM_TABLE, the baseline table (QEMU VHOST_MEMORY_BASELINE_NREGIONS). */
export const VHOST_MEMORY_BASELINE_NREGIONS = 8;
/** QEMU's VHOST_USER_MAX_RAM_SLOTS and VHOST_USER_MAX_CONFIG_SIZE. */
export const VHOST_USER_MAX_RAM_SLOTS = 512;
export const VHOST_USER_MAX_CONFIG_SIZE = 256;
/** No message carries more descriptors (vhost-user.rst, "Ancillary data"). */
export const VHOST_USER_MAX_FDS = 8;

export const VHOST_USER_VERSION = 1;
export const VHOST_USER_VERSION_MASK = 3;
export const VHOST_USER_REPLY_MASK = 4;
export const VHOST_USER_NEED_REPLY_MASK = 8;

/** KICK, CALL, ERR: bits 0-7 are the vring index, bit 8 says that no fd comes. */
export const VHOST_USER_VRING_IDX_MASK = 0xff;
export const VHOST_USER_VRING_NOFD_MASK = 0x100;

export const VHOST_VRING_F_LOG = 0;

export const VHOST_SET_CONFIG_TYPE_FRONTEND = 0;
export const VHOST_SET_CONFIG_TYPE_MIGRATION = 1;

export const VHOST_USER_PROTOCOL_F_MQ = 0;
export const VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1;
export const VHOST_USER_PROTOCOL_F_RARP = 2;
export const VHOST_USER_PROTOCOL_F_REPLY_ACK = 3;
export const VHOST_USER_PROTOCOL_F_MTU = 4;
export const VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5;
export const VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6;
export const VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7;
export const VHOST_USER_PROTOCOL_F_PAGEFAULT = 8;
export const VHOST_USER_PROTOCOL_F_CONFIG = 9;
export const VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10;
export const VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11;
export const VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12;
export const VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13;
export const VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14;
export const VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15;
export const VHOST_USER_PROTOCOL_F_STATUS = 16;
export const VHOST_USER_PROTOCOL_F_XEN_MMAP = 17;
export const VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18;
export const VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19;
export const VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20;
export const VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 21;
export const VHOST_USER_PROTOCOL_F_SHMEM = 22;
export const VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN = 23;

export const vhostUserProtocolFeatures = codes('VHOST_USER_PROTOCOL_F (bits)', SOURCE, {
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_LOG_SHMFD,
  VHOST_USER_PROTOCOL_F_RARP,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
  VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
  VHOST_USER_PROTOCOL_F_PAGEFAULT,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
  VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_XEN_MMAP,
  VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
});

/**
 * How many fds a message carries: exactly `n`; `perRegion`: one for each region of the payload;
 * `unlessNoFdBit`: one unless bit 8 of the payload is set; `optional`: none, or one that is closed
 * (libblkio sends one with REM_MEM_REG).
 */
export type FdRule = number | 'perRegion' | 'unlessNoFdBit' | 'optional';

/** `payload`: always answered with a payload. `ack`: a u64 status, only when NEED_REPLY asks for it. */
export type ReplyKind = 'payload' | 'ack';

export interface MessageRow {
  readonly name: string;
  readonly code: number;
  /** The fixed part of the payload; null = no payload. */
  readonly payload: Layout | null;
  /**
   * What may follow the fixed part: nothing, regions counted by the head, config bytes, or the padding that
   * the struct has in C.
   */
  readonly tail?: 'regions' | 'config' | 'padding';
  readonly fds: FdRule;
  readonly reply: ReplyKind;
  /** A file descriptor goes with the reply. */
  readonly replyFd?: true;
  /** Bit number of the protocol feature without which the message is a violation; null = none. */
  readonly needs: number | null;
  readonly meaning: string;
}

type RowRest = Omit<MessageRow, 'name' | 'code'>;

function row(name: string, code: number, rest: RowRest): MessageRow {
  return { name: `VHOST_USER_${name}`, code, ...rest };
}

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

/** A message of the back-end, on the socket of SET_BACKEND_REQ_FD; its reply, if asked for, is a u64. */
export type BackendMessageRow = Pick<MessageRow, 'name' | 'code' | 'payload' | 'needs' | 'meaning'>;

function backendRow(
  name: string,
  code: number,
  payload: Layout | null,
  needs: number | null,
  meaning: string,
): BackendMessageRow {
  return { name: `VHOST_USER_BACKEND_${name}`, code, payload, needs, meaning };
}

/** Every back-end message that vloop sends. */
export const vhostUserBackendMessages = {
  IOTLB_MSG: backendRow('IOTLB_MSG', 1, vhostIotlbMsg, null, 'asks for a translation (a miss)'),
  CONFIG_CHANGE_MSG: backendRow(
    'CONFIG_CHANGE_MSG',
    2,
    null,
    CONFIG,
    'the config space has changed: read it again',
  ),
  VRING_CALL: backendRow('VRING_CALL', 4, STATE, INBAND, 'in place of a call eventfd'),
  VRING_ERR: backendRow('VRING_ERR', 5, STATE, INBAND, 'in place of an error eventfd'),
} as const satisfies Readonly<Record<string, BackendMessageRow>>;

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

/** QEMU drops the connection unless a reply's flags are exactly these: NEED_REPLY is never echoed. */
export const VHOST_USER_REPLY_FLAGS = VHOST_USER_REPLY_MASK | VHOST_USER_VERSION;
