/**
 * How much of a file a disk shows: offset, limit, whole blocks.
 */
import { expect, test } from 'vitest';
import { BLOCK_SIZES, diskSizeBytes } from '../../../src/loop/geometry.ts';

const size = (fileSizeBytes: number, offsetBytes = 0, sizeLimitBytes = 0, blockSizeBytes = 512) =>
  diskSizeBytes({ fileSizeBytes, offsetBytes, sizeLimitBytes, blockSizeBytes });

test.each([
  [0, 0],
  [511, 0],
  [512, 512],
  [1023, 512],
  [2 ** 50 + 1, 2 ** 50],
])('a file of %i bytes shows %i', (file, shown) => {
  expect(size(file)).toBe(shown);
});

test('only whole blocks', () => {
  expect(size(10_000, 0, 0, 4096)).toBe(8192);
});

test('what is before the offset is not there; an offset past the end leaves nothing', () => {
  expect(size(10_240, 4096)).toBe(6144);
  expect(size(4096, 8192)).toBe(0);
});

test('a limit cuts, and one that is larger than the file does not', () => {
  expect(size(10_240, 0, 5000)).toBe(4608);
  expect(size(10_240, 8192, 1 << 20)).toBe(2048);
});

test('block sizes are powers of two from a sector to a page', () => {
  expect(BLOCK_SIZES).toEqual([512, 1024, 2048, 4096]);
});
