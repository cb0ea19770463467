/**
 * What the first requests of a front-end leave in memory, given back once they have. V8 compiles what they use, on
 * threads of its own, and the memory of compiling stays in malloc's arenas: half a MiB a worker. Nothing on the data
 * path asks malloc for anything, so nobody waits for this.
 */
import { trimMalloc } from '../sys/malloc.ts';

/** After the last front-end has come: most is compiled soon, the rest (optimised code) a little later. */
const SETTLED_MS = [300, 3000];

let timers: readonly NodeJS.Timeout[] = [];

/** A front-end has come: gives memory back when its first requests are over. Of the whole process, once for all. */
export function giveBackWhenSettled(): void {
  for (const timer of timers) clearTimeout(timer);
  timers = SETTLED_MS.map((delayMs) => setTimeout(trimMalloc, delayMs).unref());
}
