/**
 * The busy machine: a process that never sleeps, bound to the last processor. Beside it idle processors do not go to
 * sleep, so wake-ups are cheap, and a back-end has to share. It dies with the benchmark, whatever ends that.
 */
import { cpus } from 'node:os';
import { BoundedProcess } from '../support/bounded-process.ts';

export function startHog(): BoundedProcess {
  const processor = cpus().length - 1;
  return new BoundedProcess([
    'taskset',
    '-c',
    String(processor),
    'sh',
    '-c',
    'while :; do :; done',
  ]);
}
