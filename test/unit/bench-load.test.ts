/**
 * The pure parts of the load generator: percentiles, where things lie in guest memory, which block comes next, and
 * what verify mode takes for wrong.
 */
import { describe, expect, test } from 'vitest';
import { LatencyHistogram } from '../bench/latency-histogram.ts';
import { LoadBlocks } from '../bench/load-blocks.ts';
import { type LayoutShape, layOut } from '../bench/load-layout.ts';
import { type LoadOptions, parseLoadOptions } from '../bench/load-options.ts';
import { LoadRandom } from '../bench/load-random.ts';
import { describeSector, stamp, wrongSector } from '../bench/load-stamps.ts';

const MIB = 2 ** 20;

function optionsOf(...argv: string[]): LoadOptions {
  return parseLoadOptions(['socket', ...argv]);
}

describe('percentiles', () => {
  test('of small values are exact, of large ones to 1.6 %', () => {
    const histogram = new LatencyHistogram();
    for (let ns = 1; ns <= 100; ns++) histogram.record(ns);
    expect(histogram.percentile(0.5)).toBe(50);
    expect(histogram.percentile(1)).toBe(100);
    histogram.reset();
    for (const ns of [1e3, 1e4, 1e5, 1e6, 1e9, 2 ** 36 - 1]) {
      histogram.record(ns);
      expect(Math.abs(histogram.percentile(1) / ns - 1)).toBeLessThan(1 / 64);
    }
    expect(histogram.total).toBe(6);
  });

  test('a tail of one in a thousand shows in p99.9 and not in p99', () => {
    const histogram = new LatencyHistogram();
    for (let i = 0; i < 9980; i++) histogram.record(1000);
    for (let i = 0; i < 20; i++) histogram.record(5e6);
    expect(histogram.percentile(0.99)).toBeLessThan(1100);
    expect(histogram.percentile(0.999)).toBeGreaterThan(4.9e6);
  });

  test('what is longer than the last bucket is counted in it, and nothing is not a number', () => {
    const histogram = new LatencyHistogram();
    expect(histogram.percentile(0.5)).toBeNaN();
    histogram.record(1e15);
    histogram.record(-5);
    expect(histogram.percentile(1)).toBeGreaterThan(6e10);
    expect(histogram.percentile(0.5)).toBe(0);
  });
});

describe('layout', () => {
  const shape: LayoutShape = {
    queueCount: 3,
    ringSize: 256,
    depth: 7,
    segments: 5,
    segmentBytes: 12_288,
    regionCount: 1,
    memoryBytes: 0,
    spareBuffers: 40,
  };

  function spans(changed: Partial<LayoutShape>): Array<readonly [number, number]> {
    const all = { ...shape, ...changed };
    const { rings, controls, controlBytes, buffers, regions } = layOut(all, new LoadRandom(3));
    expect(regions).toHaveLength(all.regionCount);
    expect(buffers).toHaveLength(3 * 7 * 5 + all.spareBuffers);
    const used = [
      ...[...rings].map((at) => [at, at + 16 * 256] as const),
      ...[...controls].map((at) => [at, at + controlBytes] as const),
      ...[...buffers].map((at) => [at, at + 12_288] as const),
    ];
    for (const [from, to] of used)
      expect(regions.some(([at, bytes]) => from >= at && to <= at + bytes)).toBe(true);
    for (const at of buffers) expect(at % 4096).toBe(0);
    return used.toSorted((a, b) => a[0] - b[0]);
  }

  test.each([1, 2, 7, 64, 512])(
    'nothing overlaps and everything is in one region, of %i',
    (regionCount) => {
      for (const memoryBytes of [0, 8192 * MIB]) {
        const used = spans({ regionCount, memoryBytes });
        for (let i = 1; i < used.length; i++)
          expect(used[i]![0]).toBeGreaterThanOrEqual(used[i - 1]![1]);
      }
    },
  );

  test('buffers use all regions, and all of a region', () => {
    const large = { ...shape, memoryBytes: 8192 * MIB, spareBuffers: 1000 };
    const { buffers, regions } = layOut({ ...large, regionCount: 64 }, new LoadRandom(1));
    const used = new Set([...buffers].map((at) => regions.findIndex(([start]) => at < start)));
    expect(used.size).toBe(64);
    const one = layOut(large, new LoadRandom(1));
    const [start, bytes] = one.regions[0]!;
    expect(start).toBe(2 ** 32);
    expect(Math.max(...one.buffers) - start).toBeGreaterThan(0.99 * bytes);
  });

  test('with spare buffers each header is on a page of its own, at no fixed place of it', () => {
    const { controls } = layOut(shape, new LoadRandom(1));
    const pages = new Set([...controls].map((at) => Math.floor(at / 4096)));
    expect(pages.size).toBe(controls.length);
    expect(new Set([...controls].map((at) => at % 4096)).size).toBeGreaterThan(15);
    const together = layOut({ ...shape, spareBuffers: 0 }, new LoadRandom(1)).controls;
    expect(together.at(-1)! - together[0]!).toBeLessThan(2 * 4096);
  });

  test('buffers below a page start at any sector of one and do not overlap', () => {
    const { buffers } = layOut({ ...shape, segmentBytes: 1536 }, new LoadRandom(1));
    const sorted = [...buffers].sort((a, b) => a - b);
    for (let i = 1; i < sorted.length; i++)
      expect(sorted[i]! - sorted[i - 1]!).toBeGreaterThanOrEqual(1536);
    expect(new Set(sorted.map((at) => at % 4096)).size).toBe(8);
  });

  test('memory that is too small is refused', () => {
    expect(() => layOut({ ...shape, memoryBytes: MIB }, new LoadRandom(1))).toThrow(
      /does not hold/,
    );
  });
});

describe('blocks', () => {
  const blocksOf = (capacityBytes: number, ...argv: string[]) =>
    new LoadBlocks(capacityBytes, optionsOf(...argv), new LoadRandom(5));

  test('random ones reach all of a disk of 8 TiB, and stay in it', () => {
    const blocks = blocksOf(2 ** 43);
    expect(blocks.count).toBe(2 ** 31);
    let top = 0;
    for (let i = 0; i < 10_000; i++) {
      blocks.next(null);
      top = Math.max(top, blocks.offsetBytes(blocks.block));
    }
    expect(top).toBeLessThan(2 ** 43);
    expect(top).toBeGreaterThan(0.999 * 2 ** 43);
  });

  test('a hot set is spread over the whole disk', () => {
    const blocks = blocksOf(2 ** 43, '--hot-blocks=1024');
    expect(blocks.count).toBe(1024);
    expect(blocks.offsetBytes(1023)).toBe(1023 * 2 ** 33);
  });

  test('a pass takes each block once, in order, and then no more', () => {
    const blocks = blocksOf(64 * 4096, '--verify', '--depth=4');
    blocks.onePass();
    const seen = [];
    while (blocks.next('write')) seen.push(blocks.block);
    expect(seen).toEqual(Array.from({ length: 64 }, (_, i) => i));
    expect(blocks.write).toBe(true);
  });

  test('verify mode has one request out on a block', () => {
    const blocks = blocksOf(64 * 4096, '--verify', '--depth=32');
    const out = new Set<number>();
    for (let i = 0; i < 64; i++) {
      blocks.next(null);
      expect(out.has(blocks.block)).toBe(false);
      out.add(blocks.block);
    }
    blocks.release(17);
    blocks.next(null);
    expect(blocks.block).toBe(17);
  });

  test('half of a mix are writes', () => {
    const blocks = blocksOf(MIB, '--io=mix');
    let writes = 0;
    for (let i = 0; i < 10_000; i++) {
      blocks.next(null);
      writes += Number(blocks.write);
    }
    expect(Math.abs(writes - 5000)).toBeLessThan(300);
  });

  test('a disk too small to verify is refused', () => {
    expect(() => blocksOf(4096 * 63, '--verify')).toThrow(/are few/);
    expect(() => blocksOf(2 ** 43, '--verify')).toThrow(/span-mib/);
    expect(() => blocksOf(512)).toThrow(/has no 4096 bytes/);
  });
});

describe('stamps', () => {
  const words = new Uint32Array(1024);
  const SECTOR = 2 ** 33 + 5;

  test('what was stamped is right, and for nothing else', () => {
    stamp(words, SECTOR, 3, 9);
    expect(wrongSector(words, SECTOR, 3, 9)).toBe(-1);
    expect(wrongSector(words, SECTOR + 1, 3, 9)).toBe(0);
    expect(wrongSector(words, SECTOR - 2 ** 33, 3, 9)).toBe(0);
    expect(wrongSector(words, SECTOR, 2, 9)).toBe(0);
    expect(wrongSector(words, SECTOR, 3, 8)).toBe(0);
  });

  test('any one bit that is wrong is found, with its sector', () => {
    for (let bit = 0; bit < 32 * words.length; bit += 37) {
      stamp(words, SECTOR, 3, 9);
      words[bit >> 5]! ^= 1 << (bit & 31);
      expect(wrongSector(words, SECTOR, 3, 9)).toBe(bit >> 12);
    }
  });

  test('a wrong sector says what it is', () => {
    stamp(words, SECTOR, 3, 9);
    expect(describeSector(words, 2, 9)).toBe(`sector ${SECTOR + 2}, generation 3`);
    expect(describeSector(words, 2, 8)).toBe('content that this run did not write');
    words[2 * 128 + 100]! ^= 1;
    expect(describeSector(words, 2, 9)).toBe('a torn or damaged sector');
    words.fill(0);
    expect(describeSector(words, 2, 9)).toBe('zeroes');
  });
});

describe('options', () => {
  test('the ring is what the depth needs', () => {
    expect(optionsOf('--depth=256').ringSize).toBe(256);
    expect(optionsOf('--depth=1').ringSize).toBe(128);
    expect(optionsOf('--depth=32', '--direct', '--segments=4').ringSize).toBe(256);
  });

  test.each([
    ['--depth=0', /1 to/],
    ['--depth=1.5', /1 to/],
    ['--depth=', /1 to/],
    ['--ring=100', /power of two/],
    ['--size=4097', /whole sectors/],
    ['--size=8388608', /512 to/],
    ['--io=trim', /read, write, mix/],
    ['--regions=513', /1 to 512/],
    ['--speed=9', /nknown option/],
  ])('%s is refused', (option, why) => {
    expect(() => optionsOf(option)).toThrow(why);
  });

  test('more depth than the ring holds, segments that do not divide the size, no socket', () => {
    expect(() => optionsOf('--depth=64', '--ring=128', '--direct')).toThrow(/192 descriptors/);
    expect(() => optionsOf('--size=4096', '--segments=16')).toThrow(/whole sectors/);
    expect(() => parseLoadOptions([])).toThrow(/which socket/);
  });
});
