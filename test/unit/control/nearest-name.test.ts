/**
 * Suggestions for misspelt names: near ones are found, far ones are not.
 */
import { expect, test } from 'vitest';
import { didYouMean, nearestName } from '../../../src/control/nearest-name.ts';

const NAMES = [
  ...['direct_io', 'read_only', 'num_queues', 'block_size', 'serial', 'offset', 'size_limit'],
];

test.each([
  ['direct_oi', 'direct_io'],
  ['directio', 'direct_io'],
  ['direct-io', 'direct_io'],
  ['Direct_IO', 'direct_io'],
  ['readonly', 'read_only'],
  ['num_queue', 'num_queues'],
  ['sizelimit', 'size_limit'],
  ['seral', 'serial'],
  ['ofset', 'offset'],
  ['block', null],
  ['xyzzy', null],
  ['', null],
])('%s → %s', (name, nearest) => {
  expect(nearestName(name, NAMES)).toBe(nearest);
});

test('in words', () => {
  expect(didYouMean('ofset', NAMES)).toBe('; did you mean "offset"?');
  expect(didYouMean('xyzzy', NAMES)).toBe('');
});
