/**
 * Tables and raw fields of `vloop list`, character by character, and its columns of a status.
 */
import { expect, test } from 'vitest';
import { rawLines, tableLines } from '../../../src/cli/verbs/columns.ts';
import { LIST_COLUMNS } from '../../../src/cli/verbs/list.ts';
import type { DiskStatus } from '../../../src/control/schema/disk-status.ts';

const ROWS = [
  ['a', '1', ''],
  ['long name', '1024', 'x'],
];

test('columns are as wide as their widest cell, numbers on the right, nothing behind the last', () => {
  expect(tableLines(['NAME', 'SIZE', 'X'], ROWS, [false, true, false])).toEqual([
    'NAME       SIZE  X',
    'a             1',
    'long name  1024  x',
  ]);
  expect(tableLines(null, ROWS, [false, true, false])).toEqual([
    'a             1',
    'long name  1024  x',
  ]);
});

test('raw fields cannot be taken for two, nor break the line', () => {
  expect(rawLines(['NAME'], [['a b'], ['a\\b'], ['a\nb'], ['a\u001bb'], ['ä']])).toEqual([
    'NAME',
    'a\\x20b',
    'a\\x5cb',
    'a\\x0ab',
    'a\\x1bb',
    'ä',
  ]);
});

test.each<[Partial<DiskStatus>, string]>([
  [{ state: 'bound', connected: false, quiesced: false }, 'bound'],
  [{ state: 'bound', connected: true, quiesced: false }, 'connected'],
  [{ state: 'bound', connected: true, quiesced: true }, 'quiesced'],
  [{ state: 'rundown', connected: true, quiesced: true }, 'rundown'],
])('the state of %j is %s', (status, expected) => {
  expect(LIST_COLUMNS['STATE']!.value(status as DiskStatus)).toBe(expected);
});

test('of a file that is not there any more, inode and device are unknown', () => {
  const gone = { back_file: '/nowhere/at/all' } as DiskStatus;
  expect(LIST_COLUMNS['BACK-INO']!.value(gone)).toBeNull();
  expect(LIST_COLUMNS['BACK-MAJ:MIN']!.value(gone)).toBeNull();
});
