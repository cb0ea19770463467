/**
 * The whole daemon on real io_uring, memfds and eventfds: what is written is read back, by every queue,
 * with direct and buffered I/O, one and two workers, whatever the buffers look like.
 */
import { statSync, truncateSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { blk, HEADER_BYTES } from '../support/mock-driver-blk.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 4 * KIB;
const SECTOR = 512;

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** Writes `count` blocks from block `first` on at full depth, then reads them back and compares. */
async function writeAndVerify(queue: MockQueue, first: number, count: number): Promise<void> {
  const block = (i: number) => noise(BLOCK, (first + i) * 2654435761);
  const sector = (i: number) => ((first + i) * BLOCK) / SECTOR;
  for (let next = 0; next < count; ) {
    while (next < count && queue.hasRoom) queue.offer(blk.write(sector(next), block(next++)));
    queue.kick();
    for (const { request, usedBytes } of await queue.answers()) {
      expect([request.status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, 1]);
    }
  }
  await queue.drained();
  for (let i = 0; i < count; i++) {
    const { status, usedBytes, data } = await queue.run(blk.read(sector(i), BLOCK));
    expect([status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, BLOCK + 1]);
    expect(Buffer.compare(data, block(i)), `block ${first + i}`).toBe(0);
  }
}

describe.each([
  [['--direct-io=on', '--workers=1']],
  [['--direct-io=on', '--workers=2']],
  [['--direct-io=off', '--workers=1']],
  [['--direct-io=off', '--workers=2']],
  [['--direct-io=on', '--workers=2', '--aio=native']],
  [['--direct-io=on', '--workers=2', '--aio=threads']],
  [['--direct-io=off', '--workers=2', '--aio=threads']],
  [['--direct-io=off', '--workers=2', '--io-path=engine']],
  [['--direct-io=off', '--workers=2', '--io-path=calls']],
])('%j', (args) => {
  test('8 queues at once write and read back their parts of the disk', async () => {
    disk = await ServedDisk.serve({ args: [...args, '--num-queues=8'] });
    const { queues } = await disk.connect({ queueCount: 8 });
    await Promise.all(queues.map((queue) => writeAndVerify(queue, queue.index * 64, 64)));
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('summary')[0]).toMatchObject({
      writes: 512,
      reads: 512,
      bytesWritten: 512 * BLOCK,
      bytesRead: 512 * BLOCK,
      errors: 0,
    });
    const image = disk.imageBytes();
    for (let i = 0; i < 512; i++) {
      const onDisk = image.subarray(i * BLOCK, (i + 1) * BLOCK);
      expect(Buffer.compare(onDisk, noise(BLOCK, i * 2654435761)), `block ${i}`).toBe(0);
    }
  });
});

test('a driver that sleeps until the call eventfd is called for every answer', async () => {
  disk = await ServedDisk.serve();
  const { queue } = await disk.connect({ byCalls: true });
  await writeAndVerify(queue, 0, 200);
  expect(queue.callCount).toBeGreaterThan(0);
});

test('a driver without EVENT_IDX is served and called', async () => {
  disk = await ServedDisk.serve();
  const { queue } = await disk.connect({ byCalls: true, eventIdx: false });
  await writeAndVerify(queue, 0, 200);
});

test("libblkio's message sequence works like QEMU's", async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await disk.connectSilently();
  await frontEnd.startLikeLibblkio();
  await writeAndVerify(frontEnd.queue, 7, 50);
});

test('ring indices wrap around 2^16', async () => {
  disk = await ServedDisk.serve();
  const { queue } = await disk.connect({ base: 65_500 });
  await writeAndVerify(queue, 0, 100);
  expect(queue.driver.usedIdx).toBe((65_500 + 200) % 65_536);
});

test('rings of 1024 entries on 8 queues, all full at once', async () => {
  disk = await ServedDisk.serve({ args: ['--num-queues=8'] });
  const { queues, shared } = await disk.connect({ queueCount: 8, queueSize: 1024 });
  // 3 descriptors each: 341 requests fill a ring. Small places, shared by reads of one sector.
  const place = shared.regions[0]!.guestAddress + MIB + 512 * KIB;
  for (const queue of queues) {
    for (let i = 0; i < 341; i++)
      queue.offer(blk.read(i, SECTOR), place + (queue.index * 341 + i) * 1024);
  }
  for (const queue of queues) queue.kick();
  for (const queue of queues) {
    const answers = await queue.drained();
    expect(answers).toHaveLength(341);
    expect(answers.every(({ request }) => request.status === VIRTIO_BLK_S_OK)).toBe(true);
  }
});

describe('buffers that direct I/O cannot take', () => {
  test('rule 4: unaligned addresses and pieces are bounced, both ways', async () => {
    disk = await ServedDisk.serve({ args: ['--direct-io=on'] });
    const { queue, shared } = await disk.connect();
    const at = shared.regions[0]!.guestAddress + MIB;
    const data = noise(64 * KIB, 5);
    // Odd addresses, pieces that are no multiple of anything, the status behind the last data byte.
    const framing = { readableCuts: [3, HEADER_BYTES + 1, HEADER_BYTES + 5000], gapBytes: 13 };
    await queue.mustRun(blk.write(16, data, framing), at + 7);
    const cuts = { writableCuts: [1, 777, 30_000], gapBytes: 5 };
    const read = await queue.run(blk.read(16, data.length, cuts), at + 1);
    expect(read).toMatchObject({ status: VIRTIO_BLK_S_OK, usedBytes: data.length + 1 });
    expect(Buffer.compare(read.data, data)).toBe(0);
  });

  test('more of them at once than there are bounce buffers, some larger than one', async () => {
    disk = await ServedDisk.serve({ args: ['--direct-io=on'], sizeBytes: 64 * MIB });
    const { queue, shared } = await disk.connect({ placeCount: 256 });
    const base = shared.regions[0]!.guestAddress + MIB;
    const bytes = 600 * KIB;
    const stride = bytes + 64 * KIB;
    const data = (i: number) => noise(bytes, i + 1);
    for (let i = 0; i < 40; i++) {
      queue.offer(blk.write((i * bytes) / SECTOR, data(i)), base + i * stride + 1);
    }
    queue.kick();
    expect((await queue.drained()).map(({ request }) => request.status)).toEqual(
      new Array(40).fill(VIRTIO_BLK_S_OK),
    );
    const content = disk.imageBytes();
    for (let i = 0; i < 40; i++) {
      expect(Buffer.compare(content.subarray(i * bytes, (i + 1) * bytes), data(i)), `${i}`).toBe(0);
    }
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('summary')[0]?.['writes']).toBe(40);
  });
});

describe.each(['on', 'off'])('--direct-io=%s', (direct) => {
  test('reads past the end of a file that was truncated give zeroes', async () => {
    disk = await ServedDisk.serve({ args: [`--direct-io=${direct}`], content: noise(MIB, 9) });
    const { queue } = await disk.connect();
    const before = disk.imageBytes();
    const endsAt = 300 * KIB + 100;
    truncateSync(disk.image, endsAt);
    const { status, usedBytes, data } = await queue.run(blk.read(599, 64 * KIB));
    expect([status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, 64 * KIB + 1]);
    const there = endsAt - 599 * SECTOR;
    const expected = Buffer.alloc(64 * KIB);
    before.copy(expected, 0, 599 * SECTOR, endsAt);
    expect(Buffer.compare(data.subarray(0, there), expected.subarray(0, there))).toBe(0);
    expect(Buffer.compare(data, expected)).toBe(0);
    const beyond = await queue.run(blk.read(1900, BLOCK));
    expect([beyond.status, beyond.data.every((byte) => byte === 0)]).toEqual([0, true]);
  });
});

test('discard makes holes that stat sees, and the range reads as zeroes', async () => {
  disk = await ServedDisk.serve({ content: noise(8 * MIB, 1) });
  const { queue } = await disk.connect();
  const before = statSync(disk.image).blocks;
  await queue.mustRun(blk.discard({ sector: 0, sectors: 4096 }, { sector: 8192, sectors: 4096 }));
  expect(statSync(disk.image).blocks).toBeLessThanOrEqual(before - 8000);
  const data = await queue.mustRun(blk.read(8192, 64 * KIB));
  expect(data.every((byte) => byte === 0)).toBe(true);
  expect(
    Buffer.compare(
      await queue.mustRun(blk.read(4096, BLOCK)),
      disk.imageBytes().subarray(2 * MIB, 2 * MIB + BLOCK),
    ),
  ).toBe(0);
  expect(statSync(disk.image).size).toBe(8 * MIB);
});

test('write-zeroes gives zeroes, with and without leave to unmap', async () => {
  const content = noise(4 * MIB, 2);
  disk = await ServedDisk.serve({ content });
  const { queue } = await disk.connect();
  await queue.mustRun(
    blk.writeZeroes({ sector: 1, sectors: 2000 }, { sector: 4001, sectors: 999, flags: 1 }),
  );
  const expected = Buffer.from(content);
  expected.fill(0, SECTOR, 2001 * SECTOR);
  expected.fill(0, 4001 * SECTOR, 5000 * SECTOR);
  expect(Buffer.compare(disk.imageBytes(), expected)).toBe(0);
});

test('rule 8: GET_ID answers the serial, NUL padded', async () => {
  disk = await ServedDisk.serve({ args: ['--serial=abc123'] });
  const { queue } = await disk.connect();
  const { status, usedBytes, data } = await queue.run(blk.getId());
  expect([status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, 21]);
  expect(Buffer.from(data).toString('latin1')).toBe('abc123'.padEnd(20, '\0'));
});

test('rule 8: a serial of 20 characters has no terminator', async () => {
  disk = await ServedDisk.serve({ args: ['--serial=12345678901234567890'] });
  const { queue } = await disk.connect();
  expect(Buffer.from(await queue.mustRun(blk.getId())).toString()).toBe('12345678901234567890');
});

test('rule 7: a read-only disk refuses every change and stays as it was', async () => {
  const content = noise(MIB, 4);
  disk = await ServedDisk.serve({ args: ['--read-only'], content });
  const { queue } = await disk.connect();
  for (const request of [
    blk.write(0, new Uint8Array(SECTOR)),
    blk.discard({ sector: 0, sectors: 8 }),
    blk.writeZeroes({ sector: 0, sectors: 8 }),
  ]) {
    expect((await queue.run(request)).status).toBe(VIRTIO_BLK_S_IOERR);
  }
  expect(Buffer.compare(await queue.mustRun(blk.read(0, BLOCK)), content.subarray(0, BLOCK))).toBe(
    0,
  );
  expect(Buffer.compare(disk.imageBytes(), content)).toBe(0);
});

test('bug class 24: content that looks like an image format is served raw', async () => {
  disk = await ServedDisk.serve();
  const first = await disk.connect();
  const qcow2 = Buffer.alloc(SECTOR);
  qcow2.write('QFI\xfb', 'latin1');
  qcow2.writeUInt32BE(3, 4);
  await first.queue.mustRun(blk.write(0, qcow2));
  await disk.stopVloop();
  await disk.startVloop();
  const second = await disk.connect();
  expect(Buffer.compare(await second.queue.mustRun(blk.read(0, SECTOR)), qcow2)).toBe(0);
  expect(disk.vloop.log('serving')[0]?.['sizeBytes']).toBe(16 * MIB);
});
