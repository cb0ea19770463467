/**
 * What the page computes from what vloop answers, away from any browser: rates, percentiles, the window of
 * time, where cells of the block map stand, and numbers in words.
 */
import { describe, expect, test } from 'vitest';
import {
  between,
  latencyOf,
  type Operation,
  percentiles,
} from '../../../src/control/page/figures.js';
import {
  byteRange,
  byteRate,
  bytes,
  count,
  duration,
  niceMaximum,
} from '../../../src/control/page/format.js';
import { History, linesOf, percentileLines } from '../../../src/control/page/history.js';
import { MapLayout } from '../../../src/control/page/map-layout.js';

type Pairs = Array<[number, number]>;

function queue(index: number, read: Pairs, write: Pairs = [], inFlight = 0) {
  const sum = (pairs: Pairs) => pairs.reduce((total, [, requests]) => total + requests, 0);
  return {
    queue: index,
    inFlight,
    requests: { read: sum(read), write: sum(write), flush: 0, discard: 0 },
    readBytes: sum(read) * 4096,
    writtenBytes: sum(write) * 512,
    latency: { read: new Map(read), write: new Map(write), flush: new Map(), discard: new Map() },
  };
}

const look = (atMs: number, ...queues: Array<ReturnType<typeof queue>>) => ({ atMs, queues });
const READ: Operation[] = ['read'];

describe('rates', () => {
  test('are what came in between, a second, per queue and in total', () => {
    const before = look(0, queue(0, [[1000, 10]]), queue(1, [[1000, 5]]));
    const now = look(
      2000,
      queue(
        0,
        [
          [1000, 10],
          [2000, 40],
        ],
        [[500, 6]],
        3,
      ),
      queue(1, [[1000, 25]], [], 4),
    );
    const moment = between(before, now)!;
    expect(moment.queues.get(0)).toMatchObject({
      inFlight: 3,
      requests: { read: 20, write: 3, flush: 0, discard: 0 },
      readBytes: 20 * 4096,
      writtenBytes: 3 * 512,
    });
    expect(moment.total).toMatchObject({ inFlight: 7, requests: { read: 30, write: 3 } });
    expect([...moment.total.latency.read]).toEqual([
      [2000, 40],
      [1000, 20],
    ]);
    expect([...latencyOf(moment.total, ['read', 'write'])]).toContainEqual([500, 6]);
  });

  test('of a queue that was not there before begin at nothing', () => {
    const moment = between(look(0), look(1000, queue(2, [[1000, 7]])))!;
    expect(moment.queues.get(2)?.requests.read).toBe(7);
  });

  test('are none when the counters began anew, and none when no time has passed', () => {
    expect(between(look(0, queue(0, [[1000, 9]])), look(1000, queue(0, [[1000, 2]])))).toBeNull();
    expect(between(look(5, queue(0, [])), look(5, queue(0, [])))).toBeNull();
  });
});

test('percentiles count requests, not buckets', () => {
  const histogram = new Map([
    [4000, 1],
    [1000, 90],
    [2000, 9],
  ]);
  expect(percentiles(histogram, [0.5, 0.9, 0.91, 0.99, 1])).toEqual([1000, 1000, 2000, 2000, 4000]);
  expect(percentiles(new Map(), [0.5, 0.99])).toEqual([null, null]);
});

describe('the window', () => {
  test('is three minutes long and says when each moment was', () => {
    const history = new History();
    for (let second = 0; second <= 200; second++) {
      history.add(look(second * 1000, queue(0, [[1000, second * 10]])));
    }
    const { seconds, rates } = history.of(null);
    expect(seconds.length).toBeGreaterThanOrEqual(180);
    expect(seconds.length).toBeLessThanOrEqual(183);
    expect([seconds[0], seconds.at(-1)]).toEqual([1 - seconds.length, 0]);
    expect(new Set(linesOf(rates, [({ requests }) => requests.read])[0])).toEqual(new Set([10]));
    expect(percentileLines(rates, READ, [0.5])[0]?.at(-1)).toBe(1000);
    expect(history.queues()).toEqual([0]);
  });

  test('has a hole where nobody looked, and where another process began to count', () => {
    const history = new History();
    history.add(look(0, queue(0, [[1000, 10]])));
    history.add(look(1000, queue(0, [[1000, 20]])));
    history.add(look(9000, queue(0, [[1000, 30]])));
    history.add(look(10_000, queue(0, [[1000, 1]])));
    history.add(look(11_000, queue(0, [[1000, 5]])));
    const { rates } = history.of(0);
    const lines = linesOf(rates, [({ requests }) => requests.read]);
    expect(lines).toEqual([[10, null, null, 4]]);
    expect(percentileLines(rates, READ, [0.5])).toEqual([[1000, null, null, 1000]]);
    history.clear();
    expect(history.of(null)).toEqual({ seconds: [], rates: [] });
  });
});

describe('cells of the block map', () => {
  test.each([
    [4096, 1200, 226, 1],
    [2049, 1200, 226, 2],
    [4096, 343, 250, 3],
    [256, 343, 250, 1],
    [1, 1200, 226, 1],
  ])(
    '%i of them on %i × %i stand apart, inside, and are found again',
    (cells, width, height, ratio) => {
      const layout = new MapLayout();
      layout.fit(cells, width, height, ratio);
      let next = 0;
      const taken = new Set<string>();
      for (let index = 0; index < layout.tiles; index++) {
        const tile = layout.tile(index);
        expect(tile.from).toBe(next);
        expect(tile.end).toBeGreaterThan(tile.from);
        next = tile.end;
        expect(tile.x + tile.width).toBeLessThanOrEqual(width * ratio + 1);
        expect(tile.y + tile.height).toBeLessThanOrEqual(height * ratio + 1);
        expect(Math.min(tile.width, tile.height)).toBeGreaterThanOrEqual(4 * ratio);
        taken.add(`${tile.x} ${tile.y}`);
        const middle = [tile.x + tile.width / 2, tile.y + tile.height / 2].map((at) => at / ratio);
        expect(layout.cellAt(middle[0]!, middle[1]!)).toBe(tile.from);
        expect(layout.tileOf(tile.end - 1)).toBe(index);
      }
      expect([next, taken.size]).toEqual([cells, layout.tiles]);
      expect(layout.cellAt(-1, -1)).toBe(-1);
      expect(layout.cellAt(width + 1, 0)).toBe(-1);
    },
  );
});

describe('numbers', () => {
  test.each([
    [0, '0'],
    [3.14, '3.1'],
    [12.3, '12'],
    [999.4, '999'],
    [999.6, '1k'],
    [1234, '1.23k'],
    [56_789, '56.8k'],
    [1_234_567, '1.23M'],
  ])('count %d is %s', (value, text) => expect(count(value)).toBe(text));

  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.50 KiB'],
    [64 * 2 ** 20, '64 MiB'],
    [2 ** 40, '1 TiB'],
  ])('%d bytes are %s', (value, text) => expect(bytes(value)).toBe(text));

  test.each([
    [null, '–'],
    [850, '850 ns'],
    [12_500, '12.5 µs'],
    [3_200_000, '3.20 ms'],
    [1.5e9, '1.50 s'],
  ])('%d ns are %s', (value, text) => expect(duration(value)).toBe(text));

  test('ranges, rates and the top of a scale', () => {
    expect(byteRange(8 * 2 ** 20, 9 * 2 ** 20)).toBe('8–9 MiB');
    expect(byteRange(0, 65_536)).toBe('0–64 KiB');
    expect(byteRange(1020 * 2 ** 20, 1.5 * 2 ** 30)).toBe('1020 MiB–1.50 GiB');
    expect(byteRange(64 * 2 ** 30, 64 * 2 ** 30 + 4096)).toBe('at 64 GiB');
    expect(byteRate(1024)).toBe('1 KiB/s');
    expect([7, 11, 350, 6000].map((value) => niceMaximum(value, false))).toEqual([
      8, 20, 400, 6000,
    ]);
    expect([2 ** 20, 2 ** 20 + 1].map((value) => niceMaximum(value, true))).toEqual([
      2 ** 20,
      1.5 * 2 ** 20,
    ]);
  });
});
