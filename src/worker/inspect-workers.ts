/**
 * Asks all workers of a disk where their vrings stand, without waiting for one that is in a system call for
 * long: that one cannot answer, and that is the answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoopWorkers } from './loop-workers.ts';
import type { VringInspection, WorkerAnswer } from './messages.ts';

const LIMIT_MS = 1000;

/** By worker; null: it did not answer in time. */
export async function inspectWorkers(
  workers: LoopWorkers,
): Promise<Array<readonly VringInspection[] | null>> {
  const late = new AbortController();
  const limit = sleep(LIMIT_MS, null, { signal: late.signal }).catch(() => null);
  const asked = Array.from({ length: workers.count }, async (_, worker) => {
    const answer = await Promise.race<WorkerAnswer>([
      workers.ask(worker, { kind: 'inspect' }),
      limit,
    ]);
    return Array.isArray(answer) ? (answer as VringInspection[]) : null;
  });
  try {
    return await Promise.all(asked);
  } finally {
    late.abort();
  }
}
