/**
 * Requests as they end: what disk_trace takes and answers. What a request was, never what it carried.
 */
import { OP_NAMES } from '../../blk/op-names.ts';
import { recordOf, type ValueOf } from './json-schema.ts';

const COUNT = { type: 'integer', minimum: 0 } as const;

export const traceParams = {
  trace: {
    ...COUNT,
    description: 'the number of the trace that goes on; left out: a new one begins',
  },
  ops: {
    type: 'array',
    items: { type: 'string', enum: OP_NAMES },
    description: 'of a new trace: the operations that are wanted (all)',
  },
  most: { type: 'integer', minimum: 1, maximum: 8192, description: 'requests at once (1024)' },
  end: { type: 'boolean', description: 'take what there is, and end the trace' },
} as const;

export const traceResult = recordOf({
  trace: { ...COUNT, description: 'to go on with; one that nobody asks for 5 s ends' },
  lost: { ...COUNT, description: 'requests left out: they came faster than they were taken' },
  requests: {
    type: 'array',
    items: recordOf({
      start_ms: { type: 'number', description: 'milliseconds of CLOCK_MONOTONIC' },
      queue: COUNT,
      head: COUNT,
      op: { type: 'string', enum: OP_NAMES },
      sector: COUNT,
      bytes: COUNT,
      took_us: { type: 'number' },
      status: { type: 'string', description: 'OK, IOERR or UNSUPP' },
    }),
  },
});

export type TraceResult = ValueOf<typeof traceResult>;
export type TracedLine = TraceResult['requests'][number];
