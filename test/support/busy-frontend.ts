/**
 * A front-end that works without end, as a process of its own to be killed: pattern writes and reads on
 * every queue at full depth. Says "busy" on stdout once answers come. Arguments: socket, queues.
 * Run by Node itself; see BusyFrontEnd in this folder's busy-frontend-process.ts.
 */
import { blk } from './mock-driver-blk.ts';
import { MockFrontEnd } from './mock-frontend.ts';
import type { MockQueue } from './mock-frontend-queue.ts';

const BLOCK_BYTES = 4096;
const BLOCK_SECTORS = BLOCK_BYTES / 512;
/** Each queue keeps to blocks of its own. */
const BLOCKS_PER_QUEUE = 64;

const [socket, queues] = process.argv.slice(2);
const frontEnd = await MockFrontEnd.start(socket!, { queueCount: Number(queues) });
let sequence = 0;

function offerNext(queue: MockQueue): void {
  const block = queue.index * BLOCKS_PER_QUEUE + (sequence++ % BLOCKS_PER_QUEUE);
  const sector = block * BLOCK_SECTORS;
  const pattern = new Uint8Array(BLOCK_BYTES).fill(sequence % 251);
  queue.offer(sequence % 3 === 0 ? blk.read(sector, BLOCK_BYTES) : blk.write(sector, pattern));
}

async function work(queue: MockQueue): Promise<never> {
  for (;;) {
    while (queue.hasRoom) offerNext(queue);
    queue.kick();
    for (const { request } of await queue.answers()) {
      if (request.status !== 0) throw new Error(`status ${request.status}`);
    }
    if (sequence > 1000 && sequence < 1100) process.stdout.write('busy\n');
  }
}

await Promise.all(frontEnd.queues.map(work));
