/**
 * The data path with a transfer module: every byte goes through it once and in whole units, whatever the guest's
 * buffers look like and however the file answers; what the file does not have is not transformed; what the module
 * cannot do fails the request and touches nothing.
 */
import { describe, expect, test } from 'vitest';
import { EIO } from '../../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../../protocol/virtio-blk.ts';
import { BOUNCE_BYTES } from '../../../src/loop/bounce-buffers.ts';
import { SHARED_FLUSH_ERRNO } from '../../../src/loop/loop-state.ts';
import { failed, faultsWhere } from '../../support/faulty-backing.ts';
import { noise } from '../../support/image-content.ts';
import { LoopRig, type LoopRigOptions } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';
import { type ShiftCall, shift, shiftTransfer, using } from '../../support/test-transfers.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

function shiftRig(
  options: LoopRigOptions & { traits?: object; calls?: ShiftCall[] } = {},
): LoopRig {
  const { traits, calls, ...rest } = options;
  return new LoopRig({
    ...rest,
    transfer: using(shiftTransfer(traits, calls), { blockSizeBytes: 4096 }),
  });
}

/** What the file holds, as the guest would see it. */
function plain(rig: LoopRig, offsetBytes: number, lengthBytes: number): Buffer {
  const bytes = Buffer.from(rig.backing.content.slice(offsetBytes, offsetBytes + lengthBytes));
  shift(bytes, offsetBytes / 512, -1);
  return bytes;
}

function read(rig: LoopRig, sector: number, lengthBytes: number, skewBytes = 0, framing = {}) {
  const request = rig.offer(blk.read(sector, lengthBytes, framing), { skewBytes });
  rig.settle();
  return { status: request.placed.status, data: Buffer.from(request.placed.dataIn) };
}

describe.each([false, true])('direct I/O %s', (direct) => {
  test.each([
    ['in one piece', 0, {}, {}],
    ['at an odd address', 3, {}, {}],
    [
      'in pieces of no whole sector',
      1,
      { readableCuts: [16, 17, 700, 9000], gapBytes: 7 },
      { writableCuts: [1, 513, 600, 9000], gapBytes: 5 },
    ],
  ])('%s: transformed on its way there and back', (_, skewBytes, out, back) => {
    const rig = shiftRig({ direct });
    const data = noise(32 * KIB, 1);
    expect(rig.run(blk.write(100, data, out), { skewBytes })).toBe(VIRTIO_BLK_S_OK);
    expect(plain(rig, 51_200, data.length)).toEqual(data);
    expect(
      Buffer.compare(rig.backing.content.subarray(51_200, 51_200 + 512), data.subarray(0, 512)),
    ).not.toBe(0);
    expect(read(rig, 100, data.length, skewBytes, back)).toEqual({ status: VIRTIO_BLK_S_OK, data });
  });

  test('more than a bounce buffer holds, and more requests than there are buffers', () => {
    const rig = shiftRig({
      direct,
      ringSize: 128,
      sizeBytes: 8 * MIB,
      limits: { capacitySectors: 16384 },
    });
    const big = noise(2 * BOUNCE_BYTES + 4096, 2);
    expect(rig.run(blk.write(0, big))).toBe(VIRTIO_BLK_S_OK);
    expect(plain(rig, 0, big.length)).toEqual(big);
    const blocks = Array.from({ length: 40 }, (_, i) => noise(4096, 20 + i));
    const writes = blocks.map((block, i) => rig.offer(blk.write(4096 + i * 8, block)));
    rig.settle();
    expect(writes.map(({ placed, answers }) => [placed.status, answers])).toEqual(
      blocks.map(() => [VIRTIO_BLK_S_OK, [1]]),
    );
    for (const [i, block] of blocks.entries()) {
      expect(plain(rig, 4096 * (512 + i), 4096)).toEqual(block);
    }
    expect(rig.counter('bounced')).toBe(41);
  });

  test.each([512, 4096])('operations that stop in the midst of a unit of %i bytes', (unitBytes) => {
    const calls: ShiftCall[] = [];
    const rig = shiftRig({ direct, traits: { unitBytes }, calls });
    const data = noise(64 * KIB, 5);
    let turn = 0;
    // 1 unit and a half, half a unit, whole, in turns.
    rig.backing.faultOf = ({ kind }) =>
      kind === 'fdatasync'
        ? undefined
        : { shortBytes: [unitBytes * 1.5, unitBytes / 2, 1e9][turn++ % 3]! };
    if (direct) rig.backing.faultOf = () => ({ shortBytes: unitBytes });
    expect(rig.run(blk.write(8, data))).toBe(VIRTIO_BLK_S_OK);
    expect(plain(rig, 4096, data.length)).toEqual(data);
    expect(read(rig, 8, data.length)).toEqual({ status: VIRTIO_BLK_S_OK, data });
    expect(calls.every(({ lengthBytes }) => lengthBytes > 0 && lengthBytes % unitBytes === 0)).toBe(
      true,
    );
    expect(calls.every(({ sector }) => (sector * 512) % unitBytes === 0)).toBe(true);
  });

  test.each(['again', 'interrupted'] as const)('%s: nothing is transformed twice', (fault) => {
    const rig = shiftRig({ direct });
    rig.backing.faultOf = faultsWhere(() => true, failed[fault], 10);
    const data = noise(4096, 6);
    expect(rig.run(blk.write(0, data))).toBe(VIRTIO_BLK_S_OK);
    expect(plain(rig, 0, data.length)).toEqual(data);
    rig.backing.faultOf = faultsWhere(() => true, failed[fault], 10);
    expect(read(rig, 0, 4096)).toEqual({ status: VIRTIO_BLK_S_OK, data });
  });

  test.each([0, 512, 5120])('a file that ends at %i reads as zeroes from there', (end) => {
    const rig = shiftRig({ direct });
    const data = noise(8 * KIB, 9);
    rig.run(blk.write(0, data));
    rig.backing.truncate(end);
    const expected = Buffer.alloc(data.length);
    data.copy(expected, 0, 0, end);
    expect(read(rig, 0, data.length)).toEqual({ status: VIRTIO_BLK_S_OK, data: expected });
  });

  test('a unit of which the file has a part only cannot be read', () => {
    const rig = shiftRig({ direct });
    rig.run(blk.write(0, noise(8 * KIB, 9)));
    rig.backing.truncate(1000);
    expect(read(rig, 0, 512).status).toBe(VIRTIO_BLK_S_OK);
    expect(read(rig, 0, 8 * KIB).status).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.backing.submitted.length).toBeLessThan(300);
    expect(read(rig, 2, 512)).toEqual({ status: VIRTIO_BLK_S_OK, data: Buffer.alloc(512) });
  });

  test.each([
    ['file', 4096 / 512 + 3],
    ['disk', 3],
  ])('sectors count from the start of the %s where the disk has an offset', (sectorsOf, sector) => {
    const calls: ShiftCall[] = [];
    const rig = shiftRig({ direct, fileOffsetBytes: 4096, traits: { sectorsOf }, calls });
    rig.run(blk.write(3, noise(512, 3)));
    rig.run(blk.writeZeroes({ sector: 3, sectors: 1 }));
    read(rig, 3, 512);
    expect(calls.map((call) => call.sector)).toEqual([sector, sector, sector]);
  });
});

describe('write-zeroes and discard', () => {
  test.each([0, 1])('zeroes are written as the module makes them (unmap flag %i)', (flags) => {
    const rig = shiftRig({ sizeBytes: 2 * MIB, limits: { capacitySectors: 4096 } });
    rig.run(blk.write(0, noise(600 * KIB, 1)));
    const ranges = [
      { sector: 8, sectors: 1024, flags },
      { sector: 1100, sectors: 3, flags },
    ];
    expect(rig.run(blk.writeZeroes(...ranges))).toBe(VIRTIO_BLK_S_OK);
    for (const { sector, sectors } of ranges) {
      const bytes = plain(rig, sector * 512, sectors * 512);
      expect(bytes.every((byte) => byte === 0)).toBe(true);
    }
    expect(rig.backing.submitted.filter(({ kind }) => kind === 'fallocate')).toEqual([]);
    expect(read(rig, 1101, 512).data).toEqual(Buffer.alloc(512));
    expect(rig.counter('writeZeroes')).toBe(1);
  });

  test('many at once wait for buffers, are cut short and repeated', () => {
    const rig = shiftRig({ ringSize: 128 });
    const data = noise(MIB, 4);
    for (let at = 0; at < MIB; at += 256 * KIB) {
      rig.run(blk.write(at / 512, data.subarray(at, at + 256 * KIB)));
    }
    let turn = 0;
    rig.backing.faultOf = () => [failed.again, { shortBytes: 700 }, undefined][turn++ % 3];
    for (let i = 0; i < 40; i++) rig.offer(blk.writeZeroes({ sector: i * 40, sectors: 20 }));
    rig.settle();
    expect(rig.counter('writeZeroes')).toBe(40);
    for (let i = 0; i < 40; i++) {
      data.fill(0, i * 40 * 512, (i * 40 + 20) * 512);
    }
    expect(plain(rig, 0, MIB)).toEqual(data);
  });

  test('a discard makes a hole where the module allows it', () => {
    const rig = shiftRig({ traits: { discard: true } });
    rig.run(blk.write(0, noise(8192, 1)));
    expect(rig.run(blk.discard({ sector: 8, sectors: 8 }))).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.content.subarray(4096, 8192).every((byte) => byte === 0)).toBe(true);
  });
});

describe('a module that fails', () => {
  const failing = (traits: object, fails: (command: string) => boolean, told: string[] = []) => ({
    ringSize: 128,
    writeThrough: true,
    transfer: using(
      {
        ...shiftTransfer(traits),
        transfer(_device, command) {
          if (fails(command)) throw new Error('broken');
          return undefined;
        },
      },
      { onFailure: (reason) => told.push(reason) },
    ),
  });

  test('fails its request with an I/O error, is counted, and told once', () => {
    const told: string[] = [];
    const rig = new LoopRig(failing({}, () => true, told));
    expect(rig.run(blk.write(0, noise(512, 1)))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.run(blk.writeZeroes({ sector: 0, sectors: 1 }))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.backing.submitted).toEqual([]);
    expect(read(rig, 0, 512).status).toBe(VIRTIO_BLK_S_IOERR);
    expect([rig.counter('transferErrors'), rig.counter('errors')]).toEqual([3, 3]);
    expect(told).toEqual(['broken']);
    // Not an error of the file: nothing that a flush would have to report.
    expect([rig.ioErrors, rig.state.shared[SHARED_FLUSH_ERRNO]]).toEqual([[], 0]);
    expect(rig.run({ type: 4 })).toBe(VIRTIO_BLK_S_OK);
  });

  test('gives its bounce buffers back, however many wait for one', () => {
    const queues = Array.from({ length: 8 }, (_, queue) => queue);
    const rig = new LoopRig({
      ...failing({}, (command) => command === 'write'),
      queueCount: queues.length,
      ringSize: 2048,
      dataBytes: 64 * MIB,
    });
    // All buffers are held by reads; then come writes, which fail as soon as they get one.
    const reads = Array.from({ length: 16 }, (_, i) => rig.offer(blk.read(i, 512)));
    rig.serve();
    const writes = queues.flatMap((queue) =>
      Array.from({ length: 600 }, (_, i) => rig.offer(blk.write(i, noise(512, i + 1)), { queue })),
    );
    rig.serve();
    expect(rig.backing.pendingCount).toBe(reads.length);
    rig.settle();
    expect(reads.every(({ placed }) => placed.status === VIRTIO_BLK_S_OK)).toBe(true);
    expect(writes.every(({ placed }) => placed.status === VIRTIO_BLK_S_IOERR)).toBe(true);
    expect(rig.counter('transferErrors')).toBe(writes.length);
    expect(read(rig, 0, 4096).status).toBe(VIRTIO_BLK_S_OK);
  });
});

test('an I/O error of the file is one with a module as well', () => {
  const rig = shiftRig();
  rig.backing.faultOf = () => failed.ioError;
  expect(rig.run(blk.write(9, noise(512, 8)))).toBe(VIRTIO_BLK_S_IOERR);
  expect(rig.ioErrors).toEqual([{ op: 2, errno: EIO, offsetBytes: 9 * 512 }]);
  expect(rig.counter('transferErrors')).toBe(0);
});
