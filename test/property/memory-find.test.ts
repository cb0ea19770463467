/**
 * GuestMemory.find against a linear search, for any regions and any sequence of addresses (the last
 * hit is remembered, so the sequence matters), while regions come and go.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { type MappedRegion, RegionTable } from '../../src/memory/region-table.ts';
import { holds } from '../support/property.ts';

const SLOTS = 6;

const regions = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 10 })), {
    minLength: 1,
    maxLength: SLOTS,
  })
  .map((sizesAndGaps) => {
    const described: Array<{ guestAddress: number; sizeBytes: number }> = [];
    let at = 0;
    for (const [sizeBytes, gap] of sizesAndGaps) {
      described.push({ guestAddress: at + gap, sizeBytes });
      at += gap + sizeBytes;
    }
    return described;
  });
const address = fc.integer({ min: 0, max: 320 });

function linear(all: readonly MappedRegion[], at: number): MappedRegion | undefined {
  return all.find(
    (region) => at >= region.guestAddress && at < region.guestAddress + region.sizeBytes,
  );
}

test('find is a linear search, whatever was found before and whatever was removed', () => {
  const input = fc.record({
    described: regions,
    scale: fc.constantFrom(1, 4096, 2 ** 44),
    steps: fc.array(
      fc.oneof(
        { weight: 8, arbitrary: address.map((at) => ({ at, remove: null })) },
        { weight: 1, arbitrary: fc.nat(SLOTS).map((remove) => ({ at: null, remove })) },
      ),
      { maxLength: 60 },
    ),
  });
  holds(input, ({ described, scale, steps }) => {
    const table = new RegionTable(SLOTS);
    const memory = new GuestMemory(SLOTS, () => new ArrayBuffer(40));
    // Views are not what is tested: sizes here exceed any buffer.
    const mapped = described.toReversed().map((region) => {
      const scaled = { guestAddress: region.guestAddress * scale, sizeBytes: region.sizeBytes };
      const described = { ...scaled, userAddress: scaled.guestAddress, mmapOffset: 0 };
      expect(table.refusal(described)).toBeNull();
      return table.add(described, 2 ** 46 + scaled.guestAddress);
    });
    memory.add(mapped);
    for (const { at, remove } of steps) {
      if (remove !== null) {
        const region = table.regions[remove];
        if (region === undefined) continue;
        table.remove(region.slot);
        memory.remove([region.slot]);
      } else {
        const index = memory.find(at * scale);
        const expected = linear(table.regions, at * scale);
        expect(index < 0 ? undefined : memory.slots[index]).toBe(expected?.slot);
        if (expected !== undefined) expect(memory.hosts[index]).toBe(expected.hostAddress);
      }
    }
  });
});

test('a table takes a region exactly when it overlaps none, in either address space', () => {
  const region = fc.record({
    guestAddress: address,
    userAddress: address,
    sizeBytes: fc.integer({ min: 0, max: 40 }),
    mmapOffset: fc.constant(0),
  });
  holds(fc.array(region, { maxLength: 12 }), (described) => {
    const table = new RegionTable(SLOTS);
    const taken: Array<Set<string>> = [];
    for (const one of described) {
      const cells = new Set<string>();
      for (let i = 0; i < one.sizeBytes; i++) {
        cells.add(`guest ${one.guestAddress + i}`).add(`user ${one.userAddress + i}`);
      }
      const free = taken.every((other) => [...cells].every((cell) => !other.has(cell)));
      const expected = one.sizeBytes > 0 && free && taken.length < SLOTS;
      expect(table.refusal(one) === null).toBe(expected);
      if (expected) {
        table.add(one, 0);
        taken.push(cells);
      }
    }
  });
});
