/**
 * The config space byte by byte, and that what it promises is what requests are checked against.
 */
import { describe, expect, test } from 'vitest';
import { encodeConfigSpace, isWritebackWrite } from '../../../src/blk/config-space.ts';
import { type DiskShape, RANGE_SECTORS_MAX, SEG_MAX } from '../../../src/blk/disk-shape.ts';

const SHAPE: DiskShape = {
  capacitySectors: 0x1_2345_6789,
  blockSizeBytes: 512,
  physicalBlockBytes: 4096,
  discardGranularityBytes: 4096,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 3,
  rangesMax: 5,
  serial: 'serial',
};

/** Fields by their offsets in virtio 1.3 §5.2.4, written down here again on purpose. */
function fields(shape: Partial<DiskShape> = {}, writeback = true) {
  const bytes = encodeConfigSpace({ ...SHAPE, ...shape }, writeback);
  const view = new DataView(bytes.buffer);
  return {
    bytes,
    capacity: view.getBigUint64(0, true),
    sizeMax: view.getUint32(8, true),
    segMax: view.getUint32(12, true),
    geometry: view.getUint32(16, true),
    blkSize: view.getUint32(20, true),
    physicalBlockExp: bytes[24],
    alignmentOffset: bytes[25],
    minIoSize: view.getUint16(26, true),
    optIoSize: view.getUint32(28, true),
    writeback: bytes[32],
    unused0: bytes[33],
    numQueues: view.getUint16(34, true),
    maxDiscardSectors: view.getUint32(36, true),
    maxDiscardSeg: view.getUint32(40, true),
    discardAlignment: view.getUint32(44, true),
    maxWriteZeroesSectors: view.getUint32(48, true),
    maxWriteZeroesSeg: view.getUint32(52, true),
    mayUnmap: bytes[56],
    rest: [...bytes.subarray(57)],
  };
}

test('holds what the disk is', () => {
  const { bytes, rest, ...named } = fields();
  expect(bytes).toHaveLength(96);
  expect(named).toEqual({
    capacity: 0x1_2345_6789n,
    sizeMax: 0,
    segMax: SEG_MAX,
    geometry: 0,
    blkSize: 512,
    physicalBlockExp: 3,
    alignmentOffset: 0,
    minIoSize: 8,
    optIoSize: 0,
    writeback: 1,
    unused0: 0,
    numQueues: 3,
    maxDiscardSectors: RANGE_SECTORS_MAX,
    maxDiscardSeg: 5,
    discardAlignment: 8,
    maxWriteZeroesSectors: RANGE_SECTORS_MAX,
    maxWriteZeroesSeg: 5,
    mayUnmap: 1,
  });
  // Padding, SECURE_ERASE and ZONED: nothing is offered there.
  expect(rest.every((byte) => byte === 0)).toBe(true);
});

test.each([1, 2 ** 32 - 1, 2 ** 32, 2 ** 44 + 1, Number.MAX_SAFE_INTEGER])(
  'a capacity of %i sectors is exact',
  (capacitySectors) => expect(fields({ capacitySectors }).capacity).toBe(BigInt(capacitySectors)),
);

test('capacity counts 512-byte sectors whatever the block size', () => {
  expect(fields({ blockSizeBytes: 4096, capacitySectors: 800 }).capacity).toBe(800n);
});

test.each([
  [512, 512, 0, 1],
  [512, 4096, 3, 8],
  [4096, 4096, 0, 1],
  [1024, 4096, 2, 4],
  // A file system may report less than the logical block size chosen for the guest.
  [4096, 512, 0, 1],
])('block %i on physical %i: exponent %i, min_io %i', (logical, physical, exponent, minIo) => {
  const shape = { blockSizeBytes: logical, physicalBlockBytes: physical };
  const { physicalBlockExp, minIoSize, blkSize } = fields(shape);
  expect([blkSize, physicalBlockExp, minIoSize]).toEqual([logical, exponent, minIo]);
});

test.each([
  [512, 0, 1],
  [512, 512, 1],
  [4096, 512, 8],
  [512, 65536, 128],
])('discard alignment of block %i and granularity %i is %i sectors', (block, granularity, want) => {
  const shape = { blockSizeBytes: block, discardGranularityBytes: granularity };
  expect(fields(shape).discardAlignment).toBe(want);
});

test('writeback is the live cache mode', () => {
  expect(fields({}, true).writeback).toBe(1);
  expect(fields({}, false).writeback).toBe(0);
});

describe('a write by the driver', () => {
  test('may touch the writeback byte and nothing else, bug class 25', () => {
    const allowed: Array<[number, number]> = [];
    for (let offset = 0; offset <= 256; offset++) {
      for (const size of [0, 1, 2, 3, 4, 8, 96, 256]) {
        if (isWritebackWrite(offset, size)) allowed.push([offset, size]);
      }
    }
    expect(allowed).toEqual([[32, 1]]);
    expect(isWritebackWrite(2 ** 32 + 32, 1)).toBe(false);
    expect(isWritebackWrite(32, 2 ** 32 + 1)).toBe(false);
  });
});
