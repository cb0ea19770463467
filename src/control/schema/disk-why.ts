/**
 * What each request of a disk waits for, and where its rings stand: the result of disk_why.
 */
import { recordOf, type ValueOf } from './json-schema.ts';

const COUNT = { type: 'integer', minimum: 0 } as const;
const TEXT_OR_NULL = { anyOf: [{ type: 'string' }, { type: 'null' }] } as const;

/** What a request in flight can wait for. */
export const WAITS_FOR = ['file', 'engine', 'bounce_buffer', 'flush', 'range', 'zeroes'] as const;

const request = recordOf({
  queue: COUNT,
  head: { ...COUNT, description: 'its descriptor chain: the head, or the buffer id' },
  op: { type: 'string' },
  sector: COUNT,
  bytes: COUNT,
  bytes_left: { ...COUNT, description: 'of its data, not transferred yet' },
  since_ms: { type: 'number', description: 'milliseconds since it was taken from the ring' },
  retries: COUNT,
  waits_for: {
    enum: WAITS_FOR,
    description: 'file: an operation of the file; engine: the file’s turn; range: fallocate',
  },
  text: { type: 'string', description: 'the same in words' },
});

const eventfd = recordOf({
  fd: { type: 'integer', description: '-1: none, the other side looks by itself' },
  pending: { ...COUNT, description: 'notifications that the other side has not taken yet' },
});

const queue = recordOf({
  queue: COUNT,
  size: COUNT,
  enabled: { type: 'boolean' },
  stopping: { type: 'boolean', description: 'a stop waits for what is in flight' },
  broken: { ...TEXT_OR_NULL, description: 'what the driver did wrong' },
  in_flight: COUNT,
  available: { ...COUNT, description: 'requests that the driver offers and nobody has taken' },
  text: { ...TEXT_OR_NULL, description: 'why what is available is not taken' },
  kick: eventfd,
  call: eventfd,
  ring: {
    anyOf: [
      {
        type: 'object',
        additionalProperties: {
          anyOf: [{ type: 'integer' }, { type: 'boolean' }, { type: 'string' }],
        },
      },
      { type: 'null' },
    ],
    description: 'indices and notification state, decoded; null: its memory is away',
  },
});

const thread = recordOf({
  thread: COUNT,
  name: { type: 'string' },
  state: { type: 'string', description: 'R: runs, S: sleeps, D: waits for storage' },
  waits_in: { ...TEXT_OR_NULL, description: 'the kernel function that it sleeps in' },
  system_call: { ...TEXT_OR_NULL, description: 'the system call that it is in' },
});

export const diskWhy = recordOf({
  name: { type: 'string' },
  summary: { type: 'array', items: { type: 'string' }, description: 'what stands out, in words' },
  requests: { type: 'array', items: request, description: 'in flight, the oldest first' },
  queues: { type: 'array', items: queue },
  workers: {
    type: 'array',
    items: recordOf({
      worker: COUNT,
      answers: { type: 'boolean', description: 'false: it is in a system call for long' },
      thread: { anyOf: [thread, { type: 'null' }] },
    }),
  },
  threads: { type: 'array', items: thread, description: 'others that wait for storage' },
});

export type DiskWhy = ValueOf<typeof diskWhy>;
export type WhyRequest = DiskWhy['requests'][number];
export type WhyQueue = DiskWhy['queues'][number];
export type WhyThread = DiskWhy['threads'][number];
export type WaitsFor = (typeof WAITS_FOR)[number];
