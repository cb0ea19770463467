/**
 * README's table of options is the one that the declarations render: `make docs` writes it.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { helpText, optionsMarkdown, optionTable } from '../../../src/cli/options.ts';

const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');

test('README shows every option as the declarations have it (make docs)', () => {
  expect(readme).toContain(optionsMarkdown());
});

test('--help names every option', () => {
  const help = helpText();
  for (const name of Object.keys(optionTable)) expect(help).toContain(`--${name}`);
});
