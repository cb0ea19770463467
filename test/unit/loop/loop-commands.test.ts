/**
 * The slots of loop commands: iovecs in memory as the kernel reads them, and how they move on.
 */
import { describe, expect, test } from 'vitest';
import { BOUNCE_BYTES, BounceBuffers } from '../../../src/loop/bounce-buffers.ts';
import {
  COUNT_READS,
  COUNT_WRITES,
  COUNTERS_PER_VRING,
  sumCounters,
} from '../../../src/loop/counters.ts';
import { LoopCommands } from '../../../src/loop/loop-commands.ts';
import { HostSpace } from '../../support/host-space.ts';

function commandsWith(...lengths: number[]) {
  const space = new HostSpace();
  const commands = new LoopCommands(8, space);
  const slot = 5;
  let address = 0x7f00_0000_0000;
  lengths.forEach((length, index) => {
    commands.setIovec(slot, index, address, length);
    address += 0x10_0000_0000;
  });
  commands.iovecFirst[slot] = 0;
  commands.iovecEnd[slot] = lengths.length;
  commands.offsetBytes[slot] = 1000;
  commands.remainingBytes[slot] = lengths.reduce((sum, length) => sum + length, 0);
  const left = () => {
    const first = commands.iovecFirst[slot]!;
    const count = commands.iovecEnd[slot]! - first;
    return count === 0 ? [] : space.vectors(commands.iovecPointer(slot, first), count);
  };
  return { space, commands, slot, left };
}

describe('advance', () => {
  const A = 0x7f00_0000_0000;
  const B = A + 0x10_0000_0000;

  test.each([
    [
      0,
      [
        { address: A, lengthBytes: 100 },
        { address: B, lengthBytes: 5000 },
      ],
    ],
    [
      1,
      [
        { address: A + 1, lengthBytes: 99 },
        { address: B, lengthBytes: 5000 },
      ],
    ],
    [100, [{ address: B, lengthBytes: 5000 }]],
    [101, [{ address: B + 1, lengthBytes: 4999 }]],
    [5099, [{ address: B + 4999, lengthBytes: 1 }]],
    [5100, []],
  ])('by %i bytes', (done, expected) => {
    const { commands, slot, left } = commandsWith(100, 5000);
    commands.advance(slot, done);
    expect(left()).toEqual(expected);
    expect(commands.offsetBytes[slot]).toBe(1000 + done);
    expect(commands.remainingBytes[slot]).toBe(5100 - done);
  });

  test('in many small steps ends where one step ends', () => {
    const { commands, slot, left } = commandsWith(7, 11, 13, 512);
    for (let i = 0; i < 500; i++) commands.advance(slot, 1);
    const other = commandsWith(7, 11, 13, 512);
    other.commands.advance(slot, 500);
    expect(left()).toEqual(other.left());
  });
});

test('lengths and addresses above 2^32 are whole', () => {
  const { commands, slot, left } = commandsWith(2 ** 33 + 5);
  expect(left()).toEqual([{ address: 0x7f00_0000_0000, lengthBytes: 2 ** 33 + 5 }]);
  commands.advance(slot, 2 ** 32);
  expect(commands.iovecLength(slot, 0)).toBe(2 ** 32 + 5);
  expect(commands.iovecBase(slot, 0)).toBe(0x7f01_0000_0000);
});

test('slots do not touch each other', () => {
  const { commands, slot, left } = commandsWith(100);
  for (let other = 0; other < 8; other++) {
    if (other === slot) continue;
    for (let index = 0; index < 1024; index++) commands.setIovec(other, index, 1, 1);
  }
  expect(left()).toEqual([{ address: 0x7f00_0000_0000, lengthBytes: 100 }]);
});

test('release gives the memory back', () => {
  const { space, commands, slot } = commandsWith(1);
  commands.release();
  expect(() => space.vectors(commands.iovecPointer(slot, 0), 1)).toThrow(/not mapped/);
});

describe('bounce buffers', () => {
  test('are 16, do not overlap, and then one waits', () => {
    const space = new HostSpace();
    const bounce = new BounceBuffers(space);
    const got = Array.from({ length: 16 }, (_, tag) => bounce.acquire(tag));
    const addresses = got.map((buffer) => bounce.addressOf(buffer)).sort((a, b) => a - b);
    for (let i = 1; i < 16; i++) expect(addresses[i]! - addresses[i - 1]!).toBe(BOUNCE_BYTES);
    expect(space.bytesAt(addresses[0]!, 16 * BOUNCE_BYTES)).toHaveLength(16 * BOUNCE_BYTES);
    expect([bounce.acquire(70), bounce.acquire(71)]).toEqual([-1, -1]);
    expect(bounce.release(got[3]!)).toBe(70);
    expect(bounce.acquire(70)).toBe(got[3]);
    expect(bounce.release(got[0]!)).toBe(71);
    expect(bounce.release(got[1]!)).toBe(-1);
  });
});

test('counters of all vrings are summed by name', () => {
  const all = new Float64Array(2 * COUNTERS_PER_VRING);
  all[COUNT_READS] = 3;
  all[COUNTERS_PER_VRING + COUNT_READS] = 4;
  all[COUNTERS_PER_VRING + COUNT_WRITES] = 2;
  expect(sumCounters(all)).toMatchObject({ reads: 7, writes: 2, errors: 0 });
});
