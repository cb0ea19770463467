/**
 * The benchmark's rows and its command line: what is measured when one asks for it, and that nonsense is refused
 * before anything starts.
 */
import { describe, expect, test } from 'vitest';
import { backEndsOf, fullRows, quickRows, rowName } from '../bench/matrix.ts';
import { chooseRows, parseOptions } from '../bench/options.ts';
import { workload, workloadName } from '../bench/workload.ts';

describe('the matrix', () => {
  test.each([
    ['quick', quickRows()],
    ['full', fullRows()],
  ])('%s: no two rows share a name and a set of opponents', (_, rows) => {
    const names = rows.map(rowName);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  test('the full suite has every row of the quick one', () => {
    const full = new Map(fullRows().map((row) => [rowName(row), row]));
    for (const row of quickRows()) {
      const same = full.get(rowName(row));
      expect(same?.vloop, rowName(row)).toEqual(row.vloop);
      expect(same?.against, rowName(row)).toEqual(expect.arrayContaining([...row.against]));
    }
  });

  test('measures against qemu-storage-daemon with io_uring wherever there is a file', () => {
    const rows = [...quickRows(), ...fullRows()];
    const lonely = rows.filter(
      ({ file, against }) => file !== 'memory' && against[0] !== 'io_uring',
    );
    expect(lonely).toEqual([]);
  });

  test('asks for Linux AIO with direct I/O only, which is what it can do', () => {
    const native = fullRows().filter(({ against }) => against.includes('native'));
    expect(new Set(native.map(({ file }) => file))).toEqual(new Set(['direct']));
  });

  test('asks qemu-img for nothing that it cannot do', () => {
    const others = fullRows().filter(({ client }) => client === 'qemu-img');
    const kinds = others.map(({ workload: { operation, queues } }) => `${operation} ${queues}`);
    expect(new Set(kinds)).toEqual(new Set(['randread 1', 'randwrite 1']));
  });

  test('serves the two kinds of cached file by the same back-ends, and a direct one by others', () => {
    const key = (name: string) => backEndsOf(quickRows().find((row) => rowName(row) === name)!);
    const cached = key('large pieces: 4k randread, depth 32');
    expect(key('small pieces: 4k randwrite, depth 32')).toBe(cached);
    expect(key('direct: 4k randread, depth 32')).not.toBe(cached);
    expect(key('large pieces: 4k randread, depth 32, 4 queues')).not.toBe(cached);
  });
});

describe('a workload’s name', () => {
  test.each([
    [workload('randread', 4096, 32), '4k randread, depth 32'],
    [workload('write', 131072, 16), '128k write, depth 16'],
    [workload('flush', 4096, 4), 'flush, depth 4'],
    [
      workload('randread', 4096, 8, { queues: 2, ratePerSecond: 30_000, wait: 'spin' }),
      '4k randread, depth 8, 2 queues, 30 k/s, polling client',
    ],
  ])('%#: %s', (asked, name) => expect(workloadName(asked)).toBe(name));
});

describe('the command line', () => {
  const rows = (...argv: string[]) => chooseRows(parseOptions(argv)).map(rowName);

  test('measures the quick suite, five rounds of a second, unless told otherwise', () => {
    const { rounds, seconds, suite, busy } = parseOptions([]);
    expect({ rounds, seconds, suite, busy }).toEqual({
      rounds: 5,
      seconds: 1,
      suite: 'quick',
      busy: false,
    });
    expect(rows()).toEqual(quickRows().map(rowName));
  });

  test('chooses rows by a part of their name, and by client', () => {
    expect(rows('--only=tmpfs').every((name) => name.startsWith('tmpfs: '))).toBe(true);
    expect(rows('--clients=qemu-img')).toEqual(['large pieces: 4k randread, depth 32, qemu-img']);
    expect(rows('--suite=full').length).toBeGreaterThan(100);
  });

  test('leaves pinned rows out on a busy machine, and memory disks to vloop', () => {
    expect(rows().filter((name) => name.startsWith('memory'))).toHaveLength(2);
    expect(rows('--busy').filter((name) => name.startsWith('memory'))).toEqual([]);
    expect(rows('--ours=qemu-storage-daemon').filter((name) => name.startsWith('memory'))).toEqual(
      [],
    );
  });

  test('hands options on to vloop', () => {
    expect(parseOptions(['--vloop=--poll-us=0', '--vloop=--workers=2']).vloop).toEqual([
      '--poll-us=0',
      '--workers=2',
    ]);
  });

  test.each([
    [['--only=nothing like it'], 'no row of the quick suite fits'],
    [['--suite=huge'], '--suite=huge: one of quick, full'],
    [['--clients=blkio,dd'], '--clients=dd: one of blkio, qemu-img'],
    [['--ours=losetup'], '--ours=losetup: one of vloop, qemu-storage-daemon'],
    [['--rounds=0'], '--rounds=0: not a positive number'],
    [['--rounds=1.5'], '--rounds=1.5: not a whole number'],
    [['--seconds=fast'], '--seconds=fast: not a positive number'],
    [['--pieces=large'], 'Unknown option'],
  ])('refuses %s', (argv, message) => expect(() => rows(...argv)).toThrow(message));
});
