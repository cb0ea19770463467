/**
 * Every JSON-RPC method: what it takes, what it answers, who carries it out. Server, client, command line, man
 * page and documentation derive from this table. A method is here when it works.
 */

import { config, diskConfig } from './disk-config.ts';
import { diskPartitions } from './disk-partitions.ts';
import { blockSize, changeFileParams, directIo, settingsParams } from './disk-settings.ts';
import { blockMap, diskStats } from './disk-stats.ts';
import { diskStatus } from './disk-status.ts';
import { traceParams, traceResult } from './disk-trace.ts';
import { diskWhy } from './disk-why.ts';
import { EVENT_NAMES } from './events.ts';
import {
  DONE,
  type JsonSchema,
  NO_PARAMS,
  objectOf,
  recordOf,
  type ValueOf,
} from './json-schema.ts';

export interface MethodRow {
  readonly summary: string;
  /** `process`: whoever is asked; `disk`: the process that has the disk `params.disk`; `daemon`: vloop daemon. */
  readonly of: 'process' | 'disk' | 'daemon';
  readonly params: JsonSchema;
  readonly result: JsonSchema;
}

const DISK = {
  type: 'string',
  minLength: 1,
  description: 'the disk: its name, its file or its vhost-user socket',
} as const;

const DISK_ONLY = recordOf({ disk: DISK });

export const methods = {
  rpc_get_methods: {
    summary: 'the names of all methods',
    of: 'process',
    params: NO_PARAMS,
    result: { type: 'array', items: { type: 'string' } },
  },
  get_version: {
    summary: 'the version of this vloop, its process, and where its page is',
    of: 'process',
    params: NO_PARAMS,
    result: recordOf({
      version: { type: 'string' },
      pid: { type: 'integer' },
      http: {
        anyOf: [{ type: 'string' }, { type: 'null' }],
        description: 'the address of the page, when one is served',
      },
    }),
  },
  get_metrics: {
    summary: 'Prometheus metrics of all disks of this process',
    of: 'process',
    params: NO_PARAMS,
    result: recordOf({
      type: { type: 'string', description: 'the content type' },
      text: { type: 'string', description: 'the exposition' },
    }),
  },
  disk_list: {
    summary: 'all disks',
    of: 'process',
    params: NO_PARAMS,
    result: { type: 'array', items: diskStatus },
  },
  disk_get_status: {
    summary: 'what can be said of a disk',
    of: 'disk',
    params: DISK_ONLY,
    result: diskStatus,
  },
  disk_quiesce: {
    summary: 'let a disk stand still, with nothing of it in flight, until it is resumed',
    of: 'disk',
    params: objectOf(['disk'], {
      disk: DISK,
      timeout_ms: {
        type: 'integer',
        minimum: 1,
        maximum: 20_000,
        description: 'how long requests in flight may take to end (5000)',
      },
    }),
    result: DONE,
  },
  disk_resume: {
    summary: 'let a disk go on that stands still',
    of: 'disk',
    params: DISK_ONLY,
    result: DONE,
  },
  disk_set_status: {
    summary: 'change settings of a disk that runs, all of them or none; answers what came of it',
    of: 'disk',
    params: objectOf(['disk'], { disk: DISK, ...settingsParams }),
    result: diskStatus,
  },
  disk_set_direct_io: {
    summary: 'switch direct I/O on or off',
    of: 'disk',
    params: recordOf({ disk: DISK, direct_io: directIo }),
    result: diskStatus,
  },
  disk_set_block_size: {
    summary: 'change the logical block size; no front-end may be connected',
    of: 'disk',
    params: recordOf({ disk: DISK, block_size: blockSize }),
    result: diskStatus,
  },
  disk_change_file: {
    summary: 'give a disk another file: of the same size, and read-only unless quiesced',
    of: 'disk',
    params: objectOf(['disk', 'file'], { disk: DISK, ...changeFileParams }),
    result: diskStatus,
  },
  disk_set_capacity: {
    summary: 'take the size that the backing file has now; the guest is told',
    of: 'disk',
    params: DISK_ONLY,
    result: recordOf({
      size: { type: 'integer', description: 'bytes' },
      old_size: { type: 'integer', description: 'bytes' },
    }),
  },
  disk_transfer_ioctl: {
    summary: 'hand a command to the transfer module of a disk; what it means is the module’s',
    of: 'disk',
    params: objectOf(['disk', 'command'], {
      disk: DISK,
      command: { type: 'string', minLength: 1, maxLength: 256 },
      argument: { description: 'anything' },
    }),
    result: {
      type: 'array',
      items: { description: 'anything' },
      description: 'what the module answers in each worker',
    },
  },
  disk_detach: {
    summary: 'end a disk: at once when no front-end is connected, else when it has gone',
    of: 'disk',
    params: objectOf(['disk'], {
      disk: DISK,
      force: {
        type: 'boolean',
        description: 'end the front-end’s session, once its requests are answered',
      },
    }),
    result: recordOf({
      state: { enum: ['rundown', 'autoclear'], description: 'autoclear: a front-end has it' },
      in_flight: {
        type: 'integer',
        description: 'requests whose end is waited for: disk_why says what they wait for',
      },
    }),
  },
  subscribe: {
    summary: 'be told of events from now on, as notifications',
    of: 'process',
    params: {
      type: 'object',
      additionalProperties: false,
      properties: {
        events: {
          type: 'array',
          items: { type: 'string', enum: EVENT_NAMES },
          description: 'which ones (all)',
        },
      },
    },
    result: { type: 'array', items: { type: 'string' }, description: 'the events subscribed to' },
  },
  disk_get_stats: {
    summary: 'what a disk has counted: requests, bytes, latencies, by queue and in all',
    of: 'disk',
    params: DISK_ONLY,
    result: diskStats,
  },
  disk_get_block_map: {
    summary: 'where a disk was read, written and discarded',
    of: 'disk',
    params: DISK_ONLY,
    result: blockMap,
  },
  disk_trace: {
    summary: 'requests as they end: begins a trace, or goes on with one',
    of: 'disk',
    params: objectOf(['disk'], { disk: DISK, ...traceParams }),
    result: traceResult,
  },
  disk_why: {
    summary: 'what each request in flight waits for, and where the rings stand',
    of: 'disk',
    params: DISK_ONLY,
    result: diskWhy,
  },
  disk_get_partitions: {
    summary: 'the partition table of a disk, as its guest’s kernel reads it',
    of: 'disk',
    params: DISK_ONLY,
    result: diskPartitions,
  },
  disk_get_config: {
    summary: 'the options that make the disk as it is now',
    of: 'disk',
    params: DISK_ONLY,
    result: diskConfig,
  },
  disk_attach: {
    summary: 'serve one more disk, from a process of its own; paths are absolute',
    of: 'daemon',
    params: diskConfig,
    result: diskStatus,
  },
  save_config: {
    summary: 'all disks as a configuration, which load_config takes',
    of: 'process',
    params: NO_PARAMS,
    result: config,
  },
  load_config: {
    summary: 'attach all disks of a configuration; when one cannot be, none is',
    of: 'daemon',
    params: config,
    result: { type: 'array', items: diskStatus },
  },
} as const satisfies Readonly<Record<string, MethodRow>>;

export type MethodName = keyof typeof methods;
export type ParamsOf<M extends MethodName> = ValueOf<(typeof methods)[M]['params']>;
export type ResultOf<M extends MethodName> = ValueOf<(typeof methods)[M]['result']>;

/** The methods that a disk carries out. */
export type DiskMethodName = {
  [M in MethodName]: (typeof methods)[M]['of'] extends 'disk' ? M : never;
}[MethodName];

export function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
