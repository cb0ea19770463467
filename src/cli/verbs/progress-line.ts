/**
 * A line on a terminal's stderr while an operation of a disk takes long: for how long, and how many requests are in
 * flight. Nothing is written where stderr is no terminal, or when the operation is quick.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { RpcClient } from '../../control/rpc-client.ts';

const AFTER_MS = 400;
const EVERY_MS = 250;
const ANSWER_LIMIT_MS = 2000;
const CLEAR = '\r\x1b[K';

export interface LongOperation {
  readonly verb: string;
  readonly disk: string;
  /** The disk's control socket: the connection that waits for the operation answers nothing else. */
  readonly path: string;
}

async function inFlightText(client: RpcClient | null, disk: string): Promise<string> {
  try {
    const status = await client?.call('disk_get_status', { disk }, ANSWER_LIMIT_MS);
    return status === undefined ? '' : `, ${status.in_flight} requests in flight`;
  } catch {
    // The operation itself says what there is to say.
    return '';
  }
}

async function tell({ verb, disk, path }: LongOperation, ended: AbortSignal): Promise<void> {
  const startMs = performance.now();
  const pause = (ms: number) => sleep(ms, null, { signal: ended }).catch(() => null);
  await pause(AFTER_MS);
  if (ended.aborted) return;
  const client = await RpcClient.connect(path).catch(() => null);
  while (!ended.aborted) {
    const waits = await inFlightText(client, disk);
    if (ended.aborted) break;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    process.stderr.write(`${CLEAR}${verb} ${disk}: ${seconds} s${waits}`);
    await pause(EVERY_MS);
  }
  process.stderr.write(CLEAR);
  client?.close();
}

/** Does `work`, and tells of it while it takes. */
export async function withProgress<T>(
  operation: LongOperation,
  work: () => Promise<T>,
): Promise<T> {
  if (!process.stderr.isTTY) return await work();
  const ended = new AbortController();
  const telling = tell(operation, ended.signal);
  try {
    return await work();
  } finally {
    ended.abort();
    await telling;
  }
}
