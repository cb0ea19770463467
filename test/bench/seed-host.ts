/**
 * What the kernel of the host says of a back-end's cost: the context switches of its threads, and the page cache, of
 * the whole machine and of one image.
 */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { dropCachedPages } from '../../src/sys/block-file.ts';
import { cachedPages } from '../support/page-cache.ts';

const PAGE_KIB = 4;

/** By thread, the times that it gave its CPU away or lost it. */
export type Switches = ReadonlyMap<string, number>;

export function contextSwitches(pid: number): Switches {
  const found = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      found.set(thread, switchesIn(readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1')));
    } catch {
      // A thread of the kernel's (io_uring starts and ends them) that has ended meanwhile.
    }
  }
  return found;
}

/** Both kinds, from the text of /proc/PID/task/TID/status. */
export function switchesIn(status: string): number {
  const counts = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm)];
  if (counts.length !== 2) throw new Error('a thread without counts of context switches');
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Of all threads that are there afterwards; a new one began at 0. */
export function switchesBetween(before: Switches, after: Switches): number {
  let sum = 0;
  for (const [thread, count] of after) sum += count - (before.get(thread) ?? 0);
  return sum;
}

export interface HostCache {
  readonly buffersKib: number;
  /** Without shared memory, which /proc/meminfo counts as cache: a guest's memory is that. */
  readonly cachedKib: number;
}

export function hostCache(meminfo = readFileSync('/proc/meminfo', 'latin1')): HostCache {
  const kib = (name: string) => {
    const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1];
    if (value === undefined) throw new Error(`/proc/meminfo has no ${name}`);
    return Number(value);
  };
  return { buffersKib: kib('Buffers'), cachedKib: kib('Cached') - kib('Shmem') };
}

/** Cached pages of one file, in KiB; null where the kernel cannot tell (before Linux 6.5). */
export function imageCacheKib(path: string): number | null {
  const pages = cachedPages(path);
  return pages < 0 ? null : pages * PAGE_KIB;
}

/** Makes the file durable and takes it out of the page cache. */
export function forgetImage(path: string): void {
  const fd = openSync(path, 'r+');
  fsyncSync(fd);
  const result = dropCachedPages(fd);
  closeSync(fd);
  if (result < 0) throw new Error(`${path} cannot be taken out of the page cache`);
}
