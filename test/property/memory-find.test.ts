/**
 * GuestMemory.find against a linear search, for any regions, close together or far apart, and any
 * addresses in and beside them, while regions come and go.
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
    // A region far above the others: those share one bucket then.
    farAt: fc.constantFrom(null, 1000, 2 ** 20),
    steps: fc.array(
      fc.oneof(
        {
          weight: 8,
          arbitrary: fc.record({ at: address, plus: fc.nat(45), remove: fc.constant(null) }),
        },
        {
          weight: 1,
          arbitrary: fc.nat(SLOTS).map((remove) => ({ at: 0, plus: 0, remove })),
        },
      ),
      { maxLength: 60 },
    ),
  });
  holds(input, ({ described, scale, farAt, steps }) => {
    const table = new RegionTable(SLOTS + 1);
    const memory = new GuestMemory(SLOTS + 1, () => new ArrayBuffer(40));
    const far = farAt === null ? [] : [{ guestAddress: farAt, sizeBytes: 40 }];
    const mapped = [...described.toReversed(), ...far].map((region) => {
      // Not beyond 2^53, which the table would refuse.
      const guestAddress = Math.min(region.guestAddress * scale, 2 ** 53 - 64);
      const scaled = { guestAddress, sizeBytes: region.sizeBytes };
      const described = { ...scaled, userAddress: scaled.guestAddress, mmapOffset: 0 };
      expect(table.refusal(described)).toBeNull();
      return table.add(described, 2 ** 46 + scaled.guestAddress);
    });
    memory.add(mapped);
    for (const { at, plus, remove } of steps) {
      if (remove !== null) {
        const region = table.regions[remove];
        if (region === undefined) continue;
        table.remove(region.slot);
        memory.remove([region.slot]);
      } else {
        const where = at === 320 && farAt !== null ? farAt * scale + plus : at * scale + plus;
        const index = memory.find(where);
        const expected = linear(table.regions, where);
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
