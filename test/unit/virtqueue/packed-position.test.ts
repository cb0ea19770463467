/**
 * Positions of a packed ring, exhaustively on small rings: they count descriptors exactly as an index
 * and a wrap counter do.
 */
import { expect, test } from 'vitest';
import {
  invalidPackedBase,
  lapDistance,
  positionOf,
  wrappedIndexOf,
} from '../../../src/virtqueue/packed-position.ts';

const WRAP = 0x8000;

/** An index and a counter, stepped as §2.8.1 says. */
function* laps(size: number) {
  let index = 0;
  let wrap = true;
  for (let i = 0; i < 2 * size; i++) {
    yield index + (wrap ? WRAP : 0);
    index++;
    if (index === size) {
      index = 0;
      wrap = !wrap;
    }
  }
}

test.each([1, 2, 3, 8, 100, 32767, 32768])(
  'ring of %i: positions are steps from the start',
  (size) => {
    let at = 0;
    for (const wrapped of laps(size)) {
      if (positionOf(wrapped, size) !== at) expect.unreachable(`position of ${wrapped}`);
      if (wrappedIndexOf(at, size) !== wrapped) expect.unreachable(`spot at ${at}`);
      at++;
    }
  },
);

test('distances are the steps from one to the other', () => {
  for (const size of [1, 2, 3, 5]) {
    for (let from = 0; from < 2 * size; from++) {
      for (let steps = 0; steps < 2 * size; steps++) {
        expect(lapDistance(from, (from + steps) % (2 * size), size)).toBe(steps);
      }
    }
  }
});

test('a base is right when used is at most a ring behind avail', () => {
  for (const size of [1, 2, 3]) {
    const spots = [...laps(size)];
    let right = 0;
    for (const [i, used] of spots.entries()) {
      for (const [j, avail] of spots.entries()) {
        const behind = (j - i + 2 * size) % (2 * size);
        const said = invalidPackedBase(avail + used * 2 ** 16, size);
        expect(said === null).toBe(behind <= size);
        if (said === null) right++;
      }
    }
    expect(right).toBe(2 * size * (size + 1));
  }
});
