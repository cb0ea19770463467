/**
 * A flooded queue and a quiet one on the same worker: what stands between the quiet queue's request and
 * its answer is counted in requests of the flood, not in time. The worker takes SERVE_BATCH_MAX requests or
 * SERVE_BYTES_MAX from one ring before it looks at the next: that is all that may go first. The disk is in memory: the copy
 * is made where the worker takes the request, so that what a read has seen says when it was taken.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SERVE_BATCH_MAX, SERVE_BYTES_MAX } from '../../src/loop/serve-batch.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import type { Pending } from '../support/mock-frontend-queue.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const RING = 1024;
const FLOOD_BYTES = 64 * 1024;
/** Three descriptors each: as many as the ring takes. */
const FLOOD = Math.floor(RING / 3);
const SECTOR = 512;
const BATCH = Math.min(SERVE_BATCH_MAX, SERVE_BYTES_MAX / FLOOD_BYTES);
const ROUNDS = 9;

let directory: string;
let socket: string;
let vloop: VloopProcess | null = null;
let frontEnd: MockFrontEnd | null = null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  socket = join(directory, 's');
});

afterEach(async () => {
  frontEnd?.close();
  await vloop?.kill();
  rmSync(directory, { recursive: true, force: true });
});

/** Whether all threads of a process stand still; the kernel's own for io_uring do nothing by themselves. */
function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1'),
  );
  return threads.every((stat) => stat.includes('(iou-') || stat.includes(') T '));
}

/** Stops vloop while `offer` makes requests visible, so that it finds all of them at once. */
async function foundAtOnce(pid: number, offer: () => void): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await eventually('stop of vloop', 5000, () => isStopped(pid) || undefined);
  offer();
  process.kill(pid, 'SIGCONT');
}

test('one batch of a flood of large reads goes before a single write on another queue', async () => {
  vloop = await VloopProcess.serving({
    args: ['serve', '--memory=16M', `--socket-path=${socket}`, '--num-queues=2', '--workers=1'],
  });
  frontEnd = await MockFrontEnd.start(socket, {
    queueCount: 2,
    queueSize: RING,
    placeCount: FLOOD,
  });
  const [flooded, quiet] = [frontEnd.queues[0]!, frontEnd.queues[1]!];
  for (let round = 0; round < ROUNDS; round++) {
    const before = Buffer.alloc(SECTOR, 2 * round);
    await quiet.mustRun(blk.write(0, before));
    let reads: Pending[] = [];
    await foundAtOnce(vloop.pid, () => {
      reads = Array.from({ length: FLOOD }, () => flooded.offer(blk.read(0, FLOOD_BYTES)));
      flooded.kick();
      quiet.offer(blk.write(0, Buffer.alloc(SECTOR, 2 * round + 1)));
      quiet.kick();
    });
    await flooded.drained();
    await quiet.drained();
    // Reads that saw the old sector went first.
    const first = reads.filter(({ request }) => before.equals(request.dataIn.subarray(0, SECTOR)));
    expect(first.length, `of ${FLOOD} in round ${round}`).toBeLessThanOrEqual(BATCH);
  }
});
