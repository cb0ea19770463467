/**
 * The block map: which cells a request counts in, how a disk that grows folds them, and how the maps of
 * several workers add up.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BlkRequest,
  OP_DISCARD,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../../src/blk/blk-request.ts';
import {
  BLOCK_MAP_BYTES,
  BlockMap,
  cellShiftFor,
  MAP_CELLS,
  sumBlockMaps,
} from '../../../src/loop/block-map.ts';
import { holds } from '../../support/property.ts';

const MIB = 2 ** 20;
const PAGE = 4096;

function transfer(op: number, offsetBytes: number, lengthBytes: number): BlkRequest {
  return Object.assign(new BlkRequest(), { op, offsetBytes, lengthBytes });
}

function ranges(op: number, ...list: ReadonlyArray<readonly [number, number]>): BlkRequest {
  const request = Object.assign(new BlkRequest(), { op, rangeCount: list.length });
  list.forEach(([offsetBytes, lengthBytes], i) => {
    request.rangeOffsetBytes[i] = offsetBytes;
    request.rangeLengthBytes[i] = lengthBytes;
  });
  return request;
}

class TestMap {
  readonly memory = new SharedArrayBuffer(BLOCK_MAP_BYTES);
  readonly map: BlockMap;
  constructor(sizeBytes: number) {
    this.map = new BlockMap(this.memory, sizeBytes);
  }
  get words(): Uint32Array {
    return new Uint32Array(this.memory);
  }
  counts(sizeBytes: number) {
    return sumBlockMaps([this.words], sizeBytes);
  }
}

function lit(row: Uint32Array): Array<[number, number]> {
  return [...row.entries()].filter(([, count]) => count > 0);
}

test.each([
  [512, PAGE],
  [16 * MIB, PAGE],
  [16 * MIB + 512, 2 * PAGE],
  [2 ** 40, 2 ** 28],
  [2 ** 52, 2 ** 40],
])('a disk of %d bytes has cells of %d, at most 4096 of them', (sizeBytes, cellBytes) => {
  expect(2 ** cellShiftFor(sizeBytes)).toBe(cellBytes);
  expect(Math.ceil(sizeBytes / cellBytes)).toBeLessThanOrEqual(MAP_CELLS);
});

describe('a request counts', () => {
  test('where it begins when it is short, and by its kind', () => {
    const test = new TestMap(16 * MIB);
    test.map.countTransfer(transfer(OP_READ, 0, 512));
    test.map.countTransfer(transfer(OP_READ, PAGE - 512, PAGE));
    test.map.countTransfer(transfer(OP_WRITE, 16 * MIB - 512, 512));
    const { reads, writes, discards, cellBytes } = test.counts(16 * MIB);
    expect(cellBytes).toBe(PAGE);
    expect(lit(reads)).toEqual([[0, 2]]);
    expect(lit(writes)).toEqual([[4095, 1]]);
    expect(lit(discards)).toEqual([]);
  });

  test('in every cell that it reaches when it is longer than one', () => {
    const test = new TestMap(16 * MIB);
    test.map.countTransfer(transfer(OP_WRITE, 3 * PAGE - 512, PAGE + 1024));
    expect(lit(test.counts(16 * MIB).writes)).toEqual([
      [2, 1],
      [3, 1],
      [4, 1],
    ]);
  });

  test('range by range when it discards; written zeroes are writes; nothing is nowhere', () => {
    const test = new TestMap(16 * MIB);
    test.map.countRanges(ranges(OP_DISCARD, [0, 2 * PAGE], [8 * PAGE, 512], [9 * PAGE, 0]));
    test.map.countRanges(ranges(OP_WRITE_ZEROES, [PAGE, PAGE]));
    const { reads, writes, discards } = test.counts(16 * MIB);
    expect(lit(discards)).toEqual([
      [0, 1],
      [1, 1],
      [8, 1],
    ]);
    expect(lit(writes)).toEqual([[1, 1]]);
    expect(lit(reads)).toEqual([]);
  });
});

test('random requests light what a plain loop over bytes lights', () => {
  const request = fc.record({
    op: fc.constantFrom(OP_DISCARD, OP_WRITE_ZEROES),
    sector: fc.nat(4000),
    sectors: fc.integer({ min: 1, max: 95 }),
  });
  holds(fc.array(request, { maxLength: 20 }), (requests) => {
    const test = new TestMap(2 * MIB);
    const expected = new Uint32Array(512);
    for (const { op, sector, sectors } of requests) {
      test.map.countRanges(ranges(op, [sector * 512, sectors * 512]));
      if (op !== OP_DISCARD) continue;
      const touched = Array.from({ length: sectors }, (_, i) => (sector + i) >> 3);
      for (const cell of new Set(touched)) expected[cell]!++;
    }
    expect(lit(test.counts(2 * MIB).discards)).toEqual(lit(expected));
  });
});

test('a disk that grows folds neighbours; one that shrinks keeps its cells', () => {
  const test = new TestMap(16 * MIB);
  for (const cell of [0, 1, 6, 4095]) test.map.countTransfer(transfer(OP_READ, cell * PAGE, 512));
  test.map.resize(64 * MIB);
  test.map.countTransfer(transfer(OP_READ, 4 * PAGE, 512));
  const grown = test.counts(64 * MIB);
  expect(grown.cellBytes).toBe(4 * PAGE);
  expect(lit(grown.reads)).toEqual([
    [0, 2],
    [1, 2],
    [1023, 1],
  ]);
  test.map.resize(MIB);
  test.map.countTransfer(transfer(OP_READ, 0, 512));
  const shrunk = test.counts(MIB);
  expect([shrunk.cellBytes, shrunk.reads.length]).toEqual([4 * PAGE, 64]);
  expect(lit(shrunk.reads)[0]).toEqual([0, 3]);
});

test('maps of several workers add up, also when their cells differ', () => {
  const small = new TestMap(16 * MIB);
  const large = new TestMap(32 * MIB);
  small.map.countTransfer(transfer(OP_READ, 3 * PAGE, 512));
  large.map.countTransfer(transfer(OP_READ, 2 * PAGE, 512));
  const { reads, cellBytes } = sumBlockMaps([small.words, large.words], 16 * MIB);
  expect([cellBytes, reads.length]).toEqual([2 * PAGE, 2048]);
  expect(lit(reads)).toEqual([[1, 2]]);
});
