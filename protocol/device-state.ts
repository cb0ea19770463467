/**
 * The state of a disk as one vloop hands it to another through the front-ends of a migration: what a guest
 * has set and the front-end does not move itself. The format is vloop's own; a new field is a new version.
 * Carried by VHOST_USER_SET_DEVICE_STATE_FD. Data only.
 */
import { struct } from './layout.ts';

export const DISK_STATE_MAGIC = 0x706f_6c76;
export const DISK_STATE_VERSION = 1;

export const diskState = struct('disk_state', 'vloop', 16, {
  magic: ['le32', 'DISK_STATE_MAGIC: "vlop"'],
  version: ['le32', 'DISK_STATE_VERSION'],
  size: ['le32', 'bytes of all of it'],
  writeback: ['u8', 'the cache mode: 1 write-back, 0 write-through'],
  padding: ['bytes[3]', '0'],
});
