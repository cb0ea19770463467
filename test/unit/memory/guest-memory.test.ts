/**
 * Guest memory: address to region at every border, copies that straddle regions, front-end addresses,
 * and what is left after a region is removed.
 */
import { describe, expect, test } from 'vitest';
import { GuestRam, plainRam } from '../../support/mock-driver-memory.ts';

const LOW = 0x1000;
const HIGH = 0x1_0000_0000;
const SIZE = 0x100;

describe('find', () => {
  const memory = plainRam([HIGH, SIZE], [LOW, SIZE], [LOW + SIZE, SIZE]).deviceMemory();

  test.each([
    [LOW - 1, -1],
    [LOW, 0],
    [LOW + SIZE - 1, 0],
    [LOW + SIZE, 1],
    [LOW + 2 * SIZE - 1, 1],
    [LOW + 2 * SIZE, -1],
    [HIGH - 1, -1],
    [HIGH, 2],
    [HIGH + SIZE, -1],
    [0, -1],
    [Number.MAX_SAFE_INTEGER, -1],
  ])('address %i is in sorted region %i', (address, expected) => {
    expect(memory.find(address)).toBe(expected);
  });

  test('every border of 500 small regions below one that is 2^50 bytes away', () => {
    const far = plainRam(
      ...Array.from({ length: 500 }, (_, i) => [LOW + i * SIZE, SIZE - 1] as const),
      [2 ** 50, SIZE],
    ).deviceMemory();
    for (let i = 0; i < 500; i++) {
      expect(far.find(LOW + i * SIZE)).toBe(i);
      expect(far.find(LOW + i * SIZE + SIZE - 2)).toBe(i);
      expect(far.find(LOW + i * SIZE + SIZE - 1)).toBe(-1);
    }
    expect(far.find(2 ** 50 - 1)).toBe(-1);
    expect(far.find(2 ** 50 + SIZE - 1)).toBe(500);
    expect(far.find(2 ** 50 + SIZE)).toBe(-1);
  });

  test('slots are those of the table, whatever the order of addresses', () => {
    expect(memory.slots[memory.find(HIGH)]).toBe(0);
    expect(memory.slots[memory.find(LOW)]).toBe(1);
  });

  test('no memory holds nothing', () => {
    expect(plainRam().deviceMemory(4).find(0)).toBe(-1);
  });
});

describe('copyOut', () => {
  const ram = plainRam([LOW, 4], [LOW + 4, 4], [LOW + 9, 4]);
  ram.write(LOW, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const memory = ram.deviceMemory();

  test('gathers bytes from two regions that touch', () => {
    const target = new Uint8Array(6);
    expect(memory.copyOut(LOW + 1, target, 6)).toBe(true);
    expect([...target]).toEqual([2, 3, 4, 5, 6, 7]);
  });

  test('refuses a range with a hole', () => {
    expect(memory.copyOut(LOW + 6, new Uint8Array(4), 4)).toBe(false);
  });

  test('refuses a range past the last region', () => {
    expect(memory.copyOut(LOW + 10, new Uint8Array(4), 4)).toBe(false);
  });

  test('copies nothing from an unmapped address when asked for nothing', () => {
    expect(memory.copyOut(0, new Uint8Array(0), 0)).toBe(true);
  });
});

describe('findUser', () => {
  const ram = new GuestRam([
    { guestAddress: LOW, userAddress: 0x9000, bytes: new Uint8Array(SIZE) },
    { guestAddress: HIGH, userAddress: 0x9000 + SIZE, bytes: new Uint8Array(SIZE) },
  ]);
  const memory = ram.deviceMemory();

  test('speaks front-end addresses, not guest addresses', () => {
    expect(memory.findUser(0x9010, 16)).toEqual({ slot: 0, offsetBytes: 16 });
    expect(memory.findUser(LOW, 16)).toBeNull();
  });

  test('takes a range up to the last byte and not one more', () => {
    expect(memory.findUser(0x9000, SIZE)).toEqual({ slot: 0, offsetBytes: 0 });
    expect(memory.findUser(0x9001 + SIZE, SIZE)).toBeNull();
  });

  test('refuses a range over two regions, even if they touch: a ring needs one view', () => {
    expect(memory.findUser(0x9000 + SIZE - 8, 16)).toBeNull();
  });
});

describe('remove', () => {
  test('a removed region is not found, the others keep slot and view', () => {
    const ram = plainRam([LOW, SIZE], [HIGH, SIZE]);
    const memory = ram.deviceMemory();
    const kept = memory.bytesOfSlot[1];
    memory.remove([0]);
    expect(memory.find(LOW)).toBe(-1);
    expect(memory.findUser(ram.userAddress(LOW), 1)).toBeNull();
    expect(memory.viewOfSlot[0]).toBeNull();
    expect(memory.bytesOfSlot[0]).toBeNull();
    expect(memory.slots[memory.find(HIGH)]).toBe(1);
    expect(memory.bytesOfSlot[1]).toBe(kept);
  });

  test('the highest region, removed, is not found again', () => {
    const memory = plainRam([LOW, SIZE], [HIGH, SIZE]).deviceMemory();
    memory.find(HIGH);
    memory.remove([1]);
    expect(memory.find(HIGH)).toBe(-1);
  });
});
