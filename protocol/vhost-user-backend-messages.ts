/**
 * The messages that a back-end sends by itself, on the socket of SET_BACKEND_REQ_FD.
 * Source: QEMU docs/interop/vhost-user.rst, "Back-end message types". Data only.
 */
import type { Layout } from './layout.ts';
import {
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
} from './vhost-user.ts';
import type { MessageRow } from './vhost-user-message-row.ts';
import { vhostIotlbMsg, vhostVringState } from './vhost-user-payloads.ts';

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
    VHOST_USER_PROTOCOL_F_CONFIG,
    'the config space has changed: read it again',
  ),
  VRING_CALL: backendRow(
    'VRING_CALL',
    4,
    vhostVringState,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
    'in place of a call eventfd',
  ),
  VRING_ERR: backendRow(
    'VRING_ERR',
    5,
    vhostVringState,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
    'in place of an error eventfd',
  ),
} as const satisfies Readonly<Record<string, BackendMessageRow>>;
