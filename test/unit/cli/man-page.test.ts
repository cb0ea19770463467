/**
 * The files that are made from the tables are as the tables are now, and say what is in them.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { commandTexts } from '../../../src/cli/text/commands.ts';
import { manPage } from '../../../src/cli/text/man-page.ts';
import { configSchemaFile } from '../../../src/control/config-schema-file.ts';
import { methods } from '../../../src/control/schema/methods.ts';
import { optionTable } from '../../../src/control/schema/options.ts';

const ROOT = new URL('../../../', import.meta.url);
const fileText = (name: string) => readFileSync(new URL(name, ROOT), 'utf8');

test('the man page and vloop.config.schema.json are current (npm run docs)', () => {
  expect(fileText('src/cli/text/vloop.1')).toBe(manPage());
  expect(fileText('src/control/schema/vloop.config.schema.json')).toBe(configSchemaFile());
});

test('the page has every command, option and method', () => {
  const page = manPage().replaceAll('\\-', '-');
  for (const { name } of commandTexts()) expect(page).toContain(`\\fBvloop ${name}\\fR`);
  for (const name of Object.keys(optionTable)) expect(page).toContain(`\\fB--${name}\\fR`);
  for (const name of Object.keys(methods)) expect(page).toContain(`\\fB${name}\\fR`);
});

test('roff has nothing to complain of', async () => {
  const run = promisify(execFile);
  const path = new URL('src/cli/text/vloop.1', ROOT).pathname;
  // Of the packages that a machine without manuals does not have.
  const groff = await run('groff', ['--version']).then(
    () => true,
    () => false,
  );
  if (!groff) {
    process.stderr.write('skipped: roff on the man page: there is no groff\n');
    return;
  }
  const { stderr } = await run('groff', ['-man', '-ww', '-z', path]);
  expect(stderr).toBe('');
});
