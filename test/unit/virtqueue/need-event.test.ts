/**
 * Ring index arithmetic, exhaustively over windows around every interesting start, the wrap included:
 * the formula against its meaning, a walk of the indices one by one.
 */
import { expect, test } from 'vitest';
import { idxDistance, vringNeedEvent } from '../../../src/virtqueue/need-event.ts';

const STARTS = [0, 1, 100, 0x7ffe, 0x7fff, 0x8000, 0xfff8, 0xffff];
const WINDOW = 20;

/** Whether a walk from oldIdx to newIdx places an entry at eventIdx. */
function passes(eventIdx: number, newIdx: number, oldIdx: number): boolean {
  for (let idx = oldIdx; idx !== newIdx; idx = (idx + 1) & 0xffff) {
    if (idx === eventIdx) return true;
  }
  return false;
}

test('an event is due exactly when the entry at its index was placed, wraps included', () => {
  for (const start of STARTS) {
    for (let steps = 0; steps < WINDOW; steps++) {
      for (let event = -WINDOW; event < 2 * WINDOW; event++) {
        const [oldIdx, newIdx, eventIdx] = [start, start + steps, start + event].map(
          (idx) => idx & 0xffff,
        ) as [number, number, number];
        expect([eventIdx, vringNeedEvent(eventIdx, newIdx, oldIdx)]).toEqual([
          eventIdx,
          passes(eventIdx, newIdx, oldIdx),
        ]);
      }
    }
  }
});

test('a full turn of 65535 entries passes every index but one', () => {
  let missed = 0;
  for (let event = 0; event < 0x10000; event++) if (!vringNeedEvent(event, 6, 7)) missed++;
  expect(missed).toBe(1);
  expect(vringNeedEvent(6, 6, 7)).toBe(false);
});

test('distance counts forward, modulo 2^16', () => {
  for (const start of STARTS) {
    for (let steps = 0; steps < WINDOW; steps++) {
      expect(idxDistance(start, (start + steps) & 0xffff)).toBe(steps);
    }
    expect(idxDistance(start, (start - 1) & 0xffff)).toBe(0xffff);
  }
});
