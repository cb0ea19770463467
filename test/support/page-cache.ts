/**
 * How many pages of a file are in the page cache, and how many of them wait to be written: cachestat(2), since Linux
 * 6.5. What a write-through disk has answered may not be among the second.
 */
import { closeSync, openSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { declare, FixedBytes, valueOrErrno } from '../../src/sys/libc.ts';

const SYS_CACHESTAT = 451;
/** struct cachestat: nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted. */
const CACHESTAT_BYTES = 40;

const cachestat = declare('int64_t syscall(int64_t, int, uintptr_t, uintptr_t, unsigned int)');

/** Pages in the cache that are not on the device, or -errno. */
export function unwrittenPages(path: string): number {
  return pagesOf(path, (view) => view.getBigUint64(8, true) + view.getBigUint64(16, true));
}

/** Pages in the cache, or -errno. */
export function cachedPages(path: string): number {
  return pagesOf(path, (view) => view.getBigUint64(0, true));
}

function pagesOf(path: string, count: (answer: DataView) => bigint): number {
  const fd = openSync(path, 'r');
  // From 0, of length 0: the whole file.
  const range = new FixedBytes(16);
  const answer = new FixedBytes(CACHESTAT_BYTES);
  const result = valueOrErrno(
    Number(cachestat(SYS_CACHESTAT, fd, range.address, answer.address, 0)),
  );
  closeSync(fd);
  return result < 0 ? result : Number(count(answer.view));
}

/** Why the kernel cannot tell, or null. */
export function missingCachestat(): string | null {
  const pages = unwrittenPages(import.meta.filename);
  return pages >= 0 ? null : `no cachestat(2): ${errnoName(pages)}`;
}
