/**
 * What operations are called, in logs, metrics, traces and answers of the control plane. Data only.
 */

/** By OP_* of blk-request.ts. A request that is answered without an operation has none. */
export const OP_NAMES = [
  'none',
  'read',
  'write',
  'flush',
  'discard',
  'write_zeroes',
  'get_id',
] as const;
export type OpName = (typeof OP_NAMES)[number];

export function opName(op: number): OpName {
  return OP_NAMES[op] ?? 'none';
}
