/**
 * The reactor of machines without io_uring, on real eventfds: each signal is reported once, none is
 * lost, and nothing has to be read from the eventfds.
 */
import { closeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventfd, signalEventfd } from '../../src/sys/eventfd.ts';
import { EpollReactor } from '../../src/worker/epoll-reactor.ts';

let reactor: EpollReactor;
const fds: number[] = [];

beforeEach(() => {
  reactor = new EpollReactor();
});

afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
});

function watched(key: number): number {
  const fd = createEventfd();
  expect(fd).toBeGreaterThan(0);
  fds.push(fd);
  reactor.watch(key, fd);
  return fd;
}

/** What is reported, in ascending order; batches are taken to their end. */
function reported(): number[] {
  const keys: number[] = [];
  const sink = {
    onSignal: (key: number) => keys.push(key),
    onResult() {
      throw new Error('epoll has no results');
    },
  };
  while (reactor.reap(sink));
  return keys.sort((a, b) => a - b);
}

function turned(): number[] {
  reactor.turn(false, false);
  return reported();
}

describe('a turn without waiting', () => {
  test('reports nothing when nothing was signalled', () => {
    watched(1);
    expect(turned()).toEqual([]);
  });

  test('reports who was signalled, once', () => {
    const [a, , c] = [watched(1), watched(2), watched(0x1000)];
    signalEventfd(a!);
    signalEventfd(c!);
    expect(turned()).toEqual([1, 0x1000]);
    expect(turned()).toEqual([]);
  });

  test('reports an eventfd again that is signalled again and was never read', () => {
    const fd = watched(3);
    for (let i = 0; i < 5; i++) {
      signalEventfd(fd);
      expect(turned()).toEqual([3]);
    }
  });

  test('reports a signal of before the watch', () => {
    const fd = createEventfd();
    fds.push(fd);
    signalEventfd(fd);
    reactor.watch(7, fd);
    expect(turned()).toEqual([7]);
  });

  test('reports as many as a disk can have vrings, in several turns', () => {
    for (let key = 0; key < 256; key++) signalEventfd(watched(key));
    const keys = [];
    for (let turn = 0; turn < 10; turn++) keys.push(...turned());
    expect(keys.sort((a, b) => a - b)).toEqual(Array.from({ length: 256 }, (_, key) => key));
  });
});

test('a batch is delivered once: a second look without a turn finds nothing', () => {
  signalEventfd(watched(5));
  expect(turned()).toEqual([5]);
  expect(reported()).toEqual([]);
});

test('a signal before the sleep ends it, one that was reported does not', () => {
  const fd = watched(1);
  signalEventfd(fd);
  reactor.turn(true, false);
  expect(reported()).toEqual([1]);
  const start = performance.now();
  reactor.turn(true, true);
  expect(performance.now() - start, 'the nap').toBeGreaterThan(0.5);
  expect(reported()).toEqual([]);
});

test('a watch that has ended reports nothing, and its key can be used again', () => {
  const first = watched(1);
  signalEventfd(first);
  reactor.unwatch(1);
  reactor.unwatch(1);
  expect(turned()).toEqual([]);
  const second = watched(1);
  signalEventfd(first);
  expect(turned()).toEqual([]);
  signalEventfd(second);
  expect(turned()).toEqual([1]);
});
