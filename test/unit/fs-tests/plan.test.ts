/**
 * From what is asked to the cases: groups, lists, names and exclusions for each suite, and that a test or group that the
 * suite does not have is refused by its name.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Suite, type TestCase, UsageError } from '../../../qemu-examples/fs-tests/cases.ts';
import { checkerCases } from '../../../qemu-examples/fs-tests/checker-cases.ts';
import { parseCommandLine } from '../../../qemu-examples/fs-tests/options.ts';
import { packagedCases } from '../../../qemu-examples/fs-tests/packaged-cases.ts';
import { listedTests, makePlan } from '../../../qemu-examples/fs-tests/plan.ts';
import { rolesFor } from '../../../qemu-examples/fs-tests/run.ts';
import { Work } from '../../../qemu-examples/fs-tests/work.ts';

const EXAMPLES = join(import.meta.dirname, '../../../qemu-examples/fs-tests');

const lists = {
  xfstests: new Map([
    ['generic', '# made by a tool\n001 rw auto quick\n002 metadata auto\n003 atime auto quick\n'],
    ['ext4', '001 auto prealloc quick\n'],
    ['xfs', '004 db auto quick\n005 auto\n'],
  ]),
  blktests: ['block/003', 'block/004'],
};

function plan(args: readonly string[], listText: string | null = null): string[] {
  const options = parseCommandLine(args);
  const asked = { options, listText, defaultList: 'generic/001\ngeneric/002\n' };
  return makePlan(asked, lists).map(({ suite, fs, name }) => `${suite} ${fs} ${name}`);
}

describe('xfstests', () => {
  test('a group is what the tree says, each file system with its own folder', () => {
    expect(plan(['--suite=xfstests', '--group=quick'])).toEqual([
      ...['xfstests ext4 generic/001', 'xfstests ext4 generic/003', 'xfstests ext4 ext4/001'],
      ...['xfstests xfs generic/001', 'xfstests xfs generic/003', 'xfstests xfs xfs/004'],
    ]);
  });

  test('several groups are one list, in the tree’s order, each test once', () => {
    expect(plan(['--suite=xfstests', '--fs=ext4', '--group=metadata,quick'])).toEqual([
      ...['xfstests ext4 generic/001', 'xfstests ext4 generic/002', 'xfstests ext4 generic/003'],
      'xfstests ext4 ext4/001',
    ]);
  });

  test('without anything asked the default list runs', () => {
    expect(plan(['--suite=xfstests', '--fs=btrfs'])).toEqual([
      'xfstests btrfs generic/001',
      'xfstests btrfs generic/002',
    ]);
  });

  test('a list file with comments, each test once', () => {
    const list = '# mine\ngeneric/003 # atime\n\ngeneric/001\ngeneric/003\n';
    expect(plan(['--suite=xfstests', '--fs=ext4', '--list=mine'], list)).toEqual([
      'xfstests ext4 generic/003',
      'xfstests ext4 generic/001',
    ]);
  });

  test('a test of one file system is not run on another', () => {
    expect(plan(['--suite=xfstests', '--fs=ext4,xfs', 'ext4/001', 'xfs/004'])).toEqual([
      'xfstests ext4 ext4/001',
      'xfstests xfs xfs/004',
    ]);
  });

  test.each([
    [['--suite=xfstests', 'generic/999'], 'no test generic/999 in this tree of xfstests'],
    [['--suite=xfstests', '--group=quikc'], '--group=quikc: no test of this tree'],
    [['--suite=xfstests', '--group=quick,nope'], 'no test of this tree of xfstests is in nope'],
    [['--suite=xfstests', '--fs=ext4', 'ext4/001', 'xfs/004'], '--fs=ext4 has the test xfs/004'],
    [['--suite=xfstests', '--fs=ext4', '--exclude=generic/001', 'generic/001'], 'nothing is left'],
    [['--suite=blktests', '--group=quick'], '--group=quick: blktests runs its cases'],
    [['--suite=xfstests', '--exclude=generic/007'], '--exclude=generic/007: it is not among'],
    [['--suite=blktests', 'block/001'], 'no test block/001 in blktests for a disk'],
    [['fio-verfy'], 'no test fio-verfy in packaged, which has fio-verify,'],
    [['--group=auto'], '--group=auto: packaged has all and quick'],
  ])('%s is refused', (args, sentence) => {
    expect(() => plan(args)).toThrow(UsageError);
    expect(() => plan(args)).toThrow(sentence);
  });
});

test('an excluded test is left out on every file system', () => {
  const kept = plan(['--suite=xfstests', '--group=quick', '--exclude=generic/001,ext4/001']);
  expect(kept).toEqual([
    'xfstests ext4 generic/003',
    'xfstests xfs generic/003',
    'xfstests xfs xfs/004',
  ]);
});

test('several suites follow each other', () => {
  const suites = plan(['--suite=blktests,packaged', '--fs=ext4']).map((line) => line.split(' ')[0]);
  expect(suites.slice(0, 3)).toEqual(['blktests', 'blktests', 'packaged']);
});

describe('packaged', () => {
  test('the bare disk first, then each file system; quick is a part of all', () => {
    const all = plan(['--fs=ext4,btrfs']);
    const quick = plan(['--fs=ext4,btrfs', '--group=quick']);
    expect(all[0]).toBe('packaged block fio-verify');
    expect(all).toContain('packaged btrfs dbench');
    expect(all).not.toContain('packaged xfs dbench');
    expect(quick.length).toBeLessThan(all.length);
    expect(all).toEqual(expect.arrayContaining(quick));
  });

  test('every case is one that the guest has', () => {
    const script = readFileSync(join(EXAMPLES, 'guest/packaged.sh'), 'utf8');
    for (const { name } of packagedCases) expect(script).toContain(`\n  ${name})`);
  });
});

test('the integrity list has sixty tests, none twice', () => {
  const names = listedTests(readFileSync(join(EXAMPLES, 'lists/integrity.list'), 'utf8'));
  expect(names.length).toBe(60);
  expect(new Set(names).size).toBe(60);
});

describe('checker', () => {
  test('the device once, a file on each file system', () => {
    expect(plan(['--suite=checker', '--fs=xfs,btrfs', '--group=quick'])).toEqual([
      ...['checker block device', 'checker xfs file', 'checker btrfs file'],
    ]);
    expect(plan(['--suite=checker'])).toContain('checker ext4 file-bytes');
  });

  test('each case is one of the script', () => {
    const script = readFileSync(join(EXAMPLES, 'guest/checker.sh'), 'utf8');
    for (const { name } of checkerCases) {
      expect(script).toMatch(new RegExp(`^  (\\S+ \\| )?${name}( \\| \\S+)?\\)`, 'm'));
    }
  });

  test('a case that it does not have is refused', () => {
    expect(() => plan(['--suite=checker', 'disk'])).toThrow('no test disk in checker, which has');
    expect(() => plan(['--suite=checker', '--group=auto'])).toThrow('checker has all and quick');
  });
});

test('disks are those that the cases use', () => {
  const of = (suite: 'packaged' | 'xfstests', fs: 'ext4' | 'btrfs') =>
    rolesFor([{ suite, fs, name: 'generic/001' }]);
  expect(of('packaged', 'btrfs')).toEqual(['test', 'scratch']);
  expect(of('xfstests', 'ext4')).toEqual(['test', 'scratch', 'logwrites']);
  expect(of('xfstests', 'btrfs')).toContain('pool3');
});

describe('work is shared', () => {
  const tests = (suite: Suite, labels: readonly string[]): TestCase[] =>
    labels.map((label) => ({ suite, fs: label.split('/')[0] as 'ext4' | 'xfs', name: label }));
  const names = (batch: readonly TestCase[]) => batch.map(({ name }) => name);

  test('a lane stays with its file system, then helps where most is left; nothing runs twice', () => {
    const work = new Work(tests('packaged', ['ext4/a', 'ext4/b', 'ext4/c', 'xfs/a', 'xfs/b']), 2);
    const order = [null, 'xfs', 'xfs', 'xfs', 'ext4'] as const;
    expect(order.flatMap((fs) => names(work.take(fs)))).toEqual([
      ...['ext4/a', 'xfs/a', 'xfs/b', 'ext4/b', 'ext4/c'],
    ]);
    expect(work.take('ext4')).toEqual([]);
  });

  test('xfstests in batches that shrink towards the end, so that lanes end together', () => {
    const labels = Array.from({ length: 60 }, (_, index) => `ext4/${index}`);
    const work = new Work(tests('xfstests', labels), 2);
    const batches: string[][] = [];
    for (let batch = work.take('ext4'); batch.length > 0; batch = work.take('ext4')) {
      batches.push(names(batch));
    }
    expect(batches.flat()).toEqual(labels);
    expect(batches[0]).toHaveLength(12);
    expect(batches.at(-1)).toHaveLength(1);
    expect(batches.length).toBeLessThan(20);
  });

  test('a batch is of one suite', () => {
    const plan = [...tests('xfstests', ['ext4/a']), ...tests('packaged', ['ext4/b', 'ext4/c'])];
    const work = new Work(plan, 1);
    expect(names(work.take(null))).toEqual(['ext4/a']);
    expect(names(work.take('ext4'))).toEqual(['ext4/b']);
  });
});
