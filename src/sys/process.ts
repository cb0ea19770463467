/**
 * Ending the process where Node cannot: process.exit waits for worker threads, and a worker may sit in
 * a system call that does not return.
 */
import { declare } from './libc.ts';

const _exit = declare('void _exit(int)');

/** Ends every thread at once. Nothing of Node runs any more: no exit handlers, no flushing. */
export function exitNow(status: number): void {
  _exit(status);
}
