/**
 * Every JSON-RPC method: what it takes, what it answers, who carries it out. Server, client, command line, man
 * page and documentation derive from this table. A method is here when it works.
 */
import { diskStatus } from './disk-status.ts';
import { type JsonSchema, NO_PARAMS, type ValueOf } from './json-schema.ts';

export interface MethodRow {
  readonly summary: string;
  /** `process`: whoever is asked; `disk`: the process that has the disk `params.disk`. */
  readonly of: 'process' | 'disk';
  readonly params: JsonSchema;
  readonly result: JsonSchema;
}

const DISK = {
  type: 'string',
  minLength: 1,
  description: 'the disk: its name, its file or its vhost-user socket',
} as const;

const DISK_ONLY = {
  type: 'object',
  additionalProperties: false,
  required: ['disk'],
  properties: { disk: DISK },
} as const;

export const methods = {
  rpc_get_methods: {
    summary: 'the names of all methods',
    of: 'process',
    params: NO_PARAMS,
    result: { type: 'array', items: { type: 'string' } },
  },
  get_version: {
    summary: 'the version of this vloop, and its process',
    of: 'process',
    params: NO_PARAMS,
    result: {
      type: 'object',
      additionalProperties: false,
      required: ['version', 'pid'],
      properties: { version: { type: 'string' }, pid: { type: 'integer' } },
    },
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
