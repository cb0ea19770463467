/**
 * What starting leaves in memory, given back once. Neither a worker nor an idle main thread allocates
 * enough afterwards for V8 to look again: the garbage of loading modules would stay as long as the disk.
 */
import { Session } from 'node:inspector/promises';
import { trimMalloc } from '../sys/malloc.ts';

/**
 * A full collection of the calling thread's heap; about 20 ms. The inspector's own protocol is the one
 * documented way to ask for it without changing V8's flags, which would void the compiled code on disk.
 */
export async function collectStartGarbage(): Promise<void> {
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.collectGarbage');
  } finally {
    session.disconnect();
  }
  trimMalloc();
}
