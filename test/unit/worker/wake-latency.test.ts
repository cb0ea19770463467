/** When the kernel is asked for CPUs that wake soon: while disks are busy, and only when that changes. */
import { expect, test } from 'vitest';
import { BUSY_REQUESTS, WakeLatency } from '../../../src/worker/wake-latency.ts';

function setup(alreadyAnswered = 0) {
  const asked: number[] = [];
  let answered = alreadyAnswered;
  const port = { ask: (latencyUs: number) => asked.push(latencyUs) };
  const latency = new WakeLatency(port, 5, 1_000_000, () => answered);
  return {
    asked,
    /** One look, after so many more answers. */
    look(more: number) {
      answered += more;
      latency.look();
    },
  };
}

test('busy disks ask once, idle ones take it back once', () => {
  const { asked, look } = setup();
  for (const more of [BUSY_REQUESTS, 10 * BUSY_REQUESTS, BUSY_REQUESTS]) look(more);
  expect(asked).toEqual([5]);
  for (const more of [0, 0, BUSY_REQUESTS - 1]) look(more);
  expect(asked).toEqual([5, 1_000_000]);
  look(BUSY_REQUESTS);
  expect(asked).toEqual([5, 1_000_000, 5]);
});

test('a few requests are no reason', () => {
  const { asked, look } = setup();
  for (let i = 0; i < 10; i++) look(BUSY_REQUESTS - 1);
  expect(asked).toEqual([]);
});

test('what was answered before it began does not count', () => {
  const { asked, look } = setup(1_000_000);
  look(0);
  expect(asked).toEqual([]);
});
