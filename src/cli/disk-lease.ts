/**
 * The lock of a disk's file while a ring runs (`--lock=running`): the calls behind backing/running-lock.ts.
 */
import { fdatasync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenBacking } from '../backing/open-backing.ts';
import { type LockCalls, type LockEvents, RunningLock } from '../backing/running-lock.ts';
import { dropCachedPages, lockFile, unlockFile } from '../sys/block-file.ts';
import type { LoopWorkers } from '../worker/loop-workers.ts';

export function leaseOf(
  { path, fd, readOnly }: OpenBacking,
  /** As it is by then. */
  now: () => OpenBacking,
  workers: LoopWorkers,
  events: LockEvents,
): RunningLock {
  const calls: LockCalls = {
    lock: () => lockFile(fd, !readOnly),
    unlock: () => unlockFile(fd),
    sync: () => syncFile(fd),
    // File systems that hosts share see to it themselves; a block device's cache knows of no other host.
    forgetCached() {
      if (now().kind === 'block' && !now().direct) dropCachedPages(fd);
    },
    wait: (milliseconds) => sleep(milliseconds),
  };
  return new RunningLock(path, calls, {
    onTaken: () => events.onTaken(),
    onGivenUp: () => events.onGivenUp(),
    onSyncFailed(errno) {
      if (!now().direct && workers.flushErrno === 0) workers.flushErrno = errno;
      events.onSyncFailed(errno);
    },
  });
}

/** In a thread of Node's own: it may take as long as there is to write. 0, or -errno. */
export function syncFile(fd: number): Promise<number> {
  return new Promise((resolve) => {
    fdatasync(fd, (error) => resolve(error?.errno ?? 0));
  });
}
