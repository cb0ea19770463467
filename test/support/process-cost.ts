/**
 * What a process costs, as the kernel counts it: CPU time of all its threads, and how many there are.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, the unit of the times in /proc/PID/stat; 100 on every Linux there is. */
const TICK_MS = 10;

function statMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command name, in parentheses, may itself hold blanks; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** By thread, in nanoseconds; null where the kernel does not keep it (CONFIG_SCHED_INFO). */
function schedulerMs(pid: number): number | null {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [ran] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ');
      sum += Number(ran) / 1e6;
    } catch {
      return null;
    }
  }
  return sum;
}

/** CPU milliseconds of the threads that run now, in the finest unit there is. */
export function cpuMs(pid: number): number {
  return schedulerMs(pid) ?? statMs(pid);
}

/** Threads that the process has started: the kernel's own for io_uring come and go as it sees fit. */
export function threadCount(pid: number): number {
  const names = readdirSync(`/proc/${pid}/task`).map((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/comm`, 'latin1');
    } catch {
      // Ended meanwhile, as only theirs do while nobody ends the process.
      return 'iou-wrk';
    }
  });
  return names.filter((name) => !name.startsWith('iou-')).length;
}
