/**
 * README's table of methods: it has every method with what it takes and answers (conformance/readme-features.test.ts
 * compares it with the declarations as a whole).
 */
import { expect, test } from 'vitest';
import { methods } from '../../../src/control/schema/methods.ts';
import { readmePart } from '../../support/readme-parts.ts';

const rows = readmePart('methods').split('\n').slice(2);

test('has a row of four cells for each method, in their order', () => {
  const cells = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  expect(cells.map(([name]) => name)).toEqual(Object.keys(methods).map((name) => `\`${name}\``));
  for (const row of cells) expect(row).toHaveLength(4);
});

test.each([
  ['disk_quiesce', '| `disk, timeout_ms?` | `null` |'],
  ['disk_set_capacity', '| `disk` | `{size, old_size}` |'],
  ['disk_list', '|  | `[STATUS]` |'],
  ['disk_attach', '| `OPTIONS` | `STATUS` |'],
  ['subscribe', '| `events?` | `[string]` |'],
])('%s is there as declared', (name, words) => {
  expect(rows.find((row) => row.startsWith(`| \`${name}\``))).toContain(words);
});
