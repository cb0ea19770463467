/**
 * Kinds of guest memory: addressed by guest-physical addresses, of huge pages, moved to another file while
 * rings run, with requests in it when it is to go. Every request's data is checked.
 */
import { ftruncateSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_IN } from '../../protocol/virtio-blk.ts';
import { keepBusy } from '../support/busy-queue.ts';
import { takeHugePages } from '../support/huge-pages.ts';
import { noise } from '../support/image-content.ts';
import { blk, placeRequest } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd, MockFrontEndOptions } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { HUGE_PAGE_BYTES, SharedRam, type SharedRegion } from '../support/shared-ram.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import {
  singleRegionPayload,
  vringAddrPayload,
  vringFdPayload,
  vringStatePayload,
} from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;
const AWAY = 0x10_0000_0000;
const DISK_BYTES = 4 * MIB;

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** A verified load of every kind of request; the image is compared at the end. */
async function loaded(options: MockFrontEndOptions, count: number): Promise<MockFrontEnd> {
  const frontEnd = await disk.connect({
    queueCount: 2,
    moreRegions: [loadRegion(2), ...(options.moreRegions ?? [])],
    ...options,
  });
  const load = new VerifiedLoad(frontEnd, new Uint8Array(DISK_BYTES));
  await load.run(count);
  expect(load.difference(disk.imageBytes())).toBe(null);
  return frontEnd;
}

describe('VHOST_USER_PROTOCOL_F_GPA_ADDRESSES', () => {
  test('rings at guest-physical addresses serve a verified load, and stop and start', async () => {
    disk = await ServedDisk.serve({ sizeBytes: DISK_BYTES });
    const frontEnd = await loaded({ guestAddressed: true }, 300);
    for (const { userAddress, guestAddress } of frontEnd.shared.regions) {
      expect(userAddress).toBe(guestAddress);
    }
    await frontEnd.stopQueues();
    await frontEnd.startQueues();
    await frontEnd.queue.mustRun(blk.read(0, PAGE));
  });

  test('a region with a front-end address of its own is refused, and the disk goes on', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect({ guestAddressed: true });
    const other = { ...frontEnd.shared.regions[0]!, guestAddress: AWAY, userAddress: AWAY + PAGE };
    const fds = [other.fd];
    expect(await frontEnd.client.acked('ADD_MEM_REG', singleRegionPayload(other), { fds })).toBe(
      1n,
    );
    const [line] = await disk.vloop.logged('refused');
    expect(line?.['error']).toMatch(/user address=0x1000001000, expected the guest address/);
    await frontEnd.queue.mustRun(blk.read(0, PAGE));
    expect(disk.vloop.guestMappings()).toBe(1);
  });

  test('when it is not negotiated a ring at a guest-physical address is not found', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    await frontEnd.stopQueues();
    const { client, queue } = frontEnd;
    client.send('SET_VRING_NUM', vringStatePayload(0, queue.driver.size));
    client.send('SET_VRING_ADDR', vringAddrPayload(0, queue.driver.place));
    const kick = { fds: [queue.kickFd] };
    expect(await client.acked('SET_VRING_KICK', vringFdPayload(0, true), kick)).toBe(1n);
    const [line] = await disk.vloop.logged('refused');
    expect(line?.['error']).toMatch(/descriptor table address=.* is not inside one memory region/);
  });
});

describe('huge pages', () => {
  const PAGES = 32;
  const pages = takeHugePages(PAGES);
  if (!pages.ok) process.stderr.write(`skipped: memory of huge pages: ${pages.reason}\n`);
  else afterAll(() => pages.giveBack());

  test.skipIf(!pages.ok)('a verified load; regions that begin in the midst of a page', async () => {
    disk = await ServedDisk.serve({ sizeBytes: DISK_BYTES });
    // One file for both regions: the second begins where the first ends, at no multiple of 2 MiB.
    const frontEnd = await loaded({ hugePages: true, placeCount: 7 }, 200);
    expect(frontEnd.shared.regions[1]!.mmapOffset % HUGE_PAGE_BYTES).not.toBe(0);
    expect(disk.vloop.guestMappings()).toBe(2);
    frontEnd.close();
    await disk.vloop.logged('front-end disconnected');
    expect(disk.vloop.guestMappings()).toBe(0);
  });

  test.skipIf(!pages.ok)('pages that are not there are refused in words, not touched', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect();
    const many = new SharedRam([[AWAY, PAGE]], { hugePages: true });
    try {
      const { fd } = many.regions[0]!;
      ftruncateSync(fd, (PAGES + 4096) * HUGE_PAGE_BYTES);
      const region = {
        guestAddress: AWAY,
        userAddress: AWAY,
        sizeBytes: (PAGES + 4096) * HUGE_PAGE_BYTES,
        mmapOffset: 0,
      };
      const payload = singleRegionPayload(region);
      expect(await frontEnd.client.acked('ADD_MEM_REG', payload, { fds: [fd] })).toBe(1n);
      const [line] = await disk.vloop.logged('refused');
      expect(line?.['error']).toMatch(/ENOMEM\): are there huge pages left\?/);
      await frontEnd.queue.mustRun(blk.read(0, PAGE));
    } finally {
      many.close();
    }
  });
});

describe('regions that move', () => {
  /** The same guest memory at another front-end address, in another file. */
  async function move(frontEnd: MockFrontEnd, from: SharedRegion, shift: number) {
    const { guestAddress, sizeBytes, userAddress } = from;
    const { ram, regions } = disk.own(new SharedRam([[guestAddress, sizeBytes]]));
    const region = { ...regions[0]!, userAddress: userAddress + shift };
    await frontEnd.removeRegion(from);
    await frontEnd.addRegion(region);
    return { ram, region };
  }

  test('buffers whose memory comes back from another file and address, beside a busy ring', async () => {
    disk = await ServedDisk.serve({ args: ['--workers=2'] });
    const moreRegions = [[AWAY, MIB]] as const;
    const frontEnd = await disk.connect({ queueCount: 2, moreRegions, fdEach: true });
    const { queue, shared } = frontEnd;
    const busy = keepBusy(frontEnd.queues[1]!);
    let [ram, region] = [shared.ram, shared.regions[1]!];
    for (let round = 1; round <= 10; round++) {
      const before = ram;
      ({ ram, region } = await move(frontEnd, region, 0x100_0000_0000 * round));
      // Odd seeds: noise makes every seed odd.
      const data = noise(PAGE, 2 * round + 1);
      for (const text of [blk.write(8 * round, data), blk.read(8 * round, PAGE)]) {
        const { request } = queue.offerPlaced(placeRequest(ram, AWAY + 512, text));
        queue.kick();
        await queue.drained();
        expect(request.status).toBe(VIRTIO_BLK_S_OK);
        if (text.type === VIRTIO_BLK_T_IN) expect(Buffer.compare(request.dataIn, data)).toBe(0);
      }
      // Nothing of it went to where the region was before.
      expect(Buffer.compare(before.read(AWAY + 528, PAGE), data)).not.toBe(0);
      expect(disk.vloop.guestMappings()).toBe(2);
    }
    expect(await busy.stop()).toBeGreaterThan(0);
  });

  test('one that goes while requests are in it: they are answered first', async () => {
    disk = await ServedDisk.serve({ args: ['--aio=threads', '--io-path=engine'] });
    const frontEnd = await disk.connect({ moreRegions: [[AWAY, 8 * MIB]], fdEach: true });
    const { queue, shared } = frontEnd;
    // Written through: slow enough to be under way when the region goes.
    await frontEnd.setWriteback(0);
    let underWay = 0;
    for (let round = 0; round < 10; round++) {
      const data = noise(128 * KIB, 2 * round + 1);
      const pending = Array.from({ length: 24 }, (_, i) =>
        queue.offer(blk.write(i * 256, data), AWAY + i * 256 * KIB),
      );
      queue.kick();
      const taken = () => queue.driver.availEvent === queue.driver.availIdx || undefined;
      await eventually('requests that vloop has taken', 5000, taken);
      queue.collect();
      underWay += queue.inFlight;
      await frontEnd.removeRegion(shared.regions[1]!);
      queue.collect();
      for (const { request, usedBytes } of pending) {
        expect([request.status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, 1]);
      }
      const image = disk.imageBytes();
      for (let i = 0; i < 24; i++) {
        const written = image.subarray(i * 128 * KIB, (i + 1) * 128 * KIB);
        expect(Buffer.compare(written, data), `round ${round}, request ${i}`).toBe(0);
      }
      await frontEnd.addRegion(shared.regions[1]!);
    }
    expect(underWay).toBeGreaterThan(0);
  });

  test('a ring over the border of two adjacent regions is refused', async () => {
    disk = await ServedDisk.serve();
    const moreRegions = [
      [AWAY, 64 * KIB],
      [AWAY + 64 * KIB, 64 * KIB],
    ] as const;
    const frontEnd = await disk.connect({ moreRegions });
    await frontEnd.stopQueues();
    const { client, queue, shared } = frontEnd;
    const border = shared.regions[2]!.userAddress;
    const place = { desc: border - 16, avail: border + 4 * KIB, used: border + 8 * KIB };
    client.send('SET_VRING_NUM', vringStatePayload(0, 128));
    client.send('SET_VRING_ADDR', vringAddrPayload(0, place));
    const kick = { fds: [queue.kickFd] };
    expect(await client.acked('SET_VRING_KICK', vringFdPayload(0, true), kick)).toBe(1n);
    const [line] = await disk.vloop.logged('refused');
    expect(line?.['error']).toMatch(/descriptor table address=.* is not inside one memory region/);
  });
});
