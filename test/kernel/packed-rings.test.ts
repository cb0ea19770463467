/**
 * Packed rings, in-order use and the reset of a single ring, on the whole daemon: requests of every kind
 * against a model, stops and starts where the ring stood, drivers that sleep, and drivers that do wrong.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from '../../protocol/virtio-ring.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { blk, blkHeader } from '../support/mock-driver-blk.ts';
import { packedBase, type RawPackedDescriptor } from '../support/mock-driver-packed.ts';
import type { MockFrontEnd, MockFrontEndOptions } from '../support/mock-frontend.ts';
import type { MockQueue, Pending } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { eventually } from '../support/waiting.ts';

const BLOCK = 4096;
const SECTOR = 512;
let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

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

describe.each<[string, Pick<MockFrontEndOptions, 'packed' | 'inOrder' | 'eventIdx' | 'byCalls'>]>([
  ['packed', { packed: true }],
  ['packed, in order', { packed: true, inOrder: true }],
  ['split, in order', { inOrder: true }],
  ['packed, without EVENT_IDX, by calls', { packed: true, eventIdx: false, byCalls: true }],
  ['packed, by calls', { packed: true, byCalls: true }],
])('%s', (name, layout) => {
  const sizes = { queueCount: 2, queueSize: layout.packed ? 100 : 128 };

  test('random requests of every kind leave the disk as the model has it', async () => {
    const sizeBytes = 8 * 2 ** 20;
    disk = await ServedDisk.serve({ sizeBytes, args: ['--workers=2'] });
    const moreRegions = [loadRegion(sizes.queueCount)];
    const frontEnd = await disk.connect({ ...sizes, ...layout, moreRegions });
    const load = new VerifiedLoad(frontEnd, new Uint8Array(sizeBytes));
    await load.run(600);
    expect(load.answered).toBe(1200);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(load.difference(disk.imageBytes())).toBe(null);
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, guestViolations: 0 });
  });

  test('stopped and started where it stood 20 times under load, no request is lost', async () => {
    disk = await ServedDisk.serve({ args: ['--workers=2', '--log-level=debug'] });
    const frontEnd = await disk.connect({ ...sizes, ...layout });
    let offered = 0;
    for (let round = 0; round < 20; round++) {
      const batches = frontEnd.queues.map(fill);
      offered += batches.flat().length;
      const bases = await frontEnd.stopQueues();
      // Nothing is in flight then: a packed ring has used what it has taken.
      if (layout.packed) for (const base of bases) expect(base >>> 16).toBe(base & 0xffff);
      await frontEnd.startQueues();
      for (const queue of frontEnd.queues) await queue.drained();
      for (const batch of batches) allOk(batch);
    }
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({ reads: offered, errors: 0 });
    expect(disk.vloop.log('vring started')[0]).toMatchObject({
      layout: name.startsWith('packed') ? 'packed' : 'split',
    });
  });
});

describe.each([
  ['split', false],
  ['packed', true],
])('VIRTIO_F_RING_RESET, %s', (_, packed) => {
  test('a ring that was stopped starts anew, another size too, while another runs on', async () => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect({ queueCount: 2, queueSize: 64, packed });
    const [reset, other] = [frontEnd.queues[0]!, frontEnd.queues[1]!];
    let stopped = false;
    const busy = (async () => {
      let done = 0;
      while (!stopped) {
        const batch = fill(other);
        await other.drained();
        allOk(batch);
        done += batch.length;
      }
      return done;
    })();
    for (let round = 0; round < 10; round++) {
      const batch = fill(reset);
      await reset.drained();
      allOk(batch);
      await frontEnd.stopQueue(0);
      frontEnd.resetQueue(0, packed ? 33 + round : 2 ** (3 + (round % 5)));
      await frontEnd.restart(0);
    }
    await frontEnd.queues[0]!.mustRun(blk.read(0, BLOCK));
    stopped = true;
    expect(await busy).toBeGreaterThan(0);
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, guestViolations: 0 });
  });
});

describe('a base that no packed ring can have', () => {
  test.each([
    [
      'avail index beyond the ring',
      packedBase({ index: 64, wrap: true }, { index: 0, wrap: true }),
    ],
    [
      'more in flight than the ring has',
      packedBase({ index: 1, wrap: false }, { index: 0, wrap: true }),
    ],
  ])('%s is refused at the kick, and the session goes on', async (_, base) => {
    disk = await ServedDisk.serve();
    const frontEnd = await disk.connect({ queueSize: 64, packed: true });
    await frontEnd.stopQueue(0);
    frontEnd.setBase(0, base);
    expect(await frontEnd.startStatus(0)).not.toBe(0n);
    expect((await disk.vloop.logged('front-end message refused'))[0]).toMatchObject({
      error: expect.stringContaining(`base=0x${base.toString(16)}`),
    });
  });
});

describe('a driver that breaks the rules of a packed ring', () => {
  const header = { lengthBytes: 16 };

  /** The violation that a list breaks the ring with; the other ring and a new start are as before. */
  async function victimOf(list: (free: number) => readonly RawPackedDescriptor[]) {
    disk = await ServedDisk.serve();
    const options = { queueCount: 2, queueSize: 7, placeCount: 2, packed: true };
    const frontEnd = await disk.connect(options);
    const victim = frontEnd.queues[0]!;
    await victim.mustRun(blk.read(0, SECTOR));
    const free = frontEnd.shared.regions[0]!.guestAddress + 512 * 1024;
    frontEnd.shared.ram.write(free, blkHeader(0));
    victim.packedDriver.rawChain(list(free));
    victim.kickAnyway();
    await eventually('signal at the error eventfd', 5000, () =>
      drainEventfd(victim.errFd) > 0 ? true : undefined,
    );
    const [line] = await disk.vloop.logged('the guest broke a vring');
    expect((await frontEnd.queues[1]!.run(blk.read(8, SECTOR))).status).toBe(VIRTIO_BLK_S_OK);
    await startsAnew(frontEnd);
    return line?.['violation'];
  }

  async function startsAnew(frontEnd: MockFrontEnd): Promise<void> {
    await frontEnd.stopQueue(0);
    frontEnd.resetQueue(0, 5);
    await frontEnd.restart(0);
    await frontEnd.queues[0]!.mustRun(blk.read(0, SECTOR));
  }

  test.each<[string, string, (free: number) => readonly RawPackedDescriptor[]]>([
    [
      'bug class 1: a list without an end',
      'CHAIN_TOO_LONG',
      (address) =>
        Array.from({ length: 7 }, () => ({ ...header, address, flags: VRING_DESC_F_NEXT })),
    ],
    [
      'bug class 3: a buffer past 2^64',
      'CHAIN_ADDRESS_TOO_LARGE',
      () => [{ ...header, address: 2n ** 64n - 1n }],
    ],
    [
      'bug class 5: an indirect table of 17 bytes',
      'INDIRECT_LENGTH',
      (address) => [{ address, lengthBytes: 17, flags: VRING_DESC_F_INDIRECT }],
    ],
    [
      'bug class 5: direct and indirect descriptors in one list',
      'INDIRECT_WITH_NEXT',
      (address) => [
        { ...header, address, flags: VRING_DESC_F_NEXT },
        { ...header, address, flags: VRING_DESC_F_INDIRECT },
      ],
    ],
    [
      'bug class 8: an id past the end of the ring',
      'HEAD_OUT_OF_RANGE',
      (address) => [{ ...header, address, id: 7 }],
    ],
    [
      'rule 12: a readable descriptor after a writable one',
      'CHAIN_READABLE_AFTER_WRITABLE',
      (address) => [
        { ...header, address, flags: VRING_DESC_F_WRITE | VRING_DESC_F_NEXT },
        { ...header, address },
      ],
    ],
    [
      'bug class 21: a request without a writable byte',
      'REQUEST_NO_STATUS_BYTE',
      (address) => [{ ...header, address }],
    ],
  ])('%s breaks its ring only', async (_, violation, list) => {
    expect(await victimOf(list)).toBe(violation);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('summary')[0]?.['guestViolations']).toBe(1);
  });

  test('bug class 7: an id that is made available twice at once', async () => {
    // The first descriptor of all is written last: both chains are there at once.
    const violation = await victimOf((address) => {
      const list = [
        { ...header, address, id: 3, flags: VRING_DESC_F_NEXT },
        { address: address + 16, lengthBytes: SECTOR + 1, id: 3, flags: VRING_DESC_F_WRITE },
      ];
      return [...list, ...list];
    });
    expect(violation).toBe('HEAD_IN_FLIGHT');
  });
});

test('a session on packed rings, then one on split ones, then packed again, on one vloop', async () => {
  disk = await ServedDisk.serve();
  for (const packed of [true, false, true]) {
    const frontEnd = await disk.connect({ packed, queueSize: 32 });
    for (let i = 0; i < 100; i++) await frontEnd.queue.mustRun(blk.read(i, BLOCK));
    frontEnd.close();
  }
});
