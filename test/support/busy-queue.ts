/**
 * Reads on one queue without end, to see that what happens meanwhile costs none of them.
 */
import { VIRTIO_BLK_S_OK, virtioBlkStatus } from '../../protocol/virtio-blk.ts';
import { blk } from './mock-driver-blk.ts';
import type { MockQueue } from './mock-frontend-queue.ts';

const READ_BYTES = 4096;

/** Keeps a queue busy with reads until told to stop; how many it did. Rejects when one fails. */
export function keepBusy(queue: MockQueue): { stop(): Promise<number> } {
  let stopping = false;
  const work = async () => {
    let done = 0;
    while (!stopping) {
      while (queue.hasRoom) queue.offer(blk.read((done++ * 8) % 1024, READ_BYTES));
      queue.kick();
      for (const { request } of await queue.answers()) {
        if (request.status === VIRTIO_BLK_S_OK) continue;
        throw new Error(`queue ${queue.index}: ${virtioBlkStatus.nameOf(request.status)}`);
      }
    }
    await queue.drained();
    return done;
  };
  const finished = work();
  finished.catch(() => {});
  return {
    async stop() {
      stopping = true;
      return await finished;
    },
  };
}
