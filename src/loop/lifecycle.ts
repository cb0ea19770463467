/**
 * The states of a loop device (lo_state of drivers/block/loop.c) and what each of them refuses, in the kernel's
 * errors and in words. Pure: the state is an argument.
 *
 * unbound → bound (configure: all or nothing) → rundown (clear; with a front-end only once it has gone: autoclear)
 * → unbound, or deleting for a disk that is taken away for good.
 */

export const LIFECYCLE_STATES = ['unbound', 'bound', 'rundown', 'deleting'] as const;
export type LifecycleState = (typeof LIFECYCLE_STATES)[number];

export type LifecycleOperation =
  | 'configure'
  | 'open'
  | 'clear'
  | 'remove'
  | 'get_status'
  | 'set_status'
  | 'change_file'
  | 'set_capacity'
  | 'set_direct_io'
  | 'set_block_size'
  | 'quiesce'
  | 'io';

export interface LifecycleRefusal {
  readonly code: 'EBUSY' | 'EIO' | 'ENXIO';
  readonly message: string;
}

const WHAT: Readonly<Record<LifecycleState, string>> = {
  unbound: 'no file is bound to the disk',
  bound: 'a file is bound to the disk already',
  rundown: 'the disk is ending: its last requests are being answered',
  deleting: 'the disk is being taken away',
};

/** Where an operation is allowed; everything else only where a file is bound. */
const ALLOWED: Partial<Record<LifecycleOperation, readonly LifecycleState[]>> = {
  configure: ['unbound'],
  open: ['unbound', 'bound'],
  remove: ['unbound'],
  // The kernel answers ENXIO once a device runs down; here it may be seen to do so.
  get_status: ['bound', 'rundown'],
};

/** null, or why the operation is refused; then the state stays. */
export function lifecycleRefusal(
  state: LifecycleState,
  operation: LifecycleOperation,
): LifecycleRefusal | null {
  const allowed = ALLOWED[operation] ?? ['bound'];
  if (allowed.includes(state)) return null;
  const message = `${operation}: state=${state}, expected ${allowed.join(' or ')}: ${WHAT[state]}`;
  // A second file, or a device that somebody has, is busy; what has no file (any more) is not there.
  const busy = operation === 'configure' || operation === 'remove';
  return { code: operation === 'io' ? 'EIO' : busy ? 'EBUSY' : 'ENXIO', message };
}

/** The state after an operation that was allowed; `inUse`: a front-end is connected. */
export function nextState(
  state: LifecycleState,
  operation: LifecycleOperation,
  inUse: boolean,
): LifecycleState {
  if (operation === 'configure') return 'bound';
  if (operation === 'remove') return 'deleting';
  // With a front-end it is only marked: the last one to go ends it.
  if (operation === 'clear') return inUse ? 'bound' : 'rundown';
  return state;
}
