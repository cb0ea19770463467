/**
 * What a run of fs-tests says: progress, tables, JUnit XML that survives what tests print, the difference between the sides,
 * and the exit status that CI trusts.
 */
import { describe, expect, test } from 'vitest';
import type { CaseResult, Side, Verdict } from '../../../qemu-examples/fs-tests/cases.ts';
import { compareSides, differenceText } from '../../../qemu-examples/fs-tests/difference.ts';
import { clockText, progressLine } from '../../../qemu-examples/fs-tests/progress.ts';
import { countsText, junitXml, resultTable } from '../../../qemu-examples/fs-tests/report.ts';
import { exitStatus } from '../../../qemu-examples/fs-tests/run.ts';

function result(name: string, verdict: Verdict, more: Partial<CaseResult> = {}): CaseResult {
  return {
    ...{ suite: 'xfstests', fs: 'ext4', name, side: 'vloop', verdict, seconds: 4.25 },
    ...{ reason: verdict === 'pass' ? '' : `why ${name}`, output: '', counters: {}, guest: 'g' },
    ...more,
  };
}

const onBoth = (name: string, vloop: Verdict, virtio: Verdict): CaseResult[] => [
  result(name, vloop, { output: 'from vloop' }),
  result(name, virtio, { side: 'virtio-blk' satisfies Side, output: 'from QEMU' }),
];

describe('the exit status', () => {
  test.each([
    ['pass', 0],
    ['not run', 0],
    ['fail', 1],
    ['panic', 1],
    ['hang', 1],
    ['back-end death', 1],
  ] as const)('%s', (verdict, status) => {
    expect(exitStatus([result('a', 'pass'), result('b', verdict)], false)).toBe(status);
  });

  test('with --compare a difference is red, the same failure on both sides is not', () => {
    expect(exitStatus(onBoth('a', 'fail', 'fail'), true)).toBe(0);
    expect(exitStatus(onBoth('a', 'fail', 'pass'), true)).toBe(1);
    expect(exitStatus(onBoth('a', 'pass', 'fail'), true)).toBe(1);
  });
});

describe('the difference', () => {
  test('has both outputs', () => {
    const text = differenceText(
      compareSides([...onBoth('generic/001', 'pass', 'pass'), ...onBoth('b', 'hang', 'pass')]),
    );
    expect(text).toContain('1 of 2 tests');
    expect(text).toContain('xfstests ext4 b');
    expect(text).toContain('vloop: hang: why b\n    | from vloop');
    expect(text).toContain('virtio-blk: pass\n    | from QEMU');
    expect(text).not.toContain('generic/001');
  });

  test('is empty when all agree; a test with one side only is not counted', () => {
    const alone = result('c', 'fail');
    const comparison = compareSides([...onBoth('a', 'pass', 'pass'), alone]);
    expect(differenceText(comparison)).toBe('difference against virtio-blk: none in 1 tests');
  });
});

test('a progress line: which of how many, how it went, how long', () => {
  const standing = { done: 3, total: 60, elapsedSeconds: 75, showSide: false };
  expect(progressLine(result('generic/012', 'fail'), standing)).toBe(
    '[ 3/60] ext4 generic/012: fail: why generic/012 (4.3 s; 1:15 elapsed, about 23:45 left)',
  );
  expect(clockText(3700)).toBe('1:01:40');
});

test('counts name only what there is, in the order of the verdicts', () => {
  const of = ['fail', 'pass', 'not run', 'pass'] as const;
  expect(countsText(of.map((verdict) => result('a', verdict)))).toBe('2 pass, 1 fail, 1 not run');
});

test('the table lines up and shows the side only when there are two', () => {
  const lines = resultTable([result('generic/001', 'pass'), result('x', 'not run')]).split('\n');
  expect(lines).toEqual([
    'suite     test              result   s    reason',
    'xfstests  ext4 generic/001  pass     4.3',
    'xfstests  ext4 x            not run  4.3  why x',
  ]);
  expect(resultTable(onBoth('a', 'pass', 'pass'))).toContain('virtio-blk');
});

describe('JUnit XML', () => {
  const xml = junitXml([
    result('generic/001', 'pass'),
    result('generic/002', 'fail', { reason: 'a < b & "c"', output: 'bell \u0007 <end>]]>' }),
    result('generic/003', 'panic'),
    result('generic/004', 'not run'),
    result('generic/001', 'pass', { fs: 'xfs' }),
  ]);

  test('a suite for each file system, with its counts', () => {
    expect(xml).toContain(
      '<testsuite name="xfstests.ext4.vloop" tests="4" failures="1" errors="1" skipped="1" time="17.000">',
    );
    expect(xml).toContain('<testsuite name="xfstests.xfs.vloop" tests="1" failures="0"');
  });

  test('failures, lost machines and skips are told apart', () => {
    expect(xml).toContain('<failure type="fail" message="a &lt; b &amp; &quot;c&quot;">');
    expect(xml).toContain('<error type="panic" message="why generic/003">');
    expect(xml).toContain('<skipped message="why generic/004"/>');
  });

  test('nothing that a test prints breaks it', () => {
    expect(xml).toContain('bell ? &lt;end&gt;]]&gt;');
    // Every element that opens is closed, in order.
    const open: string[] = [];
    for (const [, close, name, self] of xml.matchAll(/<(\/?)(\w+)[^<>]*?(\/?)>/g)) {
      if (close) expect(open.pop()).toBe(name);
      else if (!self) open.push(name!);
    }
    expect(open).toEqual([]);
  });
});
