/**
 * The lines of a guest's channel as values, the counters of a test out of two looks, and what an exit status means.
 */
import { describe, expect, test } from 'vitest';
import { verdictOf } from '../../../qemu-examples/fs-tests/batch.ts';
import {
  countersBetween,
  parseChannelLine,
} from '../../../qemu-examples/fs-tests/channel-lines.ts';

describe('a line', () => {
  test.each([
    ['@hello 6.12.1-cloud\r', { kind: 'hello', kernel: '6.12.1-cloud' }],
    ['@prepared 0', { kind: 'prepared', status: 0 }],
    ['@prepared 77', { kind: 'prepared', status: 77 }],
    ['@begin xfstests ext4 generic/001', { kind: 'begin' }],
    ['|@end of a text', { kind: 'output', text: '@end of a text' }],
    ['@reason no such feature here', { kind: 'reason', text: 'no such feature here' }],
    ['@end 77 1500', { kind: 'end', status: 77, seconds: 1.5 }],
    ['@ask allocated scratch', { kind: 'ask', what: 'allocated', role: 'scratch' }],
    ['@done', { kind: 'done' }],
    ['@off', { kind: 'off' }],
    ['[   3.1] random: crng init', { kind: 'stray', text: '[   3.1] random: crng init' }],
    ['@counters before test 1 2', { kind: 'stray', text: '@counters before test 1 2' }],
    ['@counters now test 1 2 3 4 5 6', { kind: 'stray', text: '@counters now test 1 2 3 4 5 6' }],
  ])('%s', (line, value) => expect(parseChannelLine(line)).toEqual(value));

  test('counters in the order of the agent', () => {
    expect(parseChannelLine('@counters after scratch 1 2 3 4 5 6')).toEqual({
      kind: 'counters',
      when: 'after',
      role: 'scratch',
      counters: {
        ...{ reads: 1, sectorsRead: 2, writes: 3, sectorsWritten: 4, discards: 5, flushes: 6 },
      },
    });
  });
});

test('counters of a test are a difference; a disk that began anew counts from zero', () => {
  const look = (reads: number) => ({
    ...{ reads, sectorsRead: 8 * reads, writes: 0, sectorsWritten: 0, discards: 0, flushes: 0 },
  });
  expect(countersBetween(look(10), look(15))).toMatchObject({ reads: 5, sectorsRead: 40 });
  expect(countersBetween(look(10), look(4))).toMatchObject({ reads: 4, sectorsRead: 32 });
  expect(countersBetween(undefined, look(4))).toMatchObject({ reads: 4 });
});

describe('an exit status', () => {
  test.each([
    [0, '', [], 'pass', ''],
    [77, 'needs a log device', [], 'not run', 'needs a log device'],
    [77, '', [], 'not run', 'no reason given'],
    [1, '', ['first', 'last line', ''], 'fail', 'last line'],
    [1, 'the kernel complains', ['x'], 'fail', 'the kernel complains'],
    [3, '', [], 'fail', 'exit status 3'],
    [124, '', ['x'], 'hang', 'it was still running after 60 s'],
    [137, '', ['x'], 'hang', 'it was still running after 60 s'],
  ] as const)('%i %s', (status, said, output, verdict, reason) => {
    expect(verdictOf({ status, seconds: 60 }, said, output, 60)).toEqual({ verdict, reason });
  });

  test.each([124, 137])('%i before its time is the test’s own', (status) => {
    const reason = `exit status ${status}`;
    expect(verdictOf({ status, seconds: 7 }, '', [], 60)).toEqual({ verdict: 'fail', reason });
  });
});
