/**
 * The load generator's own ceiling, measured first, so that nobody measures the client by mistake. The null device is
 * vloop's memory disk on a pinned worker that always polls: a FLUSH there has nothing to do and moves no bytes, so
 * its rate is what the rings and the client can do; reads add a copy. libblkio's other drivers on /dev/zero would be
 * no null device for this client: they never touch a virtqueue. In every row the client's own share of a processor
 * is printed beside the figures, for the same reason.
 */
import { startBackEnd } from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { BlkioClient } from './blkio-client.ts';
import { MEMORY_SIZE } from './opponents.ts';
import { workload } from './workload.ts';

const DEPTH = 32;

export async function measureCeiling(
  workspace: Workspace,
  client: BlkioClient,
  seconds: number,
): Promise<string> {
  const backEnd = await startBackEnd('vloop', workspace, 'null-device', {
    memory: MEMORY_SIZE,
    vloopArguments: ['--cpus=1', '--poll-us=1000'],
  });
  try {
    const rate = async (operation: 'flush' | 'randread', wait: 'sleep' | 'spin') => {
      const asked = workload(operation, 4096, DEPTH, { wait });
      await client.measure(backEnd, asked, seconds / 4);
      const {
        requests,
        seconds: taken,
        clientBusy,
      } = await client.measure(backEnd, asked, seconds);
      const ownUs = (((clientBusy ?? 0) * taken) / requests) * 1e6;
      return `${(requests / taken / 1000).toFixed(0)} k/s (${ownUs.toFixed(2)} µs of its own a request)`;
    };
    const empty = await rate('flush', 'spin');
    const polling = await rate('randread', 'spin');
    const sleeping = await rate('randread', 'sleep');
    return `blkio's ceiling, depth ${DEPTH}: without data ${empty}; 4k reads of memory ${polling}, sleeping ${sleeping}`;
  } finally {
    await backEnd.stop();
  }
}
