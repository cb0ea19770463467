/**
 * A vloop that dies: SIGKILL under verified load, a new one on the same socket, the front-end hands the
 * in-flight region back. Every request is answered once with the right data, however many times it happens.
 * KILLS=n makes a campaign of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';

const KILLS = Number(process.env['KILLS'] ?? 5);
/** Of each engine: enough that some kill finds requests in flight. */
const START_MS = 1500;
const QUEUES = 2;
const DISK_BYTES = 8 * 2 ** 20;
const TAKEN_UP = 'requests in flight taken up again';

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

test.each<[string, readonly string[], { readonly packed: boolean; readonly inOrder?: boolean }]>([
  ['split, buffered', ['--aio=io_uring', '--direct-io=off', '--workers=2'], { packed: false }],
  ['split, threads', ['--aio=threads', '--direct-io=off'], { packed: false }],
  [
    'packed, direct where the file allows',
    ['--aio=io_uring', '--direct-io=auto'],
    { packed: true },
  ],
  ['packed, in order', ['--aio=io_uring', '--direct-io=off'], { packed: true, inOrder: true }],
])(
  `killed ${KILLS} times under load: %s`,
  async (_, options, rings) => {
    const content = noise(DISK_BYTES, 5);
    const args = [`--num-queues=${QUEUES}`, ...options];
    disk = await ServedDisk.serve({ content, args });
    const frontEnd = await disk.connect({
      queueCount: QUEUES,
      inflight: true,
      ...rings,
      moreRegions: [loadRegion(QUEUES)],
    });
    const load = new VerifiedLoad(frontEnd, content.slice());
    let stopped = false;
    const loading = load.runUntil(() => stopped);
    let takenUp = 0;
    let answeredBefore = -1;
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(20 + ((kill * 37) % 100));
      await disk.vloop.kill();
      expect(load.answered, 'requests were answered between two kills').toBeGreaterThan(
        answeredBefore,
      );
      answeredBefore = load.answered;
      await disk.startVloop(args);
      await frontEnd.reconnect(disk.socket);
      for (const line of disk.vloop.log(TAKEN_UP)) takenUp += Number(line['requests']);
    }
    await sleep(50);
    stopped = true;
    await loading;
    await load.run(50);
    expect(load.difference(disk.imageBytes())).toBeNull();
    process.stderr.write(
      `${KILLS} kills, ${load.answered} requests answered and checked, ${takenUp} of them taken up again\n`,
    );
    expect(takenUp).toBeGreaterThan(0);
    const { status } = await disk.stopVloop();
    expect(status).toBe(0);
  },
  60_000 + KILLS * START_MS,
);

test('a region outlives drained stops and front-ends that come back', async () => {
  disk = await ServedDisk.serve({ sizeBytes: DISK_BYTES });
  const frontEnd = await disk.connect({ inflight: true, base: 0xfff8 });
  const data = noise(512, 9);
  for (let round = 0; round < 5; round++) {
    await frontEnd.queue.mustRun(blk.write(round, data));
    await frontEnd.stopQueues();
    await frontEnd.startQueues();
    await frontEnd.queue.mustRun(blk.write(round, data));
    await frontEnd.reconnect(disk.socket);
    const read = await frontEnd.queue.mustRun(blk.read(round, 512));
    expect(Buffer.compare(read, data)).toBe(0);
  }
  expect(disk.vloop.log(TAKEN_UP)).toEqual([]);
});

test('a ring that its driver makes anew after a stop starts where the front-end says', async () => {
  disk = await ServedDisk.serve({ sizeBytes: DISK_BYTES });
  const frontEnd = await disk.connect({ inflight: true });
  for (let i = 0; i < 5; i++) await frontEnd.queue.mustRun(blk.read(i, 512));
  const base = await frontEnd.stopQueue(0);
  expect(base).toBe(5);
  await frontEnd.restart(0);
  await frontEnd.queue.mustRun(blk.read(0, 512));
});

test('rings larger than the region was asked for, as QEMU 10 starts them, are tracked and taken up', async () => {
  const content = noise(DISK_BYTES, 7);
  const args = [`--num-queues=${QUEUES}`, '--direct-io=off'];
  disk = await ServedDisk.serve({ content, args });
  const frontEnd = await disk.connect({
    queueCount: QUEUES,
    inflight: true,
    queueSize: 1024,
    inflightQueueSize: 128,
    moreRegions: [loadRegion(QUEUES)],
  });
  const load = new VerifiedLoad(frontEnd, content.slice());
  let stopped = false;
  const loading = load.runUntil(() => stopped);
  for (let kill = 0; kill < 3; kill++) {
    await sleep(40 + kill * 20);
    await disk.vloop.kill();
    await disk.startVloop(args);
    await frontEnd.reconnect(disk.socket);
  }
  stopped = true;
  await loading;
  expect(load.answered).toBeGreaterThan(0);
  expect(load.difference(disk.imageBytes())).toBeNull();
});
