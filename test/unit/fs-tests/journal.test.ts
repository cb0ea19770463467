/**
 * The journal of a run: what there is stands in the results folder before the run has ended, in the plan's order, and files
 * of an earlier run do not mix with it.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type CaseResult,
  type Side,
  type TestCase,
  UsageError,
} from '../../../qemu-examples/fs-tests/cases.ts';
import { Journal } from '../../../qemu-examples/fs-tests/journal.ts';
import {
  openResultsFolder,
  type RunRecord,
} from '../../../qemu-examples/fs-tests/results-folder.ts';

const known = {
  ...{ date: '2026-01-02 03:04', commit: '0.1.0 abc', accelerator: 'tcg', command: 'fs-tests' },
  ...{ qemu: '7.2', vcpus: 2, memoryMib: 2048, guests: 1, hostCpu: '2 × X', hostKernel: '6.18' },
  ...{ hostFileSystem: 'ext2/ext3', cacheMode: 'direct', disks: 'test 4 GiB', image: 'built' },
  sides: ['vloop', 'virtio-blk'] as const,
};
const plan: TestCase[] = ['a', 'b'].map((name) => ({ suite: 'packaged', fs: 'ext4', name }));

function result(index: number, side: Side, more: Partial<CaseResult> = {}): CaseResult {
  return {
    ...{ ...plan[index]!, side, verdict: 'pass', reason: '', seconds: 1 },
    ...{ output: '', counters: {}, guest: 'g' },
    ...more,
  };
}

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vloop-journal-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('results are there before the end, in the order of the plan', () => {
  const journal = new Journal(folder, known, plan);
  journal.guestKernel = '6.12';
  const failed = { verdict: 'fail', reason: 'why', output: 'said' } as const;
  journal.add(result(1, 'vloop', failed));
  expect(existsSync(join(folder, 'results.json'))).toBe(true);
  expect(readFileSync(join(folder, 'tests/vloop/packaged/ext4/b.txt'), 'utf8')).toContain('said');
  journal.add(result(1, 'virtio-blk'));
  journal.add(result(0, 'virtio-blk'));
  journal.add(result(0, 'vloop'));
  journal.save();
  const record = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as RunRecord;
  expect(record.results.map(({ name, side }) => `${name} ${side}`)).toEqual([
    ...['a vloop', 'a virtio-blk', 'b vloop', 'b virtio-blk'],
  ]);
  expect(record.conditions.guestKernel).toBe('6.12');
  expect(readFileSync(join(folder, 'difference.txt'), 'utf8')).toContain('1 of 2 tests');
});

test('a machine that is lost after a test takes the place of its pass', () => {
  const journal = new Journal(folder, known, plan);
  journal.add(result(0, 'vloop'));
  journal.add(result(0, 'virtio-blk'));
  const lost = { verdict: 'back-end death', reason: 'after its end: SIGSEGV' } as const;
  journal.add(result(0, 'vloop', lost));
  expect(journal.results.map(({ side, verdict }) => [side, verdict])).toEqual([
    ['vloop', 'back-end death'],
    ['virtio-blk', 'pass'],
  ]);
});

test('with one side there is no difference to tell', () => {
  const journal = new Journal(folder, { ...known, sides: ['vloop'] }, plan);
  journal.add(result(0, 'vloop'));
  expect(journal.difference).toBeNull();
  expect(existsSync(join(folder, 'difference.txt'))).toBe(false);
});

test('an earlier run is gone, what is not of fs-tests stays', () => {
  const journal = new Journal(folder, known, plan);
  journal.add(result(0, 'vloop', { verdict: 'fail', output: 'old' }));
  writeFileSync(join(folder, 'mine.txt'), 'mine');
  openResultsFolder(folder);
  expect(existsSync(join(folder, 'results.json'))).toBe(false);
  expect(existsSync(join(folder, 'tests'))).toBe(false);
  expect(readFileSync(join(folder, 'mine.txt'), 'utf8')).toBe('mine');
});

test.each(['tests', 'results.json'])('a folder with a %s of someone else’s is refused', (name) => {
  const file = name === 'tests' ? join(folder, 'tests/mine.txt') : join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '{"results": []}');
  expect(() => openResultsFolder(folder)).toThrow(UsageError);
  expect(() => openResultsFolder(folder)).toThrow(`its ${name} is not of an earlier run`);
  expect(readFileSync(file, 'utf8')).toBe('{"results": []}');
});
