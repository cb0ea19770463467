/**
 * A driver that breaks the rules of its ring, against the whole daemon: the ring breaks and says so at its
 * error eventfd, every other ring goes on, and setting the ring up again makes it work.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from '../../protocol/virtio-ring.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { MockDriver } from '../support/mock-driver.ts';
import { blk, blkHeader } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { eventually } from '../support/waiting.ts';

const SECTOR = 512;
let disk: ServedDisk;
let frontEnd: MockFrontEnd;
let victim: MockQueue;
let other: MockQueue;
/** Guest memory that no request of the queues uses. */
let free: number;

beforeEach(async () => {
  disk = await ServedDisk.serve();
  frontEnd = await disk.connect({ queueCount: 2, queueSize: 8, placeCount: 2 });
  [victim, other] = [frontEnd.queues[0]!, frontEnd.queues[1]!];
  free = frontEnd.shared.regions[0]!.guestAddress + 512 * 1024;
  await victim.mustRun(blk.read(0, SECTOR));
});

afterEach(async () => {
  await disk.close();
});

async function brokenBy(violation: string): Promise<void> {
  victim.kickAnyway();
  await eventually('signal at the error eventfd', 5000, () =>
    drainEventfd(victim.errFd) > 0 ? true : undefined,
  );
  const [line] = await disk.vloop.logged('the guest broke a vring');
  expect(line).toMatchObject({ level: 40, vring: 0, violation });
}

/** The rest of the disk is as good as before. */
async function othersGoOn(): Promise<void> {
  expect((await other.run(blk.read(8, SECTOR))).status).toBe(VIRTIO_BLK_S_OK);
}

/** A driver that starts anew on the same ring: index 0, all descriptors free. */
async function worksAgain(): Promise<void> {
  await frontEnd.stopQueue(0);
  const { size, place, eventIdx } = victim.driver;
  const driver = new MockDriver(frontEnd.shared.ram, { size, place, eventIdx });
  frontEnd.setBase(0, 0);
  await frontEnd.restart(0);
  driver.addChain([
    { address: free, lengthBytes: 16 },
    { address: free + 16, lengthBytes: SECTOR + 1, writable: true },
  ]);
  frontEnd.shared.ram.write(free, blkHeader(0));
  driver.publish();
  victim.kickAnyway();
  const used = await eventually('answer after the restart', 5000, () => driver.collect()[0]);
  expect(used.lengthBytes).toBe(SECTOR + 1);
}

/** Writes descriptors from index 0 on, offers head 0, breaks the ring. */
function offerRaw(descriptors: Parameters<MockDriver['rawTable']>[1]): void {
  const { driver } = victim;
  driver.rawTable(driver.place.desc, descriptors);
  driver.rawAvailEntry(driver.availIdx % driver.size, 0);
  driver.rawAvailIdx(driver.availIdx + 1);
}

const { rawHeader, status } = { rawHeader: 16, status: VRING_DESC_F_WRITE };

test.each<[string, string, () => void]>([
  [
    'bug class 1: a descriptor that is its own next',
    'CHAIN_TOO_LONG',
    () => offerRaw([{ address: free, lengthBytes: 16, flags: VRING_DESC_F_NEXT, next: 0 }]),
  ],
  [
    'bug class 1: a loop of two zero-length descriptors',
    'CHAIN_TOO_LONG',
    () =>
      offerRaw([
        { address: free, flags: VRING_DESC_F_NEXT, next: 1 },
        { address: free, flags: VRING_DESC_F_NEXT, next: 0 },
      ]),
  ],
  [
    'bug class 3: a buffer that ends past 2^64',
    'CHAIN_ADDRESS_TOO_LARGE',
    () => offerRaw([{ address: 2n ** 64n - 1n, lengthBytes: 16 }]),
  ],
  [
    'bug class 3: a buffer that leaves its region for a hole',
    'CHAIN_ADDRESS_UNMAPPED',
    () => {
      const { guestAddress, sizeBytes } = frontEnd.shared.regions[0]!;
      offerRaw([{ address: guestAddress + sizeBytes - 8, lengthBytes: 16 }]);
    },
  ],
  [
    'bug class 5: an indirect table inside an indirect table',
    'INDIRECT_NESTED',
    () => {
      victim.driver.rawTable(free, [
        { address: free, lengthBytes: 16, flags: VRING_DESC_F_INDIRECT },
      ]);
      offerRaw([{ address: free, lengthBytes: 16, flags: VRING_DESC_F_INDIRECT }]);
    },
  ],
  [
    'bug class 5: an indirect table of 17 bytes',
    'INDIRECT_LENGTH',
    () => offerRaw([{ address: free, lengthBytes: 17, flags: VRING_DESC_F_INDIRECT }]),
  ],
  [
    'bug class 8: avail.idx jumps by more than the ring has entries',
    'AVAIL_IDX_JUMP',
    () => victim.driver.rawAvailIdx(victim.driver.availIdx + 65_535),
  ],
  [
    'bug class 8: a head past the end of the ring',
    'HEAD_OUT_OF_RANGE',
    () => {
      victim.driver.rawAvailEntry(victim.driver.availIdx % 8, 8);
      victim.driver.rawAvailIdx(victim.driver.availIdx + 1);
    },
  ],
  [
    'rule 12: a readable descriptor after a writable one',
    'CHAIN_READABLE_AFTER_WRITABLE',
    () =>
      offerRaw([
        { address: free, lengthBytes: 16, flags: VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, next: 1 },
        { address: free, lengthBytes: rawHeader },
      ]),
  ],
  [
    'bug class 21: a request without a writable byte',
    'REQUEST_NO_STATUS_BYTE',
    () => offerRaw([{ address: free, lengthBytes: rawHeader }]),
  ],
])('%s breaks its ring only', async (_, violation, misbehave) => {
  misbehave();
  await brokenBy(violation);
  await othersGoOn();
  await worksAgain();
  expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  expect(disk.vloop.log('summary')[0]?.['guestViolations']).toBe(1);
});

test('bug class 7: a head that is made available twice at once', async () => {
  frontEnd.shared.ram.write(free, blkHeader(0));
  victim.driver.rawTable(victim.driver.place.desc, [
    { address: free, lengthBytes: 16, flags: VRING_DESC_F_NEXT, next: 1 },
    { address: free + 16, lengthBytes: SECTOR + 1, flags: status },
  ]);
  const at = victim.driver.availIdx;
  for (let i = 0; i < 8; i++) victim.driver.rawAvailEntry((at + i) % 8, 0);
  victim.driver.rawAvailIdx(at + 8);
  await brokenBy('HEAD_IN_FLIGHT');
  await othersGoOn();
  // The first was taken rightly and is answered once; none of its copies is.
  await frontEnd.stopQueue(0);
  expect(victim.driver.usedIdx).toBe(at + 1);
  await worksAgain();
});

test('a broken ring stays broken, silently, until it is set up again', async () => {
  victim.driver.rawAvailIdx(victim.driver.availIdx + 100);
  await brokenBy('AVAIL_IDX_JUMP');
  for (let i = 0; i < 1000; i++) victim.kickAnyway();
  await othersGoOn();
  expect(disk.vloop.log('the guest broke a vring')).toHaveLength(1);
  expect(drainEventfd(victim.errFd)).toBeLessThan(0);
});

test('SIGTERM ends a vloop whose ring is broken', async () => {
  offerRaw([{ address: free, lengthBytes: 16 }]);
  await brokenBy('REQUEST_NO_STATUS_BYTE');
  const { status: exit, tookMs } = await disk.stopVloop();
  expect(exit).toBe(0);
  expect(tookMs).toBeLessThan(1000);
});

describe('requests that are wrong and have a place for their status', () => {
  test('rule 3: a chain too short for a header is answered IOERR', async () => {
    victim.driver.addChain([{ address: free, lengthBytes: 1, writable: true }]);
    frontEnd.shared.ram.fill(free, 1, 0xee);
    victim.driver.publish();
    victim.kickAnyway();
    const used = await eventually('answer', 5000, () => victim.driver.collect()[0]);
    expect(used.lengthBytes).toBe(1);
    expect(frontEnd.shared.ram.read(free, 1)[0]).toBe(VIRTIO_BLK_S_IOERR);
  });

  test('bug class 28: 10^5 bad requests and 10^3 broken rings leave a bounded log', async () => {
    const bad = blk.read(2 ** 50, SECTOR);
    for (let done = 0; done < 100_000; ) {
      while (other.hasRoom) other.offer(bad);
      other.kick();
      done += (await other.answers()).length;
    }
    for (let i = 0; i < 1000; i++) {
      offerRaw([{ address: free, lengthBytes: 16, flags: VRING_DESC_F_NEXT, next: 0 }]);
      victim.kickAnyway();
      await eventually('error', 5000, () => (drainEventfd(victim.errFd) > 0 ? true : undefined));
      await frontEnd.stopQueue(0);
      frontEnd.setBase(0, victim.driver.availIdx);
      await frontEnd.restart(0);
    }
    await othersGoOn();
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]?.['guestViolations']).toBe(1000);
    expect(disk.vloop.log('summary')[0]?.['errors']).toBeGreaterThanOrEqual(100_000);
    expect(disk.vloop.lines.length).toBeLessThan(60);
    expect(disk.vloop.stderr.length).toBeLessThan(20_000);
  });
});

test('bug class 6: the longest chains at every head of two rings cost a bounded amount of memory', async () => {
  frontEnd.close();
  const size = 1024;
  const pieces = 1022;
  const crowd = await disk.connect({ queueCount: 2, queueSize: size, placeCount: 1 });
  const before = disk.vloop.rssBytes();
  const { ram, regions } = crowd.shared;
  const header = regions[0]!.guestAddress + 512 * 1024;
  const [buffers, table] = [header + 4096, header + 64 * 1024];
  ram.write(header, blkHeader(0));
  // A header, 1022 sectors that no two make one piece, a status: one table for all of them.
  crowd.queue.driver.rawTable(table, [
    { address: header, lengthBytes: 16, flags: VRING_DESC_F_NEXT, next: 1 },
    ...Array.from({ length: pieces }, (_, i) => ({
      address: buffers + (i % 2) * 4096,
      lengthBytes: SECTOR,
      flags: VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
      next: i + 2,
    })),
    { address: header + 16, lengthBytes: 1, flags: status },
  ]);
  const lengthBytes = (pieces + 2) * 16;
  for (const queue of crowd.queues) {
    const { driver } = queue;
    for (let head = 0; head < size; head++) {
      driver.rawDescriptor(head, { address: table, lengthBytes, flags: VRING_DESC_F_INDIRECT });
      driver.rawAvailEntry(head, head);
    }
    driver.rawAvailIdx(size);
    queue.kickAnyway();
  }
  for (const { driver } of crowd.queues) {
    await eventually('all answers', 20_000, () => driver.usedIdx === size || undefined);
  }
  expect(ram.read(header + 16, 1)[0]).toBe(VIRTIO_BLK_S_OK);
  expect(disk.vloop.rssBytes() - before).toBeLessThan(64 * 2 ** 20);
});
