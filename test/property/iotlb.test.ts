/**
 * The IOTLB against a naive one, a map from byte to byte: what it finds is never wrong, whatever was
 * updated, overlapped, invalidated, evicted and held in between; and what came last is there.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HOLE_SLOT, IOTLB_ENTRIES_MAX, Iotlb } from '../../src/memory/iotlb.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import { holds } from '../support/property.ts';

const UNIT = 512;
const UNITS = 64;
const REGION_AT = 0x100_0000;

const range = fc.record({
  start: fc.nat(UNITS - 1),
  length: fc.integer({ min: 1, max: 12 }),
});
const step = fc.oneof(
  fc.record({
    kind: fc.constant('update' as const),
    range,
    target: fc.nat(UNITS - 12),
    access: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant('invalidate' as const), range }),
  fc.record({ kind: fc.constant('hold' as const), unit: fc.nat(UNITS) }),
  fc.record({ kind: fc.constant('release' as const), which: fc.nat(100) }),
);

function table() {
  const ram = plainRam([REGION_AT, UNITS * UNIT]);
  const memory = ram.deviceMemory();
  return { iotlb: new Iotlb(memory), hostOf: memory.hostOfSlot[0]! };
}

test('finds nothing that is not so', () => {
  holds(fc.array(step, { maxLength: 60 }), (steps) => {
    const { iotlb, hostOf } = table();
    const naive = new Map<number, { host: number; access: number }>();
    const held: Array<{ slot: number; start: number; end: number }> = [];
    for (const now of steps) {
      if (now.kind === 'update') {
        const { start, length } = now.range;
        const sizeBytes = length * UNIT;
        const offsetBytes = now.target * UNIT;
        const translation = { iova: start * UNIT, sizeBytes, slot: 0, offsetBytes };
        expect(iotlb.update({ ...translation, access: now.access })).toBe(true);
        for (let i = 0; i < length; i++) {
          const host = hostOf + (now.target + i) * UNIT;
          naive.set(start + i, { host, access: now.access });
          const index = iotlb.find((start + i) * UNIT);
          expect(iotlb.slots[index]).not.toBe(HOLE_SLOT);
        }
      } else if (now.kind === 'invalidate') {
        const { start, length } = now.range;
        iotlb.invalidate(start * UNIT, (start + length) * UNIT);
        for (let i = 0; i < length; i++) naive.delete(start + i);
        const used = held.some(
          (hold) => hold.start < (start + length) * UNIT && hold.end > start * UNIT,
        );
        expect(iotlb.isUsed(start * UNIT, (start + length) * UNIT)).toBe(used);
      } else if (now.kind === 'hold') {
        const index = iotlb.find(now.unit * UNIT);
        const slot = iotlb.slots[index]!;
        if (slot === HOLE_SLOT) continue;
        iotlb.hold(slot);
        held.push({ slot, start: iotlb.starts[index]!, end: iotlb.ends[index]! });
      } else if (held.length > 0) {
        const [hold] = held.splice(now.which % held.length, 1);
        iotlb.release(hold!.slot);
      }
      for (let unit = 0; unit < UNITS + 12; unit++) {
        const at = unit * UNIT + 7;
        const index = iotlb.find(at);
        const slot = iotlb.slots[index]!;
        if (slot === HOLE_SLOT) continue;
        const known = naive.get(unit);
        const host = iotlb.hosts[index]! + at - iotlb.starts[index]!;
        expect([host - 7, iotlb.accessOfSlot[slot]]).toEqual([known?.host, known?.access]);
        expect(iotlb.bytesOfSlot[slot]).not.toBe(null);
      }
      // Whatever is held keeps its bytes, also when its translation has gone.
      for (const { slot } of held) expect(iotlb.bytesOfSlot[slot]).not.toBe(null);
    }
  });
});

test('a full table forgets the oldest that nobody uses, and refuses when all are in use', () => {
  const { iotlb } = table();
  const put = (page: number) =>
    iotlb.update({ iova: page * UNIT, sizeBytes: UNIT, slot: 0, offsetBytes: 0, access: 3 });
  const isThere = (page: number) => iotlb.slots[iotlb.find(page * UNIT)] !== HOLE_SLOT;
  for (let page = 0; page < IOTLB_ENTRIES_MAX; page++) put(page);
  iotlb.hold(iotlb.slots[iotlb.find(0)]!);
  expect(put(IOTLB_ENTRIES_MAX)).toBe(true);
  expect([isThere(0), isThere(1), isThere(IOTLB_ENTRIES_MAX - 1)]).toEqual([true, false, true]);
  expect(isThere(IOTLB_ENTRIES_MAX)).toBe(true);
  for (let i = 0; i < iotlb.count; i++) iotlb.hold(iotlb.slots[i]!);
  for (let page = 2 * IOTLB_ENTRIES_MAX; iotlb.count < IOTLB_ENTRIES_MAX; page++) {
    put(page);
    iotlb.hold(iotlb.slots[iotlb.find(page * UNIT)]!);
  }
  expect(put(5 * IOTLB_ENTRIES_MAX)).toBe(false);
});
