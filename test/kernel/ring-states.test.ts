/**
 * Rings that stop, start, are disabled, polled or never called, under load and against the whole daemon:
 * what QEMU does to a disk at every reset, pause and handover.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK, virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import type { MockQueue, Pending } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { vringFdPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const BLOCK = 4096;
let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** Fills a queue; what was offered. */
function fill(queue: MockQueue): Pending[] {
  const offered: Pending[] = [];
  while (queue.hasRoom) offered.push(queue.offer(blk.read((offered.length * 8) % 512, BLOCK)));
  queue.kick();
  return offered;
}

function allOk(pending: readonly Pending[]): void {
  for (const { request, usedBytes } of pending) {
    expect([request.status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, BLOCK + 1]);
  }
}

test.each([['--workers=1'], ['--workers=2']])(
  'stopped and started again under load 50 times, no request is lost or done twice (%s)',
  async (workers) => {
    disk = await ServedDisk.serve({ args: [workers] });
    const frontEnd = await disk.connect({ queueCount: 4 });
    let offered = 0;
    for (let round = 0; round < 50; round++) {
      const batches = frontEnd.queues.map(fill);
      offered += batches.flat().length;
      const bases = await frontEnd.stopQueues();
      // What was taken has been answered by then; the rest waits for the next start.
      frontEnd.queues.forEach((queue, i) => {
        expect(queue.driver.usedIdx, `queue ${i}`).toBe(bases[i]);
      });
      await frontEnd.startQueues();
      for (const queue of frontEnd.queues) await queue.drained();
      for (const batch of batches) allOk(batch);
    }
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({ reads: offered, errors: 0 });
  },
);

test('a ring that is kicked while it stops leaves no poll behind in the kernel', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect();
  const polls = () =>
    eventually('list of polls', 5000, () => disk.vloop.kernelPolls() ?? undefined);
  const before = await polls();
  for (let round = 0; round < 50; round++) {
    let stopped = false;
    const stop = frontEnd.stopQueue(0).finally(() => {
      stopped = true;
    });
    while (!stopped) {
      for (let i = 0; i < 5; i++) frontEnd.queue.kickAnyway();
      await nextTurn();
    }
    await stop;
    await frontEnd.restart(0);
  }
  await frontEnd.queue.mustRun(blk.read(0, BLOCK));
  await eventually(
    () => `${before} polls, as before; there are ${disk.vloop.kernelPolls()}`,
    5000,
    () => disk.vloop.kernelPolls() === before || undefined,
  );
});

test('a disabled ring is not served, and goes on when it is enabled', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect({ queueCount: 2 });
  await frontEnd.enable(0, false);
  const offered = fill(frontEnd.queue);
  frontEnd.queue.kickAnyway();
  await frontEnd.queues[1]!.mustRun(blk.read(0, BLOCK));
  expect(frontEnd.queue.driver.usedIdx).toBe(0);
  expect(await frontEnd.stopQueue(0)).toBe(0);
  await frontEnd.restart(0);
  await frontEnd.queue.drained();
  allOk(offered);
});

test('a ring that is started with requests in it is served without a kick', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connectSilently();
  const pending = frontEnd.queue.offer(blk.read(0, BLOCK));
  frontEnd.queue.driver.publish();
  await frontEnd.realize();
  await frontEnd.startQueues();
  await frontEnd.queue.drained();
  allOk([pending]);
});

describe('a front-end that polls', () => {
  async function without(name: 'SET_VRING_KICK' | 'SET_VRING_CALL'): Promise<MockFrontEnd> {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    expect(await frontEnd.client.acked(name, vringFdPayload(0, false))).toBe(0n);
    return frontEnd;
  }

  test('without a kick eventfd: its ring is looked at', async () => {
    const { queue } = await without('SET_VRING_KICK');
    for (let i = 0; i < 100; i++) {
      const pending = queue.offer(blk.read(i, BLOCK));
      queue.driver.publish();
      await queue.drained();
      allOk([pending]);
    }
  });

  test('without a call eventfd: nobody is called', async () => {
    const { queue } = await without('SET_VRING_CALL');
    drainEventfd(queue.callFd);
    for (let i = 0; i < 100; i++) await queue.mustRun(blk.read(i, BLOCK));
    expect(drainEventfd(queue.callFd)).toBeLessThan(0);
  });

  test('a kick eventfd that comes later wakes a ring that was polled', async () => {
    const { client, queue } = await without('SET_VRING_KICK');
    client.send('SET_VRING_KICK', vringFdPayload(0, true), { fds: [queue.kickFd] });
    await queue.mustRun(blk.read(0, BLOCK));
    // Asleep by now: only the kick can wake it.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await queue.mustRun(blk.read(0, BLOCK));
  });
});

test('a call eventfd that is exchanged under a sleeping driver is signalled at once', async () => {
  disk = await ServedDisk.serve();
  const { client, queue } = await disk.connect({ byCalls: true });
  await queue.mustRun(blk.read(0, BLOCK));
  drainEventfd(queue.callFd);
  client.send('SET_VRING_CALL', vringFdPayload(0, true), { fds: [queue.callFd] });
  await eventually('call', 5000, () => (drainEventfd(queue.callFd) > 0 ? true : undefined));
  await queue.mustRun(blk.read(0, BLOCK));
});

test('bug class 28: a storm of kicks without requests disturbs nobody', async () => {
  disk = await ServedDisk.serve();
  const { queues } = await disk.connect({ queueCount: 2 });
  for (let i = 0; i < 200_000; i++) {
    queues[0]!.kickAnyway();
    if (i % 10_000 === 0) await queues[1]!.mustRun(blk.read(0, BLOCK));
  }
  await disk.stopVloop();
  expect(disk.vloop.lines.length).toBeLessThan(10);
});

test('the guest switches its cache: writeback is read back, and a new front-end starts at 1', async () => {
  disk = await ServedDisk.serve();
  const first = await disk.connect();
  const wce = async (frontEnd: MockFrontEnd) => (await frontEnd.config())[virtioBlkConfig.at.wce];
  expect(await wce(first)).toBe(1);
  await first.setWriteback(0);
  expect(await wce(first)).toBe(0);
  const data = noise(BLOCK, 5);
  await first.queue.mustRun(blk.write(0, data));
  first.close();
  const second = await disk.connect();
  expect(await wce(second)).toBe(1);
  expect(Buffer.compare(await second.queue.mustRun(blk.read(0, BLOCK)), data)).toBe(0);
});

test('a ring of one entry, and one of 32768, are rings', async () => {
  disk = await ServedDisk.serve();
  for (const queueSize of [4, 32_768]) {
    const frontEnd = await disk.connect({ queueSize });
    for (let i = 0; i < 3; i++) await frontEnd.queue.mustRun(blk.read(i, BLOCK));
    frontEnd.close();
  }
});

test('features without EVENT_IDX after features with it: the next start has what was said last', async () => {
  disk = await ServedDisk.serve();
  const withEvents = await disk.connect({ byCalls: true });
  await withEvents.queue.mustRun(blk.read(0, BLOCK));
  withEvents.close();
  const without = await disk.connect({ byCalls: true, eventIdx: false });
  for (let i = 0; i < 50; i++) await without.queue.mustRun(blk.read(i, BLOCK));
});
