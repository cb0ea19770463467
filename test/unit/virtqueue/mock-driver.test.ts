/**
 * The mock driver itself: it is the witness of most other tests, so its own accounts must be right:
 * free descriptors, ring places, straddling writes, and complaints about a device that lies.
 */
import { describe, expect, test } from 'vitest';
import { blk, placeRequest } from '../../support/mock-driver-blk.ts';
import { GuestRam, plainRam } from '../../support/mock-driver-memory.ts';
import { ringPlace } from '../../support/mock-driver-ring.ts';
import { DATA_AT, ringSetup } from '../../support/mock-driver-setup.ts';

const ONE = { address: DATA_AT, lengthBytes: 1 };

test.each([1, 2, 8, 256, 32768])('the parts of a ring of %i are aligned and apart', (size) => {
  const { desc, avail, used, end } = ringPlace(0x1000, size);
  expect([desc % 16, avail % 2, used % 4]).toEqual([0, 0, 0]);
  expect(avail).toBeGreaterThanOrEqual(desc + 16 * size);
  expect(used).toBeGreaterThanOrEqual(avail + 6 + 2 * size);
  expect(end).toBe(used + 6 + 8 * size);
});

describe('descriptors', () => {
  test('a chain takes as many as it has buffers, an indirect one takes one', () => {
    const { driver } = ringSetup({ size: 8 });
    driver.addChain([ONE, ONE, ONE]);
    expect(driver.freeCount).toBe(5);
    driver.addChain([ONE, ONE, ONE], { indirectAt: DATA_AT });
    expect(driver.freeCount).toBe(4);
    driver.addChain([ONE, ONE, ONE], { indirectAt: DATA_AT, directCount: 2 });
    expect(driver.freeCount).toBe(1);
  });

  test('a chain that does not fit is refused and takes none', () => {
    const { driver } = ringSetup({ size: 2 });
    expect(() => driver.addChain([ONE, ONE, ONE])).toThrow('3 descriptors, 2 free');
    expect(driver.freeCount).toBe(2);
  });

  test('chains freed in any order give every descriptor back once', () => {
    const { driver, vring, chain } = ringSetup({ size: 8 });
    for (let round = 0; round < 20; round++) {
      const heads = [driver.addChain([ONE, ONE]), driver.addChain([ONE]), driver.addChain([ONE])];
      driver.publish();
      for (const _ of heads) expect(vring.pop(chain)).toBe(1);
      for (const head of round % 2 === 0 ? heads : heads.toReversed()) vring.push(head, 0);
      vring.publish();
      expect(driver.collect()).toHaveLength(3);
      expect(driver.freeCount).toBe(8);
    }
    driver.addChain(Array.from({ length: 8 }, () => ONE));
    driver.publish();
    expect(vring.pop(chain)).toBe(1);
    expect(chain.segmentCount).toBe(8);
  });

  test('a used element that names no chain in use is not believed', () => {
    const { driver } = ringSetup({ size: 8 });
    driver.addChain([ONE, ONE]);
    expect(() => driver.free(1)).toThrow('head 1, not in use');
    expect(() => driver.free(99)).toThrow('head 99');
  });
});

describe('memory', () => {
  test('is written and read over a border', () => {
    const ram = plainRam([0x1000, 4], [0x1004, 4]);
    ram.write(0x1002, Uint8Array.of(1, 2, 3, 4));
    expect([...ram.read(0x1002, 4)]).toEqual([1, 2, 3, 4]);
    expect([...ram.regions[1]!.bytes]).toEqual([3, 4, 0, 0]);
  });

  test('an unmapped address is a mistake of the test', () => {
    expect(() => plainRam([0x1000, 4]).write(0x1003, Uint8Array.of(1, 2))).toThrow('guest range');
  });

  test('a view into a larger buffer, as of a shared mapping, is enough for the driver', () => {
    const shared = new Uint8Array(64);
    const ram = new GuestRam([{ guestAddress: 0x1000, bytes: shared.subarray(16, 32) }]);
    ram.write(0x1000, Uint8Array.of(7));
    expect(shared[16]).toBe(7);
  });
});

test('a request cut anywhere keeps its bytes, and its status is its last writable byte', () => {
  const ram = plainRam([0x1000, 0x1000]);
  const whole = placeRequest(ram, 0x1000, blk.read(5, 8)).bytes(false);
  const cuts = { readableCuts: [3, 3, 15], writableCuts: [0, 1, 7], gapBytes: 5 };
  const request = placeRequest(ram, 0x1100, blk.read(5, 8, cuts));
  expect(request.bytes(false)).toEqual(whole);
  expect(request.buffers.map(({ lengthBytes }) => lengthBytes)).toEqual([3, 0, 12, 1, 0, 1, 6, 2]);
  ram.write(request.statusAddress, Uint8Array.of(1));
  expect([request.status, request.bytes(true)[8], request.dataIn.length]).toEqual([1, 1, 8]);
});
