/** How much of a vring a turn takes, for drivers that keep few or many requests outstanding. */
import { describe, expect, test } from 'vitest';
import { SERVE_BATCH_MAX, ServeBatch } from '../../../src/loop/serve-batch.ts';

describe('a turn takes a third of what the driver keeps outstanding, or three', () => {
  test.each([
    [1, 3],
    [4, 3],
    [9, 3],
    [10, 4],
    [32, 11],
    [128, 43],
    [256, SERVE_BATCH_MAX],
  ])('%i outstanding: %i', (outstanding, limit) => {
    expect(new ServeBatch().limit(outstanding)).toBe(limit);
  });

  test('what it shows between its waves does not make the batch smaller', () => {
    const batch = new ServeBatch();
    for (const outstanding of [32, 16, 24, 32, 16, 24, 32]) {
      expect(batch.limit(outstanding)).toBeGreaterThanOrEqual(10);
    }
  });

  test('a driver that goes on with fewer gets small batches again', () => {
    const batch = new ServeBatch();
    batch.limit(256);
    for (let turn = 0; turn < 256; turn++) batch.limit(2);
    expect(batch.limit(2)).toBe(3);
  });
});
