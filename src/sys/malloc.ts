/**
 * glibc's allocator, which gives each thread that asks an arena of its own: freed memory of one is of no
 * use to another.
 */
import { declare } from './libc.ts';

const mallopt = declare('int mallopt(int, int)');

const M_ARENA_MAX = -8;

/** How many arenas threads share from now on; arenas that exist stay. */
export function limitMallocArenas(count: number): void {
  mallopt(M_ARENA_MAX, count);
}

const malloc_trim = declare('int malloc_trim(size_t)');

/** Gives freed pages of every arena back to the system. */
export function trimMalloc(): void {
  malloc_trim(0);
}
