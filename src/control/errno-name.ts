/**
 * The names that the control plane has for operations and errors: those of the methods' results, of metrics
 * and of the trace.
 */
import { constants } from 'node:os';

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

const ERRNO_NAMES = new Map(
  Object.entries(constants.errno).map(([name, value]): [number, string] => [value, name]),
);

/** `EIO` for 5; 0 stands for one that Linux does not name. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? 'unknown';
}
