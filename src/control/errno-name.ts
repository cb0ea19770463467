/**
 * The names of errors, where sys/libc.ts may not be imported: the control plane makes no system calls.
 */
import { constants } from 'node:os';

const ERRNO_NAMES = new Map(
  Object.entries(constants.errno).map(([name, value]): [number, string] => [value, name]),
);

/** `EIO` for 5; 0 stands for one that Linux does not name. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? 'unknown';
}
