/**
 * What the rings of a machine that hangs tell of its disk: who owes what to whom.
 */
import { expect, test } from 'vitest';
import { lastingDebts, owed, type RingState } from '../support/guest-rings.ts';

const ring = (availIdx: number, usedIdx: number, usedEvent: number | null): RingState => ({
  availIdx,
  usedIdx,
  usedEvent,
  availEvent: availIdx,
});

test('a driver that has every answer and has seen it is owed nothing', () => {
  expect(owed(ring(0, 0, 0))).toBeNull();
  expect(owed(ring(70, 70, 70))).toBeNull();
  expect(owed(ring(70, 70, null))).toBeNull();
});

test('requests without an answer are owed, also over the wrap of the indices', () => {
  expect(owed(ring(5, 3, 3))).toBe('2 requests are not answered');
  expect(owed(ring(1, 65_535, 65_535))).toBe('2 requests are not answered');
});

test('answers that the driver was not called for are owed', () => {
  expect(owed(ring(5, 5, 4))).toBe('1 answers were not seen by the driver');
  expect(owed(ring(2, 2, 65_534))).toBe('4 answers were not seen by the driver');
});

test('a disk that goes on answering is busy, and owes nothing', () => {
  const debt = (sentence: string, place: string) => ({ sentence, place });
  const before = [debt('a: 2 requests are not answered', 'a 0 5 5'), debt('b: cut', 'b: cut')];
  expect(lastingDebts(before, [debt('a: 3 requests are not answered', 'a 0 9 9')])).toEqual([]);
  expect(lastingDebts(before, [debt('a: 4 requests are not answered', 'a 0 5 5')])).toEqual([
    'a: 4 requests are not answered',
  ]);
  expect(lastingDebts(before, before)).toHaveLength(2);
});
