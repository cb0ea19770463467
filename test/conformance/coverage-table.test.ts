/**
 * test/README.md says which test covers which clause, rule and bug class: every file it names exists
 * and every rule and bug class stands in a title of one of its files, so that the table cannot promise
 * what was renamed or removed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const TESTS = join(import.meta.dirname, '..');
const ROW = /^\| (?<what>[^|]+) \| [^|]+ \| (?<files>[^|]*\.test\.ts) \|$/gm;

const rows = [...readFileSync(join(TESTS, 'README.md'), 'utf8').matchAll(ROW)].map(
  ({ groups }) => ({
    what: groups!['what']!,
    files: groups!['files']!.split(', '),
  }),
);

test('every file of the table exists', () => {
  const missing = rows.flatMap(({ files }) =>
    files.filter((file) => !existsSync(join(TESTS, file))),
  );
  expect(missing).toEqual([]);
});

test('every rule and bug class stands in a title of a file that the table names', () => {
  const unproved = rows
    .filter(({ what }) => /^(rule|bug class) \d+$/.test(what))
    .filter(({ what, files }) => {
      const titles = files.map((file) => readFileSync(join(TESTS, file), 'utf8')).join('\n');
      return !new RegExp(`${what}\\b`).test(titles);
    })
    .map(({ what }) => `no file of the table names ${what}`);
  expect(unproved).toEqual([]);
});

test('the bug classes and rules that must be covered are in the table', () => {
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const numbers = (kind: string) =>
    rows.filter(({ what }) => what.startsWith(kind)).map(({ what }) => Number(/\d+$/.exec(what)));
  expect(numbers('bug class')).toEqual([...range(1, 26), 28]);
  expect(numbers('rule')).toEqual(range(1, 15));
});
