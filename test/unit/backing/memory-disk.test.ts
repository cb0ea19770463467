/**
 * The disk in memory, over plain arrays: copies both ways, vectors, holes, and ranges past its end.
 */
import { expect, test } from 'vitest';
import { EINVAL } from '../../../protocol/linux.ts';
import { MemoryDisk } from '../../../src/backing/memory-disk.ts';
import {
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  ioPlace,
} from '../../../src/loop/backing-port.ts';

const DISK = 4096;
const DISK_BYTES = 4096;

function rig() {
  const memory = new Uint8Array(16384);
  const vectors = new Map<number, { base: number; length: number }>();
  const disk = new MemoryDisk(DISK, DISK_BYTES, {
    copy: (to, from, length) => memory.copyWithin(to, from, from + length),
    discard: (address, length) => memory.fill(0, address, address + length),
    iovecBase: (pointer) => vectors.get(pointer)!.base,
    iovecLength: (pointer) => vectors.get(pointer)!.length,
  });
  const run = (operation: number, offset: number, address: number, length: number) => {
    disk.submit(operation, 7, ioPlace(offset, address), length, 0);
    const results: number[][] = [];
    expect(disk.reap({ onResult: (tag, result) => results.push([tag, result]) })).toBe(1);
    return results;
  };
  return { memory, vectors, disk, run };
}

test('what is written is read back, and a result is never delivered inside submit', () => {
  const { memory, run } = rig();
  memory.fill(0xab, 100, 612);
  expect(run(IO_WRITE, 1024, 100, 512)).toEqual([[7, 512]]);
  expect(run(IO_READ, 1024, 8500, 512)).toEqual([[7, 512]]);
  expect([...memory.subarray(8500, 9012)]).toEqual(new Array(512).fill(0xab));
});

test('vectors are gathered and scattered in order', () => {
  const { memory, vectors, run } = rig();
  memory.set([1, 2, 3, 4, 5, 6], 200);
  vectors.set(0, { base: 204, length: 2 });
  vectors.set(16, { base: 200, length: 4 });
  expect(run(IO_WRITEV, 0, 0, 2)).toEqual([[7, 6]]);
  expect([...memory.subarray(DISK, DISK + 6)]).toEqual([5, 6, 1, 2, 3, 4]);
  vectors.set(32, { base: 300, length: 1 });
  vectors.set(48, { base: 310, length: 5 });
  expect(run(IO_READV, 0, 32, 2)).toEqual([[7, 6]]);
  expect([memory[300], ...memory.subarray(310, 315)]).toEqual([5, 6, 1, 2, 3, 4]);
});

test('a discarded range reads as zeroes, and a flush has nothing to do', () => {
  const { memory, run } = rig();
  memory.fill(9, DISK, DISK + DISK_BYTES);
  expect(run(IO_FALLOCATE, 512, 0, 1024)).toEqual([[7, 0]]);
  expect(memory[DISK + 511]).toBe(9);
  expect(memory.subarray(DISK + 512, DISK + 1536).every((byte) => byte === 0)).toBe(true);
  expect(memory[DISK + 1536]).toBe(9);
  expect(run(IO_FDATASYNC, 0, 0, 0)).toEqual([[7, 0]]);
});

test.each([
  ['a read', IO_READ],
  ['a write', IO_WRITE],
  ['a discard', IO_FALLOCATE],
])('%s past the end touches nothing', (_, operation) => {
  const { memory, run } = rig();
  const before = memory.slice();
  expect(run(operation, DISK_BYTES - 256, 0, 512)).toEqual([[7, -EINVAL]]);
  expect(memory).toEqual(before);
});

test('a vector that leaves the disk is refused', () => {
  const { vectors, run } = rig();
  vectors.set(0, { base: 0, length: DISK_BYTES });
  vectors.set(16, { base: 0, length: 1 });
  expect(run(IO_WRITEV, 0, 0, 2)).toEqual([[7, -EINVAL]]);
});
