/**
 * How long a worker polls before it sleeps: fixed, or as long as it pays.
 */
import { describe, expect, test } from 'vitest';
import { POLL_US_MAX, PollWindow } from '../../../src/worker/poll-window.ts';

test.each([0, 7, 1000])('a fixed window of %i µs stays, whatever happens', (us) => {
  const window = new PollWindow(us);
  for (let i = 0; i < 100; i++) {
    expect(window.begin()).toBe(us);
    if (i % 2 === 0) window.hit();
    else window.miss();
  }
});

describe('an adaptive window', () => {
  /** Idle spells until one polls. */
  function spellsUntilPoll(window: PollWindow): number {
    for (let spells = 1; spells < 10_000; spells++) if (window.begin() > 0) return spells;
    throw new Error('it never polls');
  }

  test('is shut at first, and probes now and then', () => {
    const window = new PollWindow(-1);
    const first = spellsUntilPoll(window);
    expect(first).toBeGreaterThan(8);
    window.miss();
    expect(spellsUntilPoll(window)).toBe(first);
  });

  test('a hit opens it', () => {
    const window = new PollWindow(-1);
    spellsUntilPoll(window);
    window.hit();
    expect(window.begin()).toBe(POLL_US_MAX);
  });

  test('it survives one miss, and is shut by two in a row', () => {
    const window = new PollWindow(-1);
    window.hit();
    window.miss();
    expect(window.begin()).toBe(POLL_US_MAX);
    window.hit();
    window.miss();
    window.miss();
    expect(window.begin()).toBe(0);
  });

  test('a hit between two misses keeps it open; misses of before a hit do not count', () => {
    const window = new PollWindow(-1);
    for (let i = 0; i < 10; i++) {
      window.hit();
      window.miss();
      expect(window.begin()).toBe(POLL_US_MAX);
    }
  });

  test('shut, it probes one spell in 32 for ever: a microsecond a spell', () => {
    const window = new PollWindow(-1);
    let polledUs = 0;
    for (let probe = 0; probe < 100; probe++) {
      expect(spellsUntilPoll(window)).toBe(32);
      window.miss();
      polledUs += POLL_US_MAX;
    }
    expect(polledUs / 3200).toBeLessThanOrEqual(1);
  });

  test('it never polls longer than the limit', () => {
    const window = new PollWindow(-1);
    for (let i = 0; i < 1000; i++) {
      expect(window.begin()).toBeLessThanOrEqual(POLL_US_MAX);
      if (i % 3 > 0) window.hit();
      else window.miss();
    }
  });
});
