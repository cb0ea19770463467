/**
 * Threads of this process as the kernel sees them (/proc/self/task): what state each is in, and in which system
 * call. Reads files, which may go while they are read.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ThreadState {
  readonly threadId: number;
  readonly name: string;
  /** `R` runs, `S` sleeps, `D` waits for storage and cannot be interrupted. */
  readonly state: string;
  /** The kernel function that it sleeps in, or null. */
  readonly waitsIn: string | null;
  /** The number of the system call that it is in, or null. */
  readonly systemCall: number | null;
}

/** Those in which a worker or an I/O thread can be for long (x86-64). */
const SYSTEM_CALLS: Readonly<Record<number, string>> = {
  0: 'read',
  1: 'write',
  7: 'poll',
  17: 'pread64',
  18: 'pwrite64',
  75: 'fdatasync',
  202: 'futex',
  208: 'io_getevents',
  209: 'io_submit',
  232: 'epoll_wait',
  281: 'epoll_pwait',
  285: 'fallocate',
  295: 'preadv',
  296: 'pwritev',
  327: 'preadv2',
  328: 'pwritev2',
  426: 'io_uring_enter',
};

export function systemCallName(number: number): string {
  return SYSTEM_CALLS[number] ?? `system call ${number}`;
}

/** The kernel's number of the calling thread. */
export function ownThreadId(): number {
  return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    // It has ended, or is not for us to see.
    return '';
  }
}

export function threadState(threadId: number): ThreadState | null {
  const task = `/proc/self/task/${threadId}`;
  // The name is in parentheses and may contain some.
  const [, name, state] = /^\d+ \((.*)\) (\S)/.exec(readOrEmpty(`${task}/stat`)) ?? [];
  if (name === undefined || state === undefined) return null;
  const waitsIn = readOrEmpty(`${task}/wchan`);
  const call = /^\d+/.exec(readOrEmpty(`${task}/syscall`))?.[0];
  return {
    threadId,
    name,
    state,
    waitsIn: waitsIn === '' || waitsIn === '0' ? null : waitsIn,
    systemCall: call === undefined ? null : Number(call),
  };
}

export function threadStates(): ThreadState[] {
  return readdirSync('/proc/self/task')
    .map((name) => threadState(Number(name)))
    .filter((state) => state !== null);
}
