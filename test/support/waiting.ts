/**
 * Waiting in tests: every wait has a bound and says what did not come. Short waits spin through the
 * event loop, so that a test of thousands of round trips is not paced by timers.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** How long a wait looks again and again before it starts to sleep between looks. */
const EAGER_MS = 20;

/** The first value that `probe` gives; throws with `what` when none comes in time. */
export async function eventually<T>(
  what: string | (() => string),
  timeoutMs: number,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const start = performance.now();
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    const waitedMs = performance.now() - start;
    if (waitedMs > timeoutMs) {
      throw new Error(`no ${typeof what === 'string' ? what : what()} after ${timeoutMs} ms`);
    }
    if (waitedMs < EAGER_MS) await nextTurn();
    else await sleep(1);
  }
}

/** What a promise gives; throws with `what` when it does not settle in time. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  const abort = new AbortController();
  const late = sleep(timeoutMs, undefined, { signal: abort.signal }).then(
    () => {
      throw new Error(`no ${what} after ${timeoutMs} ms`);
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
  }
}
