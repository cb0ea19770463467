/**
 * The loop device's states: each operation in each state, against the kernel's own answers (drivers/block/loop.c).
 */
import { describe, expect, test } from 'vitest';
import {
  LIFECYCLE_STATES,
  type LifecycleOperation,
  lifecycleRefusal,
  nextState,
} from '../../../src/loop/lifecycle.ts';

/** What each state answers, in the order of LIFECYCLE_STATES. */
const KERNEL: ReadonlyArray<[LifecycleOperation, ...(string | null)[]]> = [
  ['configure', null, 'EBUSY', 'EBUSY', 'EBUSY'],
  ['open', null, null, 'ENXIO', 'ENXIO'],
  ['clear', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['remove', null, 'EBUSY', 'EBUSY', 'EBUSY'],
  ['get_status', 'ENXIO', null, null, 'ENXIO'],
  ['set_status', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['change_file', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['set_capacity', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['set_direct_io', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['set_block_size', 'ENXIO', null, 'ENXIO', 'ENXIO'],
  ['io', 'EIO', null, 'EIO', 'EIO'],
];

describe.each(KERNEL)('%s', (operation, ...answers) => {
  test.each(LIFECYCLE_STATES.map((state, i) => [state, answers[i] ?? null] as const))(
    'in %s: %s',
    (state, code) => {
      const refusal = lifecycleRefusal(state, operation);
      expect(refusal?.code ?? null).toBe(code);
      if (refusal !== null)
        expect(refusal.message).toContain(`${operation}: state=${state}, expected`);
    },
  );
});

test.each([
  ['unbound', 'configure', false, 'bound'],
  ['bound', 'clear', false, 'rundown'],
  ['bound', 'clear', true, 'bound'],
  ['unbound', 'remove', false, 'deleting'],
  ['bound', 'set_status', true, 'bound'],
] as const)('%s, %s, in use=%s: %s', (state, operation, inUse, next) => {
  expect(nextState(state, operation, inUse)).toBe(next);
});
