/**
 * Where a thread runs (sched_setaffinity(2)) and when it lets others (sched_yield(2)).
 */
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const sched_setaffinity = declare('int sched_setaffinity(int, size_t, uintptr_t)');
const sched_yield = declare('int sched_yield()');

/** CPUs that a mask can name (the kernel's CPU_SETSIZE). */
export const CPU_COUNT_MAX = 1024;

/** Binds the calling thread to one CPU. 0, or -errno (-EINVAL: there is no such CPU, or it is not ours). */
export function pinToCpu(cpu: number): number {
  const mask = new FixedBytes(CPU_COUNT_MAX / 8);
  mask.bytes[Math.floor(cpu / 8)] = 1 << (cpu % 8);
  return valueOrErrno(sched_setaffinity(0, mask.bytes.length, mask.address));
}

/** Lets other threads that wait for this CPU go first; returns at once when there are none. */
export function yieldCpu(): void {
  sched_yield();
}
