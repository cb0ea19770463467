/**
 * The seed's table without a guest: the order of its runs, what it reads from the console and from /proc, and which
 * figure comes into which cell.
 */
import { describe, expect, test } from 'vitest';
import { hostCache, switchesBetween, switchesIn } from '../bench/seed-host.ts';
import { seedFigures, seedRuns, seedScript } from '../bench/seed-load.ts';
import { SEED_2015, type SeedRound, seedPage, seedTable } from '../bench/seed-report.ts';

const fio = (read: number, write: number, error = 0) =>
  JSON.stringify({ jobs: [{ error, read: { iops: read }, write: { iops: write } }] });

describe('the runs', () => {
  test('visit both disks with each test in every round, forwards and backwards', () => {
    const runs = seedRuns(2, 2);
    expect(runs).toHaveLength(3 * 4 * 2);
    const order = (round: number) =>
      runs.filter((run) => run.round === round).map((run) => `${run.test}${run.side}`);
    expect(order(1).slice(0, 4)).toEqual(['randread0', 'randread1', 'read0', 'read1']);
    expect(order(2).slice(-2)).toEqual(['write1', 'write0']);
  });

  test('are in the script in their order, with the jobs that are asked for', () => {
    const settings = { rounds: 0, seconds: 2, jobs: 4, fileMib: 8 };
    const script = seedScript(seedRuns(0, 2), ['ONE', 'TWO'], settings);
    expect(script).toContain('--ioengine=psync --bs=4k --numjobs=4 --size=8M');
    const first = script.split('\n').filter((line) => line.startsWith('run '));
    expect(first.slice(0, 2)).toEqual([
      'run 0.randread.1 1 randread',
      'run 0.randread.0 0 randread',
    ]);
  });
});

describe('the console', () => {
  const run = { round: 1, test: 'write', side: 0 } as const;

  test('has the figures of a run once its line is complete', () => {
    const answer = `END 1.write.0 321 ${fio(0, 5000)}`;
    expect(seedFigures('BEGIN 1.write.0\n', run)).toBeNull();
    expect(seedFigures(answer, run)).toBeNull();
    expect(seedFigures(`${answer}\n`, run)).toEqual({ iops: 5000, requests: 321 });
  });

  test('of a run that failed, or reached no disk, is an error', () => {
    expect(() => seedFigures(`END 1.write.0 321 ${fio(0, 1, 5)}\n`, run)).toThrow('error 5');
    expect(() => seedFigures(`END 1.write.0 0 ${fio(0, 1)}\n`, run)).toThrow('0 requests');
  });
});

describe('the host', () => {
  test('counts switches of both kinds, and new threads from 0', () => {
    expect(switchesIn('voluntary_ctxt_switches:\t70\nnonvoluntary_ctxt_switches:\t5\n')).toBe(75);
    expect(() => switchesIn('Name:\tnode\n')).toThrow('without counts');
    const before = new Map([['1', 10]]);
    expect(switchesBetween(before, new Map([['1', 15]]))).toBe(5);
    expect(
      switchesBetween(
        before,
        new Map([
          ['1', 15],
          ['2', 7],
        ]),
      ),
    ).toBe(12);
    // biome-ignore format: one line a map
    expect(switchesBetween(new Map([['1', 10], ['9', 3]]), new Map([['1', 11]]))).toBe(1);
  });

  test('has a page cache without the memory of guests', () => {
    const meminfo = 'Buffers:  12 kB\nCached:  500 kB\nShmem:  100 kB\n';
    expect(hostCache(meminfo)).toEqual({ buffersKib: 12, cachedKib: 400 });
    expect(() => hostCache('Buffers: 1 kB\nCached: 1 kB\n')).toThrow('no Shmem');
  });
});

test('the table has the commit’s figures beside ours, and direct over buffered', () => {
  const round = (side: SeedRound['side'], iops: number, imageKib: number | null): SeedRound[] =>
    (['randread', 'read', 'randwrite', 'write'] as const).map((name) => ({
      test: name,
      side,
      iops,
      requests: 100,
      switches: side === 'buffered' ? 300 : 150,
      buffersKib: -100,
      cachedKib: 2048,
      imageKib,
    }));
  const rounds = [...round('buffered', 1000, 4096), ...round('direct AIO', 1500, 0)];
  const table = seedTable(rounds);
  expect(SEED_2015.read).toEqual({ buffered: 113_811, 'direct AIO': 125_040 });
  const gap = ' ';
  expect(table).toContain(
    `| read | 113${gap}811 | 125${gap}040 | 1.10 | 1${gap}000 (1${gap}000–1${gap}000) | 1${gap}500 (1${gap}500–1${gap}500) | 1.50 (1.50–1.50) |`,
  );
  expect(table).toContain(
    '| read | buffered | 3.00 (3.00–3.00) | 100 | 2 (2–2) | 0 (0–0) | 4 (4–4) |',
  );
  expect(table).toContain(
    '| read | direct AIO | 1.50 (1.50–1.50) | 100 | 2 (2–2) | 0 (0–0) | 0 (0–0) |',
  );
  expect(seedTable(round('buffered', 1, null).concat(round('direct AIO', 1, null)))).toContain(
    '| - |',
  );
  expect(seedPage(['a quiet machine'], rounds)).toContain('* a quiet machine');
});
