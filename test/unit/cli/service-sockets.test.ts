/**
 * Sockets that a service manager passes: for whom they are, which disk gets which, and what is refused.
 */
import { describe, expect, test } from 'vitest';
import { passedSockets, socketsOfDisks } from '../../../src/cli/service-sockets.ts';

describe('the environment', () => {
  const environment = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' };

  test('names descriptors from 3 on', () => {
    expect(passedSockets(environment, 42)).toEqual([
      { fd: 3, name: 'a' },
      { fd: 4, name: 'b' },
    ]);
    expect(passedSockets({ LISTEN_PID: '42', LISTEN_FDS: '1' }, 42)).toEqual([{ fd: 3, name: '' }]);
  });

  test('that is meant for another process, or for none, passes nothing', () => {
    expect(passedSockets(environment, 43)).toEqual([]);
    expect(passedSockets({ LISTEN_FDS: '1' }, 42)).toEqual([]);
    expect(passedSockets({}, 42)).toEqual([]);
  });

  test.each(['x', '', '-1', '1.5', '99999'])('with LISTEN_FDS=%s is refused', (count) => {
    expect(() => passedSockets({ LISTEN_PID: '1', LISTEN_FDS: count }, 1)).toThrow(
      `LISTEN_FDS=${count}: expected a number`,
    );
  });
});

describe('disks', () => {
  const sockets = ['a', 'vloop@x.socket', 'c'].map((name, i) => ({ fd: 3 + i, name }));

  test('get the socket of their name, others in their order', () => {
    expect(socketsOfDisks(sockets, ['c', 'b', 'a'])).toEqual([5, 4, 3]);
    expect(socketsOfDisks(sockets, ['x', 'y', 'z'])).toEqual([3, 4, 5]);
  });

  test('one name twice is used once', () => {
    const twins = [
      { fd: 3, name: 'a' },
      { fd: 4, name: 'a' },
    ];
    expect(socketsOfDisks(twins, ['a', 'b'])).toEqual([4, 3]);
  });

  test('of another number are refused', () => {
    expect(() => socketsOfDisks(sockets, ['a'])).toThrow(
      'LISTEN_FDS=3: expected a socket for each disk, and 1',
    );
    expect(() => socketsOfDisks([], ['a'])).toThrow('LISTEN_FDS=0');
  });
});
