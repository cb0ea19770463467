/**
 * What drivers see that negotiate less than Linux does: without FLUSH, without CONFIG_WCE, without
 * EVENT_IDX. A disk whose driver cannot flush has written through when it answers: no page of the image
 * waits in the page cache.
 */
import { afterEach, describe, expect, test } from 'vitest';
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_T_FLUSH,
  virtioBlkConfig,
} from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { missingCachestat, unwrittenPages } from '../support/page-cache.ts';
import { ServedDisk } from '../support/served-disk.ts';

const PAGE = 4096;
const DATA = noise(4 * PAGE, 1);
const reason = missingCachestat();
if (reason !== null) process.stderr.write(`skipped: the page cache of a disk: ${reason}\n`);

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

async function driverWithout(...features: number[]): Promise<MockFrontEnd> {
  disk = await ServedDisk.serve({ args: ['--direct-io=off'] });
  return await disk.connect({ withoutFeatures: features, eventIdx: false, byCalls: true });
}

async function writebackOf(frontEnd: MockFrontEnd): Promise<number> {
  return (await frontEnd.config())[virtioBlkConfig.at.wce]!;
}

describe.skipIf(reason !== null)('a write that was answered', () => {
  test('may wait in the cache when the driver can flush; a flush writes it', async () => {
    const frontEnd = await driverWithout();
    expect(await writebackOf(frontEnd)).toBe(1);
    await frontEnd.queue.mustRun(blk.write(0, DATA));
    expect(unwrittenPages(disk.image)).toBeGreaterThan(0);
    await frontEnd.queue.mustRun({ type: VIRTIO_BLK_T_FLUSH });
    expect(unwrittenPages(disk.image)).toBe(0);
  });

  test.each([
    ['neither FLUSH nor CONFIG_WCE', [VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_CONFIG_WCE]],
    ['CONFIG_WCE without FLUSH', [VIRTIO_BLK_F_FLUSH]],
  ])('is on the device when the driver has %s', async (_, without) => {
    const frontEnd = await driverWithout(...without);
    const { queue } = frontEnd;
    for (let i = 0; i < 8; i++) {
      await queue.mustRun(blk.write(i * 64, DATA));
      expect(unwrittenPages(disk.image)).toBe(0);
    }
    await queue.mustRun(blk.writeZeroes({ sector: 0, sectors: 8 }));
    expect(unwrittenPages(disk.image)).toBe(0);
    // Whoever could not flush may still send one: it is a flush.
    await queue.mustRun({ type: VIRTIO_BLK_T_FLUSH });
    expect(Buffer.compare(await queue.mustRun(blk.read(64, DATA.length)), DATA)).toBe(0);
  });

  test('is on the device as soon as writeback = 0, and may wait again with 1', async () => {
    const frontEnd = await driverWithout();
    await frontEnd.setWriteback(0);
    await frontEnd.queue.mustRun(blk.write(0, DATA));
    expect(unwrittenPages(disk.image)).toBe(0);
    await frontEnd.setWriteback(1);
    await frontEnd.queue.mustRun(blk.write(0, DATA));
    expect(unwrittenPages(disk.image)).toBeGreaterThan(0);
  });
});

test('CONFIG_WCE without FLUSH: the config space says write-through', async () => {
  expect(await writebackOf(await driverWithout(VIRTIO_BLK_F_FLUSH))).toBe(0);
});

test('without EVENT_IDX every answer is called, and none when the driver says so', async () => {
  const { queue } = await driverWithout();
  for (let i = 0; i < 20; i++) await queue.mustRun(blk.read(i * 8, PAGE));
  expect(queue.callCount).toBeGreaterThanOrEqual(20);
  queue.byCalls = false;
  queue.driver.suppressCalls();
  const before = queue.callCount;
  for (let i = 0; i < 20; i++) await queue.mustRun(blk.read(i * 8, PAGE));
  queue.byCalls = true;
  // Nothing has called meanwhile: the next look finds the eventfd as it was.
  const pending = queue.offer(blk.read(0, PAGE));
  queue.kick();
  while (pending.usedBytes < 0) await queue.answers();
  expect(queue.callCount - before).toBeLessThanOrEqual(1);
});
