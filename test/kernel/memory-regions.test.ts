/**
 * Memory that comes and goes under a running disk: many regions, regions added and removed while others
 * are in use, rings whose own memory is away, and regions that cannot be what they claim.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { createMemfd } from '../../src/sys/memfd.ts';
import { runLoad } from '../bench/load.ts';
import { parseLoadOptions } from '../bench/load-options.ts';
import { keepBusy } from '../support/busy-queue.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { memTablePayload, singleRegionPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;
const AWAY = 0x10_0000_0000;
const NACK = 1n;

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

test.each([1, 64])(
  '8 GiB of guest memory in %i regions, buffers all over them: every byte is right',
  async (regions) => {
    disk = await ServedDisk.serve();
    const memory = ['--memory-mib=8192', `--regions=${regions}`, '--spare=500', '--segments=4'];
    const load = [
      '--verify',
      '--io=mix',
      '--size=16384',
      '--depth=64',
      '--queues=2',
      '--seconds=0.5',
    ];
    const report = await runLoad(parseLoadOptions([disk.socket, ...memory, ...load]));
    expect(report).toMatchObject({ wrongBlocks: 0, wrong: [] });
    expect(report.requests).toBeGreaterThan(500);
  },
);

test('64 regions at once, with an fd each or one for all, every one of them used', async () => {
  for (const fdEach of [true, false]) {
    disk = await ServedDisk.serve();
    const moreRegions = Array.from({ length: 63 }, (_, i) => [AWAY + i * MIB, 16 * KIB] as const);
    const frontEnd = await disk.connect({ moreRegions, fdEach });
    expect(disk.vloop.guestMappings()).toBe(64);
    const { queue, shared } = frontEnd;
    for (const [i, region] of shared.regions.slice(1).entries()) {
      const data = noise(PAGE, i + 1);
      await queue.mustRun(blk.write(i * 8, data), region.guestAddress + 512);
      const read = await queue.mustRun(blk.read(i * 8, PAGE), region.guestAddress + 8 * KIB);
      expect(Buffer.compare(read, data), `region ${i}`).toBe(0);
    }
    frontEnd.close();
    await disk.vloop.logged('front-end disconnected');
    expect(disk.vloop.guestMappings()).toBe(0);
    await disk.close();
  }
});

test('regions added and removed while rings run on others: no request fails or is lost', async () => {
  disk = await ServedDisk.serve({ args: ['--workers=2'] });
  const moreRegions = [[AWAY, MIB]] as const;
  const frontEnd = await disk.connect({ queueCount: 4, moreRegions, fdEach: true });
  const busy = frontEnd.queues.map(keepBusy);
  const region = frontEnd.shared.regions[1]!;
  for (let i = 0; i < 50; i++) {
    await frontEnd.removeRegion(region);
    expect(disk.vloop.guestMappings()).toBe(1);
    await frontEnd.addRegion(region);
  }
  const done = await Promise.all(busy.map((work) => work.stop()));
  for (const count of done) expect(count).toBeGreaterThan(0);
  // And the region that came back last can be used.
  await frontEnd.queue.mustRun(blk.read(0, PAGE), AWAY + 64);
});

test('the region of the rings themselves is removed and added again: they go on where they were', async () => {
  disk = await ServedDisk.serve({ args: ['--workers=2'] });
  const frontEnd = await disk.connect({ queueCount: 4 });
  const busy = frontEnd.queues.map(keepBusy);
  const region = frontEnd.shared.regions[0]!;
  for (let i = 0; i < 20; i++) {
    await frontEnd.removeRegion(region);
    await frontEnd.addRegion(region);
  }
  for (const work of busy) expect(await work.stop()).toBeGreaterThan(0);
});

test('a chain that was offered while its ring was away is served once the ring is back', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect();
  const { queue } = frontEnd;
  const region = frontEnd.shared.regions[0]!;
  await frontEnd.removeRegion(region);
  const pending = queue.offer(blk.read(0, PAGE));
  queue.kick();
  queue.kickAnyway();
  await frontEnd.client.request('GET_FEATURES');
  expect(queue.driver.usedIdx).toBe(0);
  await frontEnd.addRegion(region);
  await queue.drained();
  expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
});

test('GET_VRING_BASE of a ring whose memory is away answers its index', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect();
  for (let i = 0; i < 3; i++) await frontEnd.queue.mustRun(blk.read(0, PAGE));
  await frontEnd.removeRegion(frontEnd.shared.regions[0]!);
  expect(await frontEnd.stopQueue(0)).toBe(3);
});

test('bug class 3: a request that spans two adjacent regions is served whole', async () => {
  disk = await ServedDisk.serve({ args: ['--direct-io=on'] });
  const moreRegions = [
    [AWAY, 64 * KIB],
    [AWAY + 64 * KIB, 64 * KIB],
  ] as const;
  const { queue } = await disk.connect({ moreRegions, fdEach: true });
  const data = noise(32 * KIB, 8);
  // Header in the first region, data over the border; once aligned for direct I/O, once not.
  for (const at of [AWAY + 48 * KIB - 16, AWAY + 48 * KIB - 5]) {
    await queue.mustRun(blk.write(0, data), at);
    const read = await queue.mustRun(blk.read(0, data.length), at);
    expect(Buffer.compare(read, data)).toBe(0);
  }
  expect(Buffer.compare(disk.imageBytes().subarray(0, data.length), data)).toBe(0);
});

test('SET_MEM_TABLE replaces the whole table, also under rings that run', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect({ moreRegions: [[AWAY, MIB]], fdEach: true });
  const busy = keepBusy(frontEnd.queue);
  for (let i = 0; i < 10; i++) {
    const regions = frontEnd.shared.regions.slice(0, 1 + (i % 2));
    const fds = regions.map((region) => region.fd);
    const payload = memTablePayload(regions);
    expect(await frontEnd.client.acked('SET_MEM_TABLE', payload, { fds })).toBe(0n);
    expect(disk.vloop.guestMappings()).toBe(regions.length);
  }
  expect(await busy.stop()).toBeGreaterThan(0);
});

describe('a region that cannot be mapped is refused and the session goes on', () => {
  async function refused(
    frontEnd: MockFrontEnd,
    fields: Partial<Record<'guestAddress' | 'sizeBytes' | 'userAddress' | 'mmapOffset', bigint>>,
    fdBytes: number,
  ): Promise<void> {
    const fd = createMemfd('vloop-test-short');
    ftruncateSync(fd, fdBytes);
    const region = {
      guestAddress: BigInt(AWAY),
      sizeBytes: BigInt(MIB),
      userAddress: BigInt(AWAY),
      mmapOffset: 0n,
      ...fields,
    };
    const mappings = disk.vloop.guestMappings();
    const payload = singleRegionPayload(region);
    expect(await frontEnd.client.acked('ADD_MEM_REG', payload, { fds: [fd] })).toBe(NACK);
    closeSync(fd);
    expect(disk.vloop.guestMappings()).toBe(mappings);
    await frontEnd.queue.mustRun(blk.read(0, PAGE));
  }

  test('bug class 15: a memfd shorter than promised', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    await refused(frontEnd, {}, MIB - 1);
    await refused(frontEnd, { mmapOffset: BigInt(PAGE) }, MIB);
    await refused(frontEnd, { sizeBytes: 2n ** 52n }, MIB);
    await refused(frontEnd, {}, 0);
    await disk.vloop.logged('refused', 4);
    expect(disk.vloop.log('refused')[0]?.['error']).toMatch(/reaches past the end of its file/);
  });

  test('bug class 14: an mmap offset whose sum with the size wraps, or is no page multiple', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    await refused(frontEnd, { mmapOffset: 2n ** 64n - BigInt(PAGE) }, MIB);
    await refused(frontEnd, { mmapOffset: 2n ** 63n }, MIB);
    await refused(frontEnd, { mmapOffset: 2n ** 53n - BigInt(PAGE) }, MIB);
    await refused(frontEnd, { mmapOffset: 1n }, 2 * MIB);
  });

  test('bug class 3: addresses at and beyond 2^53, and sizes of nothing', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    await refused(frontEnd, { guestAddress: 2n ** 64n - 1n }, MIB);
    await refused(frontEnd, { guestAddress: 2n ** 53n + 1n }, MIB);
    await refused(frontEnd, { userAddress: 2n ** 53n - 1n }, MIB);
    await refused(frontEnd, { sizeBytes: 0n }, MIB);
    await refused(frontEnd, { sizeBytes: 2n ** 64n - 1n }, MIB);
  });

  test('one that overlaps another', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    const { guestAddress, userAddress } = frontEnd.shared.regions[0]!;
    await refused(frontEnd, { guestAddress: BigInt(guestAddress + PAGE) }, MIB);
    await refused(frontEnd, { userAddress: BigInt(userAddress + PAGE) }, MIB);
  });

  test('a sparse file as large as an address space', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    // 64 TiB may be mapped or refused; either way the disk lives.
    const fd = createMemfd('vloop-test-huge');
    ftruncateSync(fd, 2 ** 46);
    const region = { guestAddress: AWAY, userAddress: AWAY, sizeBytes: 2 ** 46, mmapOffset: 0 };
    const payload = singleRegionPayload(region);
    await frontEnd.client.acked('ADD_MEM_REG', payload, { fds: [fd] });
    closeSync(fd);
    await frontEnd.queue.mustRun(blk.read(0, PAGE));
    expect(disk.vloop.alive).toBe(true);
  });
});

test('bug class 13: a thousand memory tables leave one mapping and no more memory', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connect();
  const [region] = frontEnd.shared.regions;
  const table = memTablePayload([region!]);
  const fds = disk.vloop.openFds();
  const replace = async (times: number) => {
    for (let i = 0; i < times; i++) {
      expect(await frontEnd.client.acked('SET_MEM_TABLE', table, { fds: [region!.fd] })).toBe(0n);
    }
  };
  await replace(200);
  const before = disk.vloop.rssBytes();
  await replace(1000);
  expect(disk.vloop.guestMappings()).toBe(1);
  await eventually('as many fds as before', 5000, () => disk.vloop.openFds() === fds || undefined);
  expect(disk.vloop.rssBytes() - before).toBeLessThan(32 * MIB);
});
