/**
 * vloop behind an IOMMU: ring addresses and buffers are I/O virtual ones. Misses are asked for once each,
 * invalidations are answered when nothing uses the range any more, rings stop and start with their pages,
 * and what the IOMMU forbids is not done.
 */
import { afterEach, describe, expect, test } from 'vitest';
import {
  VHOST_ACCESS_RO,
  VHOST_ACCESS_RW,
  VHOST_ACCESS_WO,
  VHOST_IOTLB_UPDATE,
} from '../../protocol/vhost-user-payloads.ts';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { noise } from '../support/image-content.ts';
import { blk, STATUS_POISON } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd, MockFrontEndOptions } from '../support/mock-frontend.ts';
import { MockIommu, PAGE_BYTES } from '../support/mock-iommu.ts';
import { ServedDisk, type ServedDiskOptions } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
let disk: ServedDisk;
let frontEnd: MockFrontEnd;
let iommu: MockIommu;

afterEach(async () => {
  await disk.close();
});

async function start(
  options: MockFrontEndOptions = {},
  served: ServedDiskOptions = {},
): Promise<void> {
  disk = await ServedDisk.serve(served);
  frontEnd = await disk.connectSilently({ ...options, translated: true });
  iommu = disk.own(await MockIommu.start(frontEnd));
}

const everything = () => iommu.invalidate(0, 0);

test('requests go through translations that are asked for, each page once', async () => {
  await start();
  const data = noise(16 * PAGE_BYTES, 9);
  await frontEnd.queue.mustRun(blk.write(0, data));
  expect(Buffer.from(await frontEnd.queue.mustRun(blk.read(0, data.length)))).toEqual(
    Buffer.from(data),
  );
  expect(disk.imageBytes().subarray(0, data.length)).toEqual(Buffer.from(data));
  const asked = iommu.misses.map(({ iova, access }) => `${iova}/${access}`);
  expect(new Set(asked).size).toBe(asked.length);
  const count = iommu.misses.length;
  for (let i = 0; i < 50; i++) await frontEnd.queue.mustRun(blk.read(i, 512));
  // Requests have places of their own, which come one after the other: no page is asked for again.
  const again = iommu.misses.slice(count).map(({ iova, access }) => `${iova}/${access}`);
  expect(again.filter((page) => asked.includes(page))).toEqual([]);
});

test.each([
  ['split, one worker', { workers: 1 }],
  ['split, two workers', { workers: 2 }],
  ['packed', { workers: 2, packed: true }],
  ['packed, in order', { workers: 1, packed: true, inOrder: true }],
])(
  'a verified load of every kind, with everything invalidated again and again (%s)',
  async (_, { workers, ...layout }) => {
    const options = { queueCount: 2, moreRegions: [loadRegion(2)], ...layout };
    await start(options, { args: [`--workers=${workers}`] });
    const load = new VerifiedLoad(frontEnd, new Uint8Array(16 * MIB));
    let stop = false;
    const running = load.runUntil(() => stop);
    for (let round = 0; round < 15; round++) {
      const before = load.answered;
      await eventually('more answers', 10_000, () => load.answered > before + 20 || undefined);
      expect(await everything()).toBe(0n);
    }
    stop = true;
    await running;
    frontEnd.close();
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({ guestViolations: 0, errors: 0 });
  },
);

test('a ring stops, starts and keeps its place', async () => {
  await start();
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 3; i++) await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(await iommu.alone(() => frontEnd.stopQueue(0))).toBe((round + 1) * 3);
    await iommu.alone(() => frontEnd.restart(0));
  }
});

test('a ring whose pages are invalidated stands still until they are back', async () => {
  await start();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  iommu.answering = false;
  const { used } = frontEnd.queue.ring.place;
  iommu.misses.length = 0;
  expect(await iommu.invalidate(used - (used % PAGE_BYTES))).toBe(0n);
  const pending = frontEnd.queue.offer(blk.read(0, 512));
  frontEnd.queue.kick();
  frontEnd.queue.kickAnyway();
  const asked = await eventually('a miss', 5000, () => iommu.misses.at(-1));
  expect(asked.access).toBe(VHOST_ACCESS_RW);
  expect(pending.usedBytes).toBe(-1);
  iommu.answering = true;
  // What it was asked meanwhile it never answers: the back-end asks again.
  await frontEnd.queue.drained();
  expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
});

test('an invalidation is answered when the commands that use the range have ended, others go on', async () => {
  await start({ queueCount: 2 });
  const [first, second] = frontEnd.queues;
  const pending = [];
  for (let i = 0; i < 20; i++) pending.push(first!.offer(blk.write(i * 8, noise(PAGE_BYTES, i))));
  first!.kick();
  await eventually('the first misses', 5000, () => iommu.misses.length > 8 || undefined);
  const { buffers } = pending[0]!.request;
  for (const { address } of buffers) {
    expect(await iommu.invalidate(address - (address % PAGE_BYTES))).toBe(0n);
  }
  await second!.mustRun(blk.read(0, 512));
  await first!.drained();
  for (const { request } of pending) expect(request.status).toBe(VIRTIO_BLK_S_OK);
});

test('killed with requests in flight, the next vloop takes them up through the same IOMMU', async () => {
  const args = ['--direct-io=off', '--aio=threads'];
  await start({ inflight: true }, { args });
  for (let round = 0; round < 2; round++) {
    const written = Array.from({ length: 24 }, (_, i) => noise(24 * PAGE_BYTES, round * 100 + i));
    const sector = (i: number) => (i * 24 * PAGE_BYTES) / 512;
    const pending = written.map((data, i) => frontEnd.queue.offer(blk.write(sector(i), data)));
    frontEnd.queue.kick();
    const answers = await frontEnd.queue.answers();
    await disk.vloop.kill();
    await disk.startVloop(args);
    await iommu.alone(() => frontEnd.reconnect(disk.socket));
    // Stopped before it has been able to look at its ring, it forgets nothing.
    if (round === 1) await iommu.alone(() => frontEnd.stopQueue(0));
    await iommu.reconnected();
    if (round === 1) await iommu.alone(() => frontEnd.restart(0));
    answers.push(...(await frontEnd.queue.drained()));
    expect(answers).toHaveLength(pending.length);
    for (const { request } of pending) expect(request.status).toBe(VIRTIO_BLK_S_OK);
    const image = disk.imageBytes();
    written.forEach((data, i) => {
      const at = sector(i) * 512;
      expect(Buffer.compare(image.subarray(at, at + data.length), data)).toBe(0);
    });
  }
});

test('another process takes a front-end with an IOMMU over under load', async () => {
  await start({ queueCount: 2, moreRegions: [loadRegion(2)] });
  const load = new VerifiedLoad(frontEnd, new Uint8Array(16 * MIB));
  let stop = false;
  const running = load.runUntil(() => stop);
  for (let round = 0; round < 2; round++) {
    await disk.vloop.upgrade();
    const before = load.answered;
    await eventually('more answers', 10_000, () => load.answered > before + 50 || undefined);
    expect(await everything()).toBe(0n);
  }
  stop = true;
  await running;
});

describe('access', () => {
  /** A request at a place of its own, whose pages nobody has asked for. */
  function placeOf(text: Parameters<typeof frontEnd.queue.offer>[0]) {
    const pending = frontEnd.queue.offer(text);
    const page = (address: number) => address - (address % PAGE_BYTES);
    return { pending, pages: pending.request.buffers.map(({ address }) => page(address)) };
  }

  async function isBroken(): Promise<void> {
    const [line] = await disk.vloop.logged('the guest broke a vring');
    expect(line?.['violation']).toBe('CHAIN_ADDRESS_UNMAPPED');
    await eventually('the error eventfd', 5000, () =>
      drainEventfd(frontEnd.queue.errFd) > 0 ? true : undefined,
    );
  }

  test('a page that the guest does not map breaks the vring, and no other', async () => {
    await start({ queueCount: 2 });
    const { pages, pending } = placeOf(blk.read(0, PAGE_BYTES));
    for (const page of pages) iommu.unmapped.add(page);
    frontEnd.queue.kick();
    await isBroken();
    expect(pending.usedBytes).toBe(-1);
    await frontEnd.queues[1]!.mustRun(blk.read(0, 512));
    expect(await iommu.alone(() => frontEnd.stopQueue(0))).toBe(0);
  });

  test('a page that may only be read is not written to', async () => {
    await start();
    const { pages, pending } = placeOf(blk.read(0, 4 * PAGE_BYTES));
    for (const page of pages) iommu.accessOf.set(page, VHOST_ACCESS_RO);
    frontEnd.queue.kick();
    await isBroken();
    expect(pending.request.status).toBe(STATUS_POISON);
  });

  test('a page that may only be written is not read from', async () => {
    await start();
    const before = disk.imageBytes();
    const { pages } = placeOf(blk.write(0, noise(4 * PAGE_BYTES, 1)));
    for (const page of pages) iommu.accessOf.set(page, VHOST_ACCESS_WO);
    frontEnd.queue.kick();
    await isBroken();
    expect(Buffer.compare(disk.imageBytes(), before)).toBe(0);
  });

  test('pages of the access that is needed, and no more, will do', async () => {
    await start();
    const text = { ...blk.write(0, noise(2 * PAGE_BYTES, 4)), gapBytes: 2 * PAGE_BYTES };
    const { pages, pending } = placeOf(text);
    pages.slice(0, -1).forEach((page) => {
      if (page !== pages.at(-1)) iommu.accessOf.set(page, VHOST_ACCESS_RO);
    });
    iommu.accessOf.set(pages.at(-1)!, VHOST_ACCESS_WO);
    frontEnd.queue.kick();
    await frontEnd.queue.drained();
    expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
  });
});

describe('hostile', () => {
  const NACK = 1n;
  const region = () => frontEnd.shared.regions[0]!;

  test.each<[string, () => Parameters<MockIommu['say']>[0], RegExp]>([
    [
      'outside all regions',
      () => ({ type: 2, perm: 3, size: PAGE_BYTES, uaddr: 0x1000 }),
      /not inside one memory region/,
    ],
    [
      'past the end of its region',
      () => ({
        type: 2,
        perm: 3,
        size: 2 * PAGE_BYTES,
        uaddr: region().userAddress + region().sizeBytes - PAGE_BYTES,
      }),
      /not inside one memory region/,
    ],
    [
      'that overflows',
      () => ({ type: 2, perm: 3, size: 2n ** 64n - 1n, uaddr: region().userAddress }),
      /not below 2\^53/,
    ],
    [
      'of an address that no Number holds',
      () => ({ type: 2, perm: 3, iova: 2n ** 63n, size: 4096, uaddr: region().userAddress }),
      /not below 2\^53/,
    ],
    ['of nothing', () => ({ type: 2, perm: 3, uaddr: region().userAddress }), /size=0/],
    ['without access', () => ({ type: 2, size: 4096, uaddr: region().userAddress }), /perm=0/],
    [
      'with a wrong access',
      () => ({ type: 2, perm: 7, size: 4096, uaddr: region().userAddress }),
      /perm=7/,
    ],
    ['that is a miss', () => ({ type: 1, perm: 3, iova: 4096 }), /type=VHOST_IOTLB_MISS/],
    ['of an unknown type', () => ({ type: 9 }), /type=unknown/],
  ])('an update %s is refused, and nothing else', async (_, text, reason) => {
    await start();
    expect(await iommu.say(text())).toBe(NACK);
    const [line] = await disk.vloop.logged('front-end message refused');
    expect(line?.['error']).toMatch(reason);
    await frontEnd.queue.mustRun(blk.read(0, 512));
  });

  test('an IOTLB message of a front-end without IOMMU is refused', async () => {
    disk = await ServedDisk.serve();
    frontEnd = await disk.connect();
    const { iotlbPayload, replyU64 } = await import('../support/vhost-user-messages.ts');
    const reply = await frontEnd.client.request('IOTLB_MSG', iotlbPayload({ type: 3, size: 4096 }));
    expect(replyU64(reply)).toBe(NACK);
    await frontEnd.queue.mustRun(blk.read(0, 512));
  });

  test('12 000 translations leave vloop bounded, and the first is asked for again', async () => {
    await start({ moreRegions: [[0x1_0000_0000, 64 * MIB]] });
    const before = disk.vloop.rssBytes();
    const uaddr = region().userAddress;
    for (let i = 0; i < 12_000; i++) {
      const status = await iommu.say({
        type: VHOST_IOTLB_UPDATE,
        perm: 3,
        iova: 0x80_0000_0000 + i * PAGE_BYTES,
        size: PAGE_BYTES,
        uaddr,
      });
      expect(status).toBe(0n);
    }
    await frontEnd.queue.mustRun(blk.read(0, 512));
    expect(disk.vloop.rssBytes() - before).toBeLessThan(32 * MIB);
  });

  test('translations that are changed under load without an invalidation do no harm', async () => {
    await start({ queueCount: 2, moreRegions: [loadRegion(2)] }, { args: ['--workers=2'] });
    const load = new VerifiedLoad(frontEnd, new Uint8Array(16 * MIB));
    let stop = false;
    const running = load.runUntil(() => stop);
    const [start0, size] = loadRegion(2);
    for (let i = 0; i < 200; i++) {
      const iova = start0 + ((i * 37) % (size / PAGE_BYTES)) * PAGE_BYTES;
      expect(await iommu.update(iova, PAGE_BYTES)).toBe(0n);
    }
    stop = true;
    await running;
  });

  test('a front-end that never answers misses: nothing hangs, and SIGTERM ends it', async () => {
    await start();
    iommu.answering = false;
    const pending = frontEnd.queue.offer(blk.read(0, 512));
    frontEnd.queue.kick();
    await eventually('a second asking', 5000, () => {
      const pages = iommu.misses.map(({ iova }) => iova);
      return new Set(pages).size < pages.length || undefined;
    });
    expect(pending.usedBytes).toBe(-1);
    expect(await iommu.alone(() => frontEnd.stopQueue(0))).toBe(0);
    expect((await disk.stopVloop()).status).toBe(0);
  });

  test('a front-end that goes away with misses open leaves nothing behind', async () => {
    await start();
    iommu.answering = false;
    const fds = disk.vloop.openFds();
    frontEnd.queue.offer(blk.read(0, 512));
    frontEnd.queue.kick();
    await eventually('a miss', 5000, () => iommu.misses.at(-1));
    frontEnd.close();
    await disk.vloop.logged('front-end disconnected');
    const next = await disk.connect();
    await next.queue.mustRun(blk.read(0, 512));
    expect(disk.vloop.openFds()).toBeLessThanOrEqual(fds);
  });

  test('regions that go take their translations along', async () => {
    await start({ moreRegions: [[0x1_0000_0000, MIB]] });
    const at = 0x1_0000_0000;
    await frontEnd.queue.mustRun(blk.read(0, PAGE_BYTES), at);
    const more = frontEnd.shared.regions[1]!;
    await iommu.alone(() => frontEnd.removeRegion(more));
    iommu.answering = false;
    const pending = frontEnd.queue.offer(blk.read(0, PAGE_BYTES), at);
    frontEnd.queue.kick();
    await eventually('a miss in the region', 5000, () =>
      iommu.misses.slice(-3).find(({ iova }) => iova >= at),
    );
    await iommu.alone(() => frontEnd.addRegion(more));
    iommu.answering = true;
    await frontEnd.queue.drained();
    expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
  });
});
