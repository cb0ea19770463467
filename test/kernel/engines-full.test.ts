/**
 * More requests at once than an engine takes: they wait, and each is answered once. Linux AIO by itself,
 * with its completion ring going round; then the whole daemon with every ring full.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, EINVAL } from '../../protocol/linux.ts';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { AioFile } from '../../src/backing/aio-file.ts';
import { JOB_SLOTS } from '../../src/backing/job-board.ts';
import {
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_WRITE,
  ioPlace,
  NO_PLACE,
} from '../../src/loop/backing-port.ts';
import { AioContext } from '../../src/sys/aio.ts';
import { createEventfd, drainEventfd } from '../../src/sys/eventfd.ts';
import { FixedBytes } from '../../src/sys/libc.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { eventually } from '../support/waiting.ts';

const SECTOR = 512;

describe('Linux AIO', () => {
  const BLOCKS = 256;
  const content = noise(BLOCKS * SECTOR, 11);
  let directory: string;
  let fd: number;
  let resultFd: number;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
    writeFileSync(join(directory, 'file'), content);
    fd = openSync(join(directory, 'file'), 'r+');
    resultFd = createEventfd();
  });

  afterEach(() => {
    closeSync(fd);
    closeSync(resultFd);
    rmSync(directory, { recursive: true });
  });

  function newFile(depth: number, batch: number, file = fd): AioFile {
    const context = AioContext.create(depth, batch, resultFd);
    if (typeof context === 'number') throw new Error(`io_setup: errno ${-context}`);
    return new AioFile(context, file);
  }

  /** Reaps until `count` results are there: result by tag. */
  async function results(file: AioFile, count: number): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    const sink = {
      onResult(tag: number, result: number) {
        expect(found.has(tag), `tag ${tag} has one result`).toBe(false);
        found.set(tag, result);
      },
    };
    const what = () => `result, ${found.size} of ${count} are there`;
    await eventually(what, 10_000, () => {
      file.reap(sink);
      return found.size === count || undefined;
    });
    return found;
  }

  test('5000 reads at once through a context for 16: each is done once', async () => {
    const file = newFile(16, 4);
    const memory = new FixedBytes(5000 * SECTOR);
    for (let tag = 0; tag < 5000; tag++) {
      const block = tag % BLOCKS;
      file.submit(IO_READ, tag, ioPlace(block * SECTOR, memory.address + tag * SECTOR), SECTOR, 0);
    }
    const found = await results(file, 5000);
    expect([...found.values()].every((result) => result === SECTOR)).toBe(true);
    for (let tag = 0; tag < 5000; tag++) {
      const from = (tag % BLOCKS) * SECTOR;
      const read = memory.bytes.subarray(tag * SECTOR, (tag + 1) * SECTOR);
      expect(Buffer.compare(read, content.subarray(from, from + SECTOR)), `read ${tag}`).toBe(0);
    }
    expect(drainEventfd(resultFd), 'signals').toBe(5000);
  });

  test('the completion ring goes round: 20000 reads, few at a time', async () => {
    const file = newFile(8, 8);
    const memory = new FixedBytes(SECTOR);
    for (let first = 0; first < 20_000; first += 20) {
      for (let tag = first; tag < first + 20; tag++) {
        file.submit(IO_READ, tag, ioPlace(0, memory.address), SECTOR, 0);
      }
      await results(file, 20);
    }
  });

  test('offsets beyond 4 GiB, tags of 32 bits, durable writes and syncs', async () => {
    const file = newFile(8, 8);
    const memory = new FixedBytes(2 * SECTOR);
    memory.bytes.fill(7, 0, SECTOR);
    const offset = 5 * 2 ** 30 + SECTOR;
    file.submit(IO_WRITE, 2 ** 32 - 1, ioPlace(offset, memory.address), SECTOR, IO_FLAG_DSYNC);
    expect([...(await results(file, 1))]).toEqual([[2 ** 32 - 1, SECTOR]]);
    file.submit(IO_READ, 1, ioPlace(offset, memory.address + SECTOR), SECTOR, 0);
    file.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
    const found = await results(file, 2);
    expect([found.get(1), found.get(2)]).toEqual([SECTOR, 0]);
    expect(memory.bytes.every((byte) => byte === 7)).toBe(true);
  });

  test('what the kernel refuses is answered, and the rest of the batch goes on', async () => {
    const file = newFile(8, 8);
    const memory = new FixedBytes(SECTOR);
    file.submit(IO_READ, 1, ioPlace(0, memory.address), SECTOR, 0);
    file.submit(IO_READ, 2, ioPlace(2 ** 53 - 1, memory.address), SECTOR, 0);
    file.submit(IO_READ, 3, ioPlace(0, memory.address), SECTOR, 0);
    const found = await results(file, 3);
    expect([found.get(1), found.get(3)]).toEqual([SECTOR, SECTOR]);
    expect([0, -EINVAL]).toContain(found.get(2));
    const closed = newFile(8, 8, 1_000_000);
    closed.submit(IO_READ, 1, ioPlace(0, memory.address), SECTOR, 0);
    closed.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
    expect([...(await results(closed, 2)).values()]).toEqual([-EBADF, -EBADF]);
  });
});

describe('the whole daemon', () => {
  const QUEUES = 8;
  /** Three descriptors each: a ring of 1024 is full. */
  const REQUESTS = 341;
  let disk: ServedDisk;

  afterEach(async () => {
    await disk.close();
  });

  test.each([
    [['--aio=native', '--direct-io=on']],
    [['--aio=threads', '--direct-io=off', '--io-path=engine']],
  ])('2728 requests at once on one worker: %j', async (args) => {
    expect(QUEUES * REQUESTS).toBeGreaterThan(2 * JOB_SLOTS);
    const content = noise(2 ** 20, 5);
    disk = await ServedDisk.serve({ args: [...args, `--num-queues=${QUEUES}`], content });
    const at = 0x1_0000_0000;
    const { queues } = await disk.connect({
      queueCount: QUEUES,
      queueSize: 1024,
      placeCount: 1,
      moreRegions: [[at, QUEUES * REQUESTS * 2048]],
    });
    // Data at whole sectors, as direct I/O takes it.
    const framing = { gapBytes: SECTOR - 16 };
    for (const queue of queues) {
      for (let i = 0; i < REQUESTS; i++) {
        const place = at + (queue.index * REQUESTS + i) * 2048;
        queue.offer(blk.read((queue.index * REQUESTS + i) % 2048, SECTOR, framing), place);
      }
    }
    for (const queue of queues) queue.kick();
    for (const queue of queues) {
      const answers = await queue.drained();
      expect(answers).toHaveLength(REQUESTS);
      for (const { request, usedBytes } of answers) {
        expect([request.status, usedBytes]).toEqual([VIRTIO_BLK_S_OK, SECTOR + 1]);
      }
    }
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({
      reads: QUEUES * REQUESTS,
      errors: 0,
      bounced: 0,
    });
  });
});
