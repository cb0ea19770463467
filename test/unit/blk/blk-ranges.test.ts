/**
 * DISCARD and WRITE_ZEROES: ranges, their limits, their flags, and that one wrong range refuses all.
 */
import { describe, expect, test } from 'vitest';
import { OP_DISCARD, OP_NONE, OP_WRITE_ZEROES } from '../../../src/blk/blk-request.ts';
import { RANGE_SECTORS_MAX, RANGES_MAX } from '../../../src/blk/disk-shape.ts';
import { type BlkRange, blk, blkRanges } from '../../support/mock-driver-blk.ts';
import { decodeRequest, LIMITS } from '../../support/mock-driver-decode.ts';

const IOERR = 1;
const UNSUPP = 2;
const UNMAP = 1;
const { capacitySectors } = LIMITS;
const HUGE = { capacitySectors: 2 ** 43 };

const BOTH = [
  ['DISCARD', blk.discard, OP_DISCARD],
  ['WRITE_ZEROES', blk.writeZeroes, OP_WRITE_ZEROES],
] as const;

describe.each(BOTH)('%s', (_, text, op) => {
  const statusOf = (ranges: readonly BlkRange[], limits = {}) => {
    const { request } = decodeRequest(text(...ranges), limits);
    return request.op === op ? 'done' : request.status;
  };

  test('of several ranges yields each in bytes', () => {
    const { request } = decodeRequest(
      text({ sector: 8, sectors: 16 }, { sector: 0, sectors: 1 }, { sector: 2047, sectors: 1 }),
    );
    expect([request.op, request.rangeCount]).toEqual([op, 3]);
    expect([...request.rangeOffsetBytes.slice(0, 3)]).toEqual([4096, 0, 2047 * 512]);
    expect([...request.rangeLengthBytes.slice(0, 3)]).toEqual([8192, 512, 512]);
  });

  test('takes as many ranges as the config space says, and not one more', () => {
    const ranges = (count: number) =>
      Array.from({ length: count }, (_, sector) => ({ sector, sectors: 1 }));
    expect(statusOf(ranges(RANGES_MAX))).toBe('done');
    expect(statusOf(ranges(RANGES_MAX + 1))).toBe(UNSUPP);
    expect(statusOf(ranges(200))).toBe(UNSUPP);
  });

  test('takes one alone where the disk says so', () => {
    const one = { sector: 0, sectors: 1 };
    expect(statusOf([one], { rangesMax: 1 })).toBe('done');
    expect(statusOf([one, { sector: 1, sectors: 1 }], { rangesMax: 1 })).toBe(UNSUPP);
  });

  test('takes as many sectors as the config space says, and not one more', () => {
    expect(statusOf([{ sector: 0, sectors: RANGE_SECTORS_MAX }], HUGE)).toBe('done');
    expect(statusOf([{ sector: 0, sectors: RANGE_SECTORS_MAX + 1 }], HUGE)).toBe(IOERR);
    expect(statusOf([{ sector: 0, sectors: 0xffff_ffff }], HUGE)).toBe(IOERR);
  });

  test('of a sector far beyond 2^32 keeps it exact', () => {
    const { request } = decodeRequest(text({ sector: 2 ** 43 - 1, sectors: 1 }), HUGE);
    expect(request.rangeOffsetBytes[0]).toBe((2 ** 43 - 1) * 512);
  });

  test.each([
    [0, capacitySectors, 'done'],
    [capacitySectors - 1, 1, 'done'],
    [capacitySectors, 0, 'done'],
    [capacitySectors, 1, IOERR],
    [capacitySectors - 1, 2, IOERR],
    [capacitySectors + 1, 0, IOERR],
    [2n ** 64n - 1n, 1, IOERR],
    [2n ** 64n - 1n, 2, IOERR],
    [2n ** 55n, 1, IOERR],
  ])('of sector %i + %i: %s', (sector, sectors, expected) => {
    expect(statusOf([{ sector, sectors }])).toBe(expected);
  });

  test.each([
    [8, 8, 'done'],
    [1, 8, IOERR],
    [8, 7, IOERR],
  ])('on 4 KiB blocks of sector %i + %i: %s', (sector, sectors, expected) => {
    expect(statusOf([{ sector, sectors }], { blockSizeBytes: 4096 })).toBe(expected);
  });

  test.each([0, 1, 15, 17, 31, 33])('with a payload of %i bytes answers IOERR', (bytes) => {
    const { type } = text();
    const { request } = decodeRequest({ type, dataOut: new Uint8Array(bytes) });
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  });

  test('one wrong range, the last, refuses them all', () => {
    const good = { sector: 0, sectors: 8 };
    expect(statusOf([good, good, { sector: capacitySectors, sectors: 1 }])).toBe(IOERR);
    expect(statusOf([good, good, { ...good, flags: 2 }])).toBe(UNSUPP);
  });

  test.each([2, 4, 0x8000_0000, 0xffff_fffe])('with unknown flags %i answers UNSUPP', (flags) => {
    expect(statusOf([{ sector: 0, sectors: 8, flags }])).toBe(UNSUPP);
  });

  test('not negotiated answers UNSUPP', () => {
    const limits = { discard: false, writeZeroes: false };
    expect(statusOf([{ sector: 0, sectors: 8 }], limits)).toBe(UNSUPP);
  });

  test('is decoded under any framing of its payload', () => {
    const ranges = [
      { sector: 1, sectors: 2 },
      { sector: 3, sectors: 4 },
    ];
    for (let cut = 0; cut <= 48; cut++) {
      const framing = { readableCuts: [cut, Math.min(48, cut + 5)], gapBytes: 3 };
      const { request } = decodeRequest({ ...text(), dataOut: blkRanges(...ranges), ...framing });
      expect([cut, request.op, request.rangeCount]).toEqual([cut, op, 2]);
      expect([...request.rangeOffsetBytes.slice(0, 2)]).toEqual([512, 3 * 512]);
    }
  });
});

test('unmap is a permission of WRITE_ZEROES, range by range', () => {
  const { request } = decodeRequest(
    blk.writeZeroes({ sector: 0, sectors: 1, flags: UNMAP }, { sector: 1, sectors: 1 }),
  );
  expect([...request.rangeUnmap.slice(0, 2)]).toEqual([1, 0]);
});

test('unmap on DISCARD answers UNSUPP', () => {
  const { request } = decodeRequest(blk.discard({ sector: 0, sectors: 1, flags: UNMAP }));
  expect([request.op, request.status]).toEqual([OP_NONE, UNSUPP]);
});

test('each of the two is negotiated on its own', () => {
  const range = { sector: 0, sectors: 1 };
  expect(decodeRequest(blk.discard(range), { writeZeroes: false }).request.op).toBe(OP_DISCARD);
  expect(decodeRequest(blk.writeZeroes(range), { discard: false }).request.op).toBe(
    OP_WRITE_ZEROES,
  );
});
