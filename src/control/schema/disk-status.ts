/**
 * What can be said of one disk: the result of disk_get_status and a row of disk_list. Sizes are bytes. Names follow
 * `struct loop_info64` and losetup's columns where they mean the same.
 */
import { recordOf, type ValueOf } from './json-schema.ts';

const BYTES = { type: 'integer', minimum: 0 } as const;
const NAME_OR_NULL = { anyOf: [{ type: 'string' }, { type: 'null' }] } as const;

/** The loop device's: `bound` serves, `rundown` ends once its last request is answered. */
export const DISK_STATES = ['bound', 'rundown'] as const;

export const diskStatus = recordOf({
  name: { type: 'string', description: 'how commands call the disk' },
  state: {
    enum: DISK_STATES,
    description: 'bound: served; rundown: it ends when its requests have',
  },
  connected: { type: 'boolean', description: 'a front-end is connected' },
  quiesced: { type: 'boolean', description: 'it stands still until disk_resume' },
  autoclear: { type: 'boolean', description: 'it ends when its front-end goes' },
  connections: { type: 'integer', description: 'front-ends that have come so far' },
  back_file: { ...NAME_OR_NULL, description: 'the backing file; null: the disk is in memory' },
  socket: { ...NAME_OR_NULL, description: 'the vhost-user socket; null: an inherited one' },
  pid: { type: 'integer', description: 'the process that serves it' },
  size: { ...BYTES, description: 'bytes that the guest sees' },
  offset: { ...BYTES, description: 'where the disk begins in the file' },
  size_limit: { ...BYTES, description: 'most bytes of the file that are shown; 0: all' },
  block_size: { ...BYTES, description: 'logical block size' },
  read_only: { type: 'boolean', description: 'the guest cannot write' },
  direct_io: { type: 'boolean', description: 'the page cache is bypassed' },
  direct_io_reason: { type: 'string', description: 'why it is or is not' },
  direct_io_setting: { enum: ['on', 'off', 'auto'], description: 'what was asked for' },
  engine: { type: 'string', description: 'io_uring, native or threads' },
  engine_reason: { type: 'string', description: 'why this one' },
  io_path: { type: 'string', description: 'engine, calls or memory' },
  io_path_reason: { type: 'string', description: 'why this one' },
  transfer: { ...NAME_OR_NULL, description: 'the transfer module that data go through' },
  serial: { type: 'string', description: 'what the guest sees as the serial' },
  queues: { type: 'integer', description: 'virtqueues that are offered' },
  workers: { type: 'integer', description: 'threads that serve them' },
  in_flight: { type: 'integer', minimum: 0, description: 'requests taken and not answered' },
  features: {
    type: 'array',
    items: { type: 'string' },
    description: 'what the front-end that is connected has negotiated',
  },
});

export type DiskStatus = ValueOf<typeof diskStatus>;
