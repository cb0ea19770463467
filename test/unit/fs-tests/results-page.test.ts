/**
 * The results page: every reason for not running is on it, failures are told, no path of the machine it was made on is,
 * and cells cannot break their table.
 */
import { expect, test } from 'vitest';
import type { CaseResult } from '../../../qemu-examples/fs-tests/cases.ts';
import { commandText, resultsPage } from '../../../qemu-examples/fs-tests/results-page.ts';

const conditions = {
  ...{ date: '2026-01-02 03:04', commit: '0.1.0 abc', guestKernel: '6.12', accelerator: 'tcg' },
  ...{
    command: 'fs-tests --suite=xfstests --xfstests-dir /some/where --output=/tmp/x',
    qemu: '7.2',
  },
  ...{ vcpus: 2, memoryMib: 2048, guests: 1, hostCpu: '2 × X', hostKernel: '6.18' },
  ...{ hostFileSystem: 'ext2/ext3', cacheMode: 'direct', disks: 'test 4 GiB', image: 'built' },
  ...{ elapsedSeconds: 125, sides: ['vloop', 'virtio-blk'] as const },
};

function result(name: string, more: Partial<CaseResult>): CaseResult {
  return {
    ...{ suite: 'xfstests', fs: 'ext4', name, side: 'vloop', verdict: 'pass', seconds: 4 },
    ...{ reason: '', output: '', counters: {}, guest: 'g' },
    ...more,
  };
}

test('a page says what ran, what did not and why', () => {
  const results = [
    result('generic/001', {}),
    result('generic/001', { side: 'virtio-blk' }),
    result('generic/002', { verdict: 'not run', reason: 'needs a | device\nor two' }),
    result('generic/002', { side: 'virtio-blk', verdict: 'not run', reason: 'needs none' }),
    ...(['vloop', 'virtio-blk'] as const).flatMap((side) =>
      ['generic/004', 'generic/005'].map((name) =>
        result(name, { side, verdict: 'not run', reason: 'no reflink' }),
      ),
    ),
    result('generic/003', { verdict: 'panic', reason: 'Kernel panic - not syncing: X' }),
    result('generic/003', { side: 'virtio-blk' }),
  ];
  const page = resultsPage([{ title: 'On ext4', record: { conditions, results } }]);
  expect(page).toContain('## On ext4\n');
  expect(page).toContain('npm run fs-tests -- --suite=xfstests --xfstests-dir=DIR`');
  expect(page).toContain('| xfstests | ext4 | vloop | 5 | 1 pass, 3 not run, 1 panic | 20 |');
  expect(page).toContain('| vloop | needs a \\| device or two | 1: generic/002 |');
  expect(page).toContain('| vloop, virtio-blk | no reflink | 2: generic/004, generic/005 |');
  expect(page).toContain('| ext4 generic/003 | panic Kernel panic - not syncing: X | pass  |');
  expect(page).toContain('1 of 5 tests');
  expect(page).toContain('* xfstests on ext4: generic/001 4.0');
  expect(page).not.toContain('/some/where');
});

test('a command loses the paths of its machine and keeps the rest', () => {
  const command =
    'fs-tests --fs=xfs --kernel=/a/b/bzImage --modules=/a/b/out --vloop=--workers=2 --output /tmp/y generic/013';
  expect(commandText(command)).toBe(
    'fs-tests --fs=xfs --kernel=bzImage --modules=out --vloop=--workers=2 generic/013',
  );
});
