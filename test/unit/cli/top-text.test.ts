/**
 * What `vloop top` prints: rates and percentiles of what came between two looks, within the terminal's size.
 */
import { describe, expect, test } from 'vitest';
import { bytesText, countText, timeText } from '../../../src/cli/verbs/figures-text.ts';
import { screenOf } from '../../../src/cli/verbs/top.ts';
import { percentileBetween, topLines } from '../../../src/cli/verbs/top-text.ts';
import { diskStatsOf } from '../../../src/control/disk-stats.ts';
import { SharedFigures } from '../../../src/worker/shared-figures.ts';
import { LoopRig } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

function looked(rig: LoopRig, queueCount: number) {
  const figures = new SharedFigures(queueCount);
  figures.counters.set(rig.counters);
  figures.latencies.set(rig.latencies);
  return { stats: diskStatsOf('a.img', figures, rig.nowMs), state: 'connected' };
}

function cells(line: string): string[] {
  return line.trim().split(/ +/);
}

test('rates and latencies are those between the two looks', () => {
  const rig = new LoopRig();
  rig.run(blk.read(0, 4096));
  const before = looked(rig, 1);
  for (let i = 0; i < 10; i++) {
    rig.offer(blk.read(8, 4096));
    rig.serve();
    rig.nowMs += 4;
    rig.settle();
  }
  rig.run(blk.write(8, new Uint8Array(2048)));
  rig.nowMs += 1960;
  const [, row] = topLines([before], [looked(rig, 1)]);
  // Two seconds: 10 reads of 4 KiB that took 4 ms each, one write of 2 KiB.
  const [disk, queue, state, reads, writes, read, written, p50, p99, , , inFlight, busy] = cells(
    row!,
  );
  expect([disk, queue, state]).toEqual(['a.img', 'all', 'connected']);
  expect([reads, writes, read, written]).toEqual(['5', '0.50', '20.0KiB', '1.00KiB']);
  expect([p50, p99, inFlight, busy]).toEqual([p50, p50, '0', '2']);
  expect(Number.parseFloat(p50!) / 4).toBeCloseTo(1, 1);
  expect(p50).toMatch(/ms$/);
});

test('several queues have a row each', () => {
  const rig = new LoopRig({ queueCount: 2 });
  rig.run(blk.read(0, 512), { queue: 0 });
  rig.run(blk.read(0, 512), { queue: 1 });
  const lines = topLines([], [looked(rig, 2)]);
  expect(lines.slice(1).map((line) => cells(line)[0])).toEqual(['a.img', '0', '1']);
  expect(topLines([], [])).toEqual(['no disk is served']);
});

test('a percentile of nothing is 0, of one bucket its middle', () => {
  expect(percentileBetween([[1024, 5]], [[1024, 5]], 0.5)).toBe(0);
  expect(
    percentileBetween(
      [[1024, 5]],
      [
        [1024, 5],
        [2048, 1],
      ],
      0.5,
    ),
  ).toBe((2048 * 65) / 64 / 1000);
});

test('no more than the terminal has room for', () => {
  const screen = screenOf(['abcdef', 'ghijkl', 'mnopqr'], 5, 3);
  expect(screen).toBe('\x1b[Habcd\x1b[K\r\nghij\x1b[K\r\n\x1b[J');
});

describe('figures in few characters', () => {
  test.each([
    [bytesText(0), '0B'],
    [bytesText(1536), '1.50KiB'],
    [bytesText(20 * 1024), '20.0KiB'],
    [bytesText(1024 ** 3), '1.00GiB'],
    [countText(999), '999'],
    [countText(12_345), '12.3k'],
    [timeText(0), '-'],
    [timeText(85.23), '85.2us'],
    [timeText(1320), '1.32ms'],
    [timeText(2_000_000), '2s'],
  ])('%s', (text, expected) => expect(text).toBe(expected));
});
