/**
 * The dirty log against the whole daemon: what requests write is marked in the front-end's own memory,
 * under load, while logging goes on and off and logs are exchanged; logs that are none are refused with a
 * line, the session ends, and nothing of it is left.
 */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { F_SEAL_SHRINK } from '../../protocol/linux.ts';
import { vringUsedBytes } from '../../protocol/virtio-ring.ts';
import { createEventfd, drainEventfd } from '../../src/sys/eventfd.ts';
import { addSeals, createMemfd } from '../../src/sys/memfd.ts';
import { noise } from '../support/image-content.ts';
import { LogMemory, pagesOf } from '../support/log-memory.ts';
import type { DriverBuffer } from '../support/mock-driver.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { logPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
/** Covers guest addresses below 8 GiB: all that mock front-ends use. */
const LOG_BYTES = 0x4_0000;
let disk: ServedDisk;

beforeEach(async () => {
  const content = noise(16 * MIB, 1);
  disk = await ServedDisk.serve({ content, args: ['--workers=2', '--num-queues=4'] });
});

afterEach(async () => {
  await disk.close();
});

function newLog(sizeBytes = LOG_BYTES, options?: { sealed: boolean }): LogMemory {
  return disk.own(new LogMemory(sizeBytes, options));
}

/** Pages of all that a device writes for a request, and of the used ring. */
function writtenPages(queue: MockQueue, request: { buffers: readonly DriverBuffer[] }): number[] {
  const writable = request.buffers.filter(({ writable }) => writable);
  const ring = pagesOf(queue.driver.place.used, vringUsedBytes(queue.driver.size));
  return [
    ...writable.flatMap(({ address, lengthBytes }) => pagesOf(address, lengthBytes)),
    ring[0]!,
  ];
}

/** Reads on every queue at once; the pages that must be marked for them. */
async function readEverywhere(frontEnd: MockFrontEnd, bytes: number): Promise<number[]> {
  const offered = frontEnd.queues.flatMap((queue) =>
    Array.from({ length: 8 }, (_, i) => ({ queue, pending: queue.offer(blk.read(8 * i, bytes)) })),
  );
  for (const queue of frontEnd.queues) queue.kick();
  for (const queue of frontEnd.queues) await queue.drained();
  return offered.flatMap(({ queue, pending }) => writtenPages(queue, pending.request));
}

describe('what requests write', () => {
  test.each([512, 4096, 102_400])(
    'reads of %i bytes on two workers are marked whole',
    async (bytes) => {
      const frontEnd = await disk.connect({ queueCount: 2 });
      const log = newLog();
      await frontEnd.logWrites(log.fd, log.sizeBytes);
      for (let round = 0; round < 5; round++) {
        log.take();
        const expected = await readEverywhere(frontEnd, bytes);
        const marked = log.take();
        expect(expected.filter((page) => !marked.has(page))).toEqual([]);
      }
    },
  );

  test('nothing is marked before, after, and while the front-end asks for nothing', async () => {
    const frontEnd = await disk.connect({ queueCount: 2 });
    const log = newLog();
    const base = logPayload(log.sizeBytes);
    await frontEnd.client.request('SET_LOG_BASE', base, { fds: [log.fd] });
    await readEverywhere(frontEnd, 4096);
    expect(log.take().size).toBe(0);
    await frontEnd.setLogging(true);
    await readEverywhere(frontEnd, 4096);
    expect(log.take().size).toBeGreaterThan(16);
    await frontEnd.setLogging(false);
    log.take();
    await readEverywhere(frontEnd, 4096);
    expect(log.take().size).toBe(0);
  });

  test('a stopped ring writes no more: the log that is read after the stop is the last', async () => {
    const frontEnd = await disk.connect({ queueCount: 2 });
    const log = newLog();
    await frontEnd.logWrites(log.fd, log.sizeBytes);
    const offered = frontEnd.queues.map((queue) => ({
      queue,
      pending: queue.offer(blk.read(0, 65_536)),
    }));
    for (const queue of frontEnd.queues) queue.kick();
    await frontEnd.stopQueues();
    const marked = log.take();
    for (const { queue, pending } of offered) {
      for (const page of writtenPages(queue, pending.request)) expect(marked).toContain(page);
    }
    await frontEnd.client.request('GET_FEATURES');
    expect(log.take().size).toBe(0);
  });

  test('a process that takes over (SIGUSR2) marks in the same log', async () => {
    const frontEnd = await disk.connect({ queueCount: 2 });
    const log = newLog();
    await frontEnd.logWrites(log.fd, log.sizeBytes);
    await disk.vloop.upgrade();
    log.take();
    const expected = await readEverywhere(frontEnd, 4096);
    const marked = log.take();
    expect(expected.filter((page) => !marked.has(page))).toEqual([]);
  });

  test('SET_LOG_FD is signalled when pages are marked that were not', async () => {
    const frontEnd = await disk.connect();
    const log = newLog();
    const eventFd = createEventfd();
    disk.own({ close: () => closeSync(eventFd) });
    expect(await frontEnd.client.acked('SET_LOG_FD', undefined, { fds: [eventFd] })).toBe(0n);
    await frontEnd.logWrites(log.fd, log.sizeBytes);
    await frontEnd.queue.mustRun(blk.read(0, 4096));
    await eventually('signal', 1000, () => (drainEventfd(eventFd) > 0 ? true : undefined));
  });

  test('a page beyond the log is told of once, and written all the same', async () => {
    const farAt = 0x2_0000_0000;
    const frontEnd = await disk.connect({ moreRegions: [[farAt, MIB]] });
    const far = frontEnd.shared.regions[1]!;
    await frontEnd.removeRegion(far);
    const small = newLog(LOG_BYTES / 4);
    await frontEnd.logWrites(small.fd, small.sizeBytes);
    // QEMU brings a larger log first; whoever does not is told, and its disk works.
    await frontEnd.addRegion(far);
    for (let i = 0; i < 3; i++) {
      const pending = frontEnd.queue.offer(blk.read(0, 4096), farAt);
      frontEnd.queue.kick();
      await frontEnd.queue.drained();
      expect(pending.request.dataIn).toEqual(new Uint8Array(noise(4096, 1)));
    }
    const [said] = await disk.vloop.logged('too small for');
    expect(said?.['guestAddress']).toBe('0x200000000');
    expect(disk.vloop.log('too small for')).toHaveLength(1);
  });
});

test('under load, with logging on and off and twenty logs one after the other, every answer is right', async () => {
  const frontEnd = await disk.connect({ queueCount: 2, moreRegions: [loadRegion(2)] });
  const load = new VerifiedLoad(frontEnd, new Uint8Array(noise(16 * MIB, 1)));
  let done = false;
  const running = load.runUntil(() => done);
  for (let round = 0; round < 20; round++) {
    const log = newLog(LOG_BYTES, { sealed: round % 2 === 0 });
    await frontEnd.logWrites(log.fd, log.sizeBytes);
    const before = load.answered;
    await eventually('answers', 5000, () => load.answered > before + 20 || undefined);
    expect(log.take().size).toBeGreaterThan(0);
    if (round % 3 === 0) await frontEnd.setLogging(false);
  }
  done = true;
  await running;
  expect(disk.vloop.log('too small for')).toHaveLength(0);
  const { vloop } = disk;
  frontEnd.close();
  await vloop.logged('front-end disconnected');
  expect(vloop.guestMappings()).toBe(0);
});

describe('a log that is none', () => {
  const open = (fd: number) => {
    disk.own({ close: () => closeSync(fd) });
    return fd;
  };
  const memfd = (sizeBytes: number, seals = F_SEAL_SHRINK) => {
    const fd = open(createMemfd('vloop-test-log'));
    ftruncateSync(fd, sizeBytes);
    addSeals(fd, seals);
    return fd;
  };
  const F_SEAL_SEAL = 1;
  const F_SEAL_WRITE = 8;

  test.each<[string, () => number, Uint8Array, RegExp]>([
    ['too small for the memory', () => memfd(4096), logPayload(8), /covers guest addresses below/],
    ['of no bytes', () => memfd(4096), logPayload(0), /mmap size=0/],
    ['of 2^64-1 bytes', () => memfd(4096), logPayload(2n ** 64n - 1n), /mmap size=/],
    ['of more than any guest has', () => memfd(4096), logPayload(2 ** 32 + 1), /mmap size=/],
    [
      'at an offset of half a page',
      () => memfd(2 * LOG_BYTES),
      logPayload(LOG_BYTES, 2048),
      /mmap offset=2048/,
    ],
    [
      'at an offset that overflows',
      () => memfd(4096),
      logPayload(LOG_BYTES, 2n ** 64n - 4096n),
      /mmap offset=/,
    ],
    [
      'longer than its file',
      () => memfd(LOG_BYTES - 1),
      logPayload(LOG_BYTES),
      /past the end of its file/,
    ],
    [
      'behind the end of its file',
      () => memfd(LOG_BYTES),
      logPayload(LOG_BYTES, 4096),
      /past the end of its file/,
    ],
    [
      'a memfd that can still be truncated',
      () => memfd(LOG_BYTES, F_SEAL_SEAL),
      logPayload(LOG_BYTES),
      /can be truncated/,
    ],
    [
      'a memfd that nobody may write',
      () => memfd(LOG_BYTES, F_SEAL_SHRINK | F_SEAL_WRITE),
      logPayload(LOG_BYTES),
      /cannot map/,
    ],
    [
      'a file of a disk',
      () => open(openSync(disk.image, 'r+')),
      logPayload(LOG_BYTES),
      /can be truncated/,
    ],
    ['an eventfd', () => open(createEventfd()), logPayload(LOG_BYTES), /can be truncated/],
    [
      'a device',
      () => open(openSync('/dev/zero', 'r+')),
      logPayload(LOG_BYTES),
      /can be truncated/,
    ],
  ])('%s', async (_, fdOf, payload, line) => {
    const { client } = await disk.connect();
    const fds = disk.vloop.openFds();
    client.send('SET_LOG_BASE', payload, { fds: [fdOf()] });
    await client.disconnected();
    const [said] = await disk.vloop.logged('it broke the protocol');
    expect(said?.['error']).toMatch(line);
    // The session's socket, three eventfds: gone. A second front-end is served.
    await disk.vloop.logged('front-end disconnected', 2);
    expect(disk.vloop.openFds()).toBeLessThan(fds);
    expect(disk.vloop.guestMappings()).toBe(0);
    const next = await disk.connect();
    await next.queue.mustRun(blk.read(0, 512));
  });

  test('its owner cannot truncate it any more, and vloop outlives the attempt', async () => {
    const frontEnd = await disk.connect();
    const log = newLog(LOG_BYTES, { sealed: false });
    await frontEnd.logWrites(log.fd, log.sizeBytes);
    expect(() => ftruncateSync(log.fd, 0)).toThrow('EPERM');
    await frontEnd.queue.mustRun(blk.read(0, 4096));
    expect(log.take().size).toBeGreaterThan(0);
  });
});
