/**
 * The in-flight region's messages against the whole daemon: a file that is no such region, a region that
 * lies, messages out of order; and GET_VRING_BASE_SKIP_DRAIN with requests in the engine.
 */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { queueRegionSplit } from '../../protocol/inflight.ts';
import { F_SEAL_GROW, F_SEAL_SHRINK } from '../../protocol/linux.ts';
import { addSeals, createMemfd } from '../../src/sys/memfd.ts';
import { mapShared, unmap, viewMemory } from '../../src/sys/mmap.ts';
import { noise } from '../support/image-content.ts';
import { blk, STATUS_POISON } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import {
  encodeMessage,
  inflightPayload,
  replyU64,
  vringStatePayload,
} from '../support/vhost-user-messages.ts';

const NACK = 1n;
const REGION_BYTES = 8192;
const ONE_OF_128 = { queueCount: 1, queueSize: 128, mmapBytes: REGION_BYTES };
let disk: ServedDisk;
let fds: number[];

beforeEach(async () => {
  disk = await ServedDisk.serve({ args: ['--num-queues=2'] });
  fds = [];
});

afterEach(async () => {
  for (const fd of fds) closeSync(fd);
  await disk.close();
});

function memfd(sizeBytes: number, seals = F_SEAL_SHRINK | F_SEAL_GROW): number {
  const fd = createMemfd('vloop-test-inflight');
  fds.push(fd);
  ftruncateSync(fd, sizeBytes);
  addSeals(fd, seals);
  return fd;
}

/** A front-end that has negotiated the region and stopped its ring. */
async function stopped(): Promise<MockFrontEnd> {
  const frontEnd = await disk.connect({ inflight: true });
  await frontEnd.stopQueues();
  return frontEnd;
}

describe('SET_INFLIGHT_FD is refused, its fd closed, the disk served on', () => {
  const anyFile = () => {
    const fd = openSync(disk.image, 'r+');
    fds.push(fd);
    return fd;
  };

  test.each<[string, () => number, Partial<Parameters<typeof inflightPayload>[0]>, RegExp]>([
    ['an unsealed memfd', () => memfd(REGION_BYTES, 0), {}, /not sealed against shrinking/],
    ['a file of a disk', anyFile, {}, /not sealed against shrinking/],
    ['a truncated memfd', () => memfd(REGION_BYTES - 1), {}, /reaches past the end of its file/],
    ['an offset past the end', () => memfd(REGION_BYTES), { mmapOffset: 4096 }, /past the end/],
    [
      'an odd offset',
      () => memfd(2 * REGION_BYTES),
      { mmapOffset: 12 },
      /expected a multiple of 4096/,
    ],
    ['sizes that overflow', () => memfd(REGION_BYTES), { mmapOffset: 2n ** 64n - 4096n }, /2\^53/],
    [
      'too many queues',
      () => memfd(REGION_BYTES),
      { queueCount: 3 },
      /num_queues=3, expected 1 to 2/,
    ],
    ['a size of no region', () => memfd(REGION_BYTES), { mmapBytes: 64 }, /mmap size=64/],
  ])('%s', async (_, fdOf, text, reason) => {
    const frontEnd = await stopped();
    const before = disk.vloop.openFds();
    const payload = inflightPayload({ ...ONE_OF_128, ...text });
    const status = await frontEnd.client.acked('SET_INFLIGHT_FD', payload, { fds: [fdOf()] });
    expect(status).toBe(NACK);
    const [line] = await disk.vloop.logged('front-end message refused');
    expect(line?.['error']).toMatch(reason);
    expect(disk.vloop.openFds()).toBe(before);
    await frontEnd.startQueues();
    await frontEnd.queue.mustRun(blk.read(0, 512));
  });
});

describe('bug class 19: a region that lies', () => {
  test.each<[string, (region: DataView) => void, RegExp]>([
    [
      'about its version',
      (region) => region.setUint16(queueRegionSplit.at.version, 7, true),
      /version=7, expected 1/,
    ],
    [
      'about its entries',
      (region) => region.setUint16(queueRegionSplit.at.desc_num, 3, true),
      /desc_num=3/,
    ],
    [
      'about the last batch',
      (region) => {
        region.setUint8(queueRegionSplit.sizeBytes, 1);
        region.setUint16(queueRegionSplit.at.used_idx, 0x8000, true);
      },
      /used_idx is \d+ behind the ring/,
    ],
  ])(
    '%s keeps its ring from starting, and the next front-end is served',
    async (_, lie, reason) => {
      const frontEnd = await stopped();
      const { fd } = frontEnd.inflight!;
      const address = mapShared(fd, 0, 4096);
      lie(new DataView(viewMemory(address, 4096)));
      unmap(address, 4096);
      await expect(frontEnd.startQueues()).rejects.toThrow();
      const [line] = await disk.vloop.logged('front-end disconnected: it broke the protocol');
      expect(line?.['error']).toMatch(reason);
      frontEnd.close();
      const next = await disk.connect({ inflight: true });
      await next.queue.mustRun(blk.read(0, 512));
    },
  );
});

describe('sizes, order, numbers of fds', () => {
  test.each([
    ['GET_INFLIGHT_FD', 0],
    ['SET_INFLIGHT_FD', 1],
  ] as const)('%s while a vring runs is refused', async (name, count) => {
    const frontEnd = await disk.connect({ inflight: true });
    const own = count === 1 ? [memfd(REGION_BYTES)] : [];
    frontEnd.client.send(name, inflightPayload(ONE_OF_128), { fds: own });
    await frontEnd.client.disconnected();
    const [line] = await disk.vloop.logged('front-end disconnected');
    expect(line?.['error']).toMatch(/a vring is running/);
  });

  test.each<[string, number, number, RegExp]>([
    ['19 bytes', 19, 1, /size=19, expected at least 20/],
    ['22 bytes', 22, 1, /size=22, expected 20 or 24/],
    ['32 bytes', 32, 1, /size=32, expected 20 or 24/],
    ['no fd', 24, 0, /0 file descriptors, expected 1/],
    ['two fds', 24, 2, /2 file descriptors, expected 1/],
  ])('SET_INFLIGHT_FD of %s ends the session', async (_, size, count, reason) => {
    const frontEnd = await stopped();
    const own = Array.from({ length: count }, () => memfd(REGION_BYTES));
    const bytes = encodeMessage({ request: 'SET_INFLIGHT_FD' }, new Uint8Array(size));
    frontEnd.client.sendBytes(bytes, own);
    await frontEnd.client.disconnected();
    const [line] = await disk.vloop.logged('front-end disconnected');
    expect(line?.['error']).toMatch(reason);
  });

  test('CVE-2020-10726: a thousand regions leave one mapping and no fd', async () => {
    const frontEnd = await stopped();
    const before = disk.vloop.openFds();
    for (let i = 0; i < 1000; i++) {
      const { fd } = await frontEnd.client.requestFd(
        'GET_INFLIGHT_FD',
        inflightPayload(ONE_OF_128),
      );
      closeSync(fd);
    }
    expect(disk.vloop.openFds()).toBe(before);
    expect(disk.vloop.mappingsOf('vloop-inflight')).toBe(1);
    frontEnd.close();
    await disk.connect();
    expect(disk.vloop.mappingsOf('vloop-inflight')).toBe(0);
  });

  test('GET_VRING_BASE_SKIP_DRAIN of a vring that is none is refused', async () => {
    const frontEnd = await disk.connect({ inflight: true });
    frontEnd.client.send('GET_VRING_BASE_SKIP_DRAIN', vringStatePayload(2, 0));
    await frontEnd.client.disconnected();
  });
});

describe('GET_VRING_BASE_SKIP_DRAIN', () => {
  const WRITES = 24;
  const BYTES = 64 * 1024;
  /** Until a stop finds requests in the engine. */
  const ROUNDS_MAX = 50;

  /** Stops the ring under writes and starts it again; how many were in flight at the stop. */
  async function suspendUnderWrites(frontEnd: MockFrontEnd, seed: number): Promise<number> {
    const { queue, client } = frontEnd;
    const asked = Array.from({ length: WRITES }, (_, i) =>
      queue.offer(blk.write((i * BYTES) / 512, noise(BYTES, seed + i))),
    );
    queue.kick();
    await frontEnd.stopQueue(0, 'GET_VRING_BASE_SKIP_DRAIN');
    // Suspended: nothing is written any more, whatever the engine had.
    queue.collect();
    const unanswered = asked.filter(({ usedBytes }) => usedBytes < 0);
    expect(replyU64(await client.request('GET_FEATURES'))).toBe(frontEnd.offered);
    for (const { request } of unanswered) expect(request.status).toBe(STATUS_POISON);
    expect(queue.collect()).toEqual([]);

    await frontEnd.restart(0);
    await queue.drained();
    for (const { request } of asked) expect(request.status).toBe(0);
    const image = disk.imageBytes();
    for (let i = 0; i < WRITES; i++) {
      const written = image.subarray(i * BYTES, (i + 1) * BYTES);
      expect(Buffer.compare(written, noise(BYTES, seed + i)), `write ${i}`).toBe(0);
    }
    return disk.vloop
      .log('requests in flight taken up again')
      .reduce((sum, line) => sum + Number(line['requests']), 0);
  }

  test.each([
    ['split', false],
    ['packed', true],
  ])(
    '%s: what is in flight is answered by the ring that starts next, and not before',
    async (_, packed) => {
      await disk.stopVloop();
      // Plain calls would have ended before the stop is read; on threads many writes wait for few.
      await disk.startVloop(['--aio=threads', '--io-path=engine', '--direct-io=off']);
      const frontEnd = await disk.connect({ inflight: true, packed });
      let takenUp = 0;
      for (let round = 0; takenUp === 0 && round < ROUNDS_MAX; round++) {
        takenUp = await suspendUnderWrites(frontEnd, round * WRITES);
      }
      expect(takenUp).toBeGreaterThan(0);
      await frontEnd.queue.mustRun(blk.read(0, 512));
    },
  );
});
