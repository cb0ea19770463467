/**
 * The lock that is handed over: when it is taken and given up, how long it is waited for, and that a file
 * whose last writes are not durable is not let go.
 */
import { describe, expect, test } from 'vitest';
import { EACCES, EAGAIN, EINVAL, EIO } from '../../../protocol/linux.ts';
import { LOCK_WAIT_MS, RunningLock } from '../../../src/backing/running-lock.ts';

function newLock({
  lockResults = [],
  syncResult = 0,
}: {
  lockResults?: number[];
  syncResult?: number;
} = {}) {
  const done: string[] = [];
  let waitedMs = 0;
  const calls = {
    lock() {
      done.push('lock');
      return lockResults.shift() ?? 0;
    },
    unlock() {
      done.push('unlock');
      return 0;
    },
    async sync() {
      done.push('sync');
      return syncResult;
    },
    forgetCached: () => void done.push('forget'),
    async wait(milliseconds: number) {
      waitedMs += milliseconds;
    },
  };
  const lock = new RunningLock('disk.img', calls, {
    onTaken: async () => void done.push('taken'),
    onGivenUp: () => void done.push('given up'),
    onSyncFailed: (errno) => void done.push(`sync failed ${errno}`),
  });
  return { lock, done, waited: () => waitedMs };
}

test('taken, then what this host remembers is forgotten; durable, then given up', async () => {
  const { lock, done } = newLock();
  expect(await lock.take()).toBeNull();
  expect(done).toEqual(['lock', 'forget', 'taken']);
  await lock.giveUp();
  expect(done.slice(3)).toEqual(['sync', 'unlock', 'given up']);
});

test('once taken it is not taken again, once given up not given up again', async () => {
  const { lock, done } = newLock();
  await lock.giveUp();
  expect(done).toEqual([]);
  await lock.take();
  await lock.take();
  expect(done.filter((what) => what === 'lock')).toHaveLength(1);
  await lock.giveUp();
  await lock.giveUp();
  expect(done.filter((what) => what === 'unlock')).toHaveLength(1);
});

describe('while another process holds it', () => {
  test.each([EAGAIN, EACCES])('it is waited for (errno %i)', async (errno) => {
    const { lock, waited } = newLock({ lockResults: [-errno, -errno, -errno] });
    expect(await lock.take()).toBeNull();
    expect(waited()).toBeGreaterThan(0);
  });

  test('for a bounded time, then it is refused in words, and may be tried again', async () => {
    const lockResults = new Array<number>(10_000).fill(-EAGAIN);
    const { lock, done, waited } = newLock({ lockResults });
    expect(await lock.take()).toBe(
      `backing file disk.img: locked, another process serves it (waited ${LOCK_WAIT_MS} ms)`,
    );
    expect(waited()).toBe(LOCK_WAIT_MS);
    await lock.giveUp();
    expect(done).not.toContain('unlock');
    lockResults.length = 0;
    expect(await lock.take()).toBeNull();
  });
});

test('another failure is not waited for', async () => {
  const { lock, waited } = newLock({ lockResults: [-EINVAL] });
  expect(await lock.take()).toContain('cannot lock it');
  expect(waited()).toBe(0);
});

test('what could not be made durable stays locked, and is this process’s again', async () => {
  const { lock, done } = newLock({ syncResult: -EIO });
  await lock.take();
  await lock.giveUp();
  expect(done.slice(3)).toEqual(['sync', `sync failed ${EIO}`]);
  expect(await lock.take()).toBeNull();
  expect(done.filter((what) => what === 'lock')).toHaveLength(1);
});
