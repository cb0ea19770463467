/**
 * The turns of a loop worker, over a reactor and a backing that count: a busy worker still hears what is
 * said to it, and one that polls lets others have the CPU.
 */
import { expect, test } from 'vitest';
import { LoopDevice } from '../../../src/loop/loop-device.ts';
import { TurnClock } from '../../../src/loop/turn-clock.ts';
import { LoopWorker } from '../../../src/worker/loop-worker.ts';
import { PollWindow } from '../../../src/worker/poll-window.ts';
import { KEY_CONTROL, type Reactor } from '../../../src/worker/reactor.ts';

const TURNS_MAX = 10_000;
/** Microseconds that a look at the clock takes here. */
const LOOK_US = 10;

interface Workload {
  readonly pollUs: number;
  /** Whether the backing delivers a result in the n-th turn. */
  readonly busy: (turn: number) => boolean;
}

/** Runs a worker whose reactor reports a word of the main thread in its first turn; the word is "exit". */
function runUntilTold({ pollUs, busy }: Workload) {
  const counts = { reaps: 0, waits: 0, looks: 0, yields: 0, controls: 0 };
  let told = false;
  const reactor: Reactor = {
    watch: () => {},
    unwatch: () => {},
    hasWork: () => false,
    turn(wait) {
      told = true;
      if (wait) counts.waits++;
    },
    reap(sink) {
      if (told) sink.onSignal(KEY_CONTROL);
      told = false;
      return false;
    },
  };
  const worker = new LoopWorker({
    reactor,
    device: new LoopDevice(1, new TurnClock(() => {})),
    backing: {
      submit: () => {},
      reap() {
        if (++counts.reaps > TURNS_MAX) throw new Error('the reactor is never looked at');
        return busy(counts.reaps) ? 1 : 0;
      },
    },
    window: new PollWindow(pollUs),
    wakeFd: 0,
    port: {
      // The first is the worker's own start.
      onControl() {
        if (++counts.controls > 1) worker.exit();
      },
      onTurn: () => {},
      onKick: () => {},
      yieldCpu: () => counts.yields++,
      now: () => LOOK_US * counts.looks++,
    },
  });
  worker.run();
  return counts;
}

test('a worker that is always busy hears a word within 16 turns, without a wait', () => {
  const counts = runUntilTold({ pollUs: 0, busy: () => true });
  expect(counts.controls).toBe(2);
  // The turn in which it hears is its last.
  expect(counts.reaps).toBeLessThanOrEqual(16 + 1);
  expect(counts.waits).toBe(0);
});

test('polling yields the CPU between its looks at the clock, and then sleeps', () => {
  const counts = runUntilTold({ pollUs: 1000, busy: () => false });
  // The first look is the start, the last ends the poll.
  expect(counts.yields).toBe(counts.looks - 2);
  expect(counts.yields).toBe(1000 / LOOK_US - 1);
  expect(counts.waits).toBe(1);
});

test('without polling nothing is yielded', () => {
  const counts = runUntilTold({ pollUs: 0, busy: () => false });
  expect(counts).toMatchObject({ yields: 0, looks: 0, waits: 1 });
});
