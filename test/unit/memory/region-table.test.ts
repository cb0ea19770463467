/**
 * The memory table: which regions it refuses and why, and that a region keeps its slot while others
 * come and go.
 */
import { describe, expect, test } from 'vitest';
import {
  invalidRegion,
  type RegionDescription,
  RegionTable,
} from '../../../src/memory/region-table.ts';

const PAGE = 4096;

function region(fields: Partial<RegionDescription> = {}): RegionDescription {
  return { guestAddress: 0x1000, sizeBytes: PAGE, userAddress: 0x9000, mmapOffset: 0, ...fields };
}

describe('a single region', () => {
  test('may start at address 0', () => {
    expect(invalidRegion(region({ guestAddress: 0, userAddress: 0 }))).toBeNull();
  });

  test('may end just below 2^53', () => {
    const last = Number.MAX_SAFE_INTEGER - PAGE;
    expect(invalidRegion(region({ guestAddress: last }))).toBeNull();
  });

  test.each([
    ['guest address', { guestAddress: Number.MAX_SAFE_INTEGER - PAGE + 1 }],
    ['user address', { userAddress: Number.MAX_SAFE_INTEGER - 10 }],
    ['mmap offset', { mmapOffset: Number.MAX_SAFE_INTEGER }],
  ])('is refused when %s + size reaches 2^53', (name, fields) => {
    expect(invalidRegion(region(fields))).toMatch(new RegExp(`^${name}=.* is not below 2\\^53$`));
  });

  test.each([
    ['guest address', { guestAddress: 2 ** 53 }],
    ['guest address', { guestAddress: -1 }],
    ['size', { sizeBytes: 2 ** 64 }],
    ['user address', { userAddress: 2 ** 63 }],
    ['mmap offset', { mmapOffset: 0.5 }],
  ])('is refused when its %s is no address', (name, fields) => {
    expect(invalidRegion(region(fields))).toMatch(new RegExp(`^${name}=`));
  });

  test('is refused when it is empty', () => {
    expect(invalidRegion(region({ sizeBytes: 0 }))).toBe('size=0, expected at least one byte');
  });
});

describe('the table', () => {
  test('takes neighbours that touch', () => {
    const table = new RegionTable(2);
    table.add(region(), 0);
    const next = region({ guestAddress: 0x2000, userAddress: 0xa000 });
    expect(table.refusal(next)).toBeNull();
  });

  test.each([
    ['the same range', 0x1000, PAGE],
    ['a range that ends one byte inside', 1, PAGE],
    ['a range that starts at the last byte', 0x1fff, PAGE],
    ['a range around it', 0, 4 * PAGE],
    ['a range within it', 0x1800, 1],
  ])('refuses %s in guest addresses', (_, guestAddress, sizeBytes) => {
    const table = new RegionTable(2);
    table.add(region(), 0);
    const other = region({ guestAddress, sizeBytes, userAddress: 0x10_0000 });
    expect(table.refusal(other)).toMatch(/^guest address=.* overlaps another region$/);
  });

  test('refuses an overlap in user addresses alone', () => {
    const table = new RegionTable(2);
    table.add(region(), 0);
    const other = region({ guestAddress: 0x10_0000, userAddress: 0x9fff });
    expect(table.refusal(other)).toMatch(/^user address=.* overlaps another region$/);
  });

  test('refuses one region more than it has slots', () => {
    const table = new RegionTable(1);
    table.add(region(), 0);
    const other = region({ guestAddress: 0x10_0000, userAddress: 0x10_0000 });
    expect(table.refusal(other)).toBe('all 1 memory slots are in use');
  });

  test('keeps slots: a removed one is reused, the others do not move', () => {
    const table = new RegionTable(3);
    const [a, b, c] = [0, 1, 2].map((i) =>
      table.add(region({ guestAddress: i * PAGE, userAddress: i * PAGE }), 0x7000 + i * PAGE),
    );
    table.remove(b!.slot);
    expect(table.regions.map(({ slot }) => slot)).toEqual([a!.slot, c!.slot]);
    const d = table.add(region({ guestAddress: 0x10_0000, userAddress: 0x10_0000 }), 0);
    expect(d.slot).toBe(b!.slot);
    expect(table.regions).toContain(c);
  });

  test('finds what REM_MEM_REG names whatever the offset, and nothing that differs', () => {
    const table = new RegionTable(1);
    const added = table.add(region(), 0x7000);
    expect(table.find(region({ mmapOffset: 0x5000 }))).toBe(added);
    expect(table.find(region({ sizeBytes: PAGE + 1 }))).toBeUndefined();
    expect(table.find(region({ guestAddress: 0x2000 }))).toBeUndefined();
    expect(table.find(region({ userAddress: 0xa000 }))).toBeUndefined();
  });

  test('clear forgets every region', () => {
    const table = new RegionTable(2);
    table.add(region(), 0);
    table.clear();
    expect(table.regions).toEqual([]);
    expect(table.refusal(region())).toBeNull();
  });
});
