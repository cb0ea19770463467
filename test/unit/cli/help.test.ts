/**
 * --help of the program and of every command: all of it is there, and it fits a terminal of 80 columns.
 */
import { expect, test } from 'vitest';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { commandTexts } from '../../../src/cli/text/commands.ts';
import { helpOf, helpText } from '../../../src/cli/text/help.ts';
import { wrapped } from '../../../src/cli/text/help-layout.ts';
import { optionTable } from '../../../src/control/schema/options.ts';

const commands = commandTexts();
/** Text whatever its lines are. */
const flowing = (text: string) => text.replaceAll(/\s+/g, ' ');

test('the overview has every command, with what it does', () => {
  const text = flowing(helpText());
  for (const { name, summary } of commands) {
    expect(helpText()).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    expect(text).toContain(summary);
  }
});

test.each(commands.map(({ name }) => name))('%s: every option, in lines that fit', (name) => {
  const { words, options } = commands.find((one) => one.name === name)!;
  const text = helpOf(name);
  expect(text).toMatch(new RegExp(`^usage: vloop ${name} .*\\[options\\]`));
  expect(flowing(text)).toContain(words);
  for (const [option, { meaning }] of Object.entries(options)) {
    expect(text).toMatch(new RegExp(`^  (-\\w, )?--${option}\\b`, 'm'));
    expect(flowing(text)).toContain(meaning);
  }
  for (const line of [...text.split('\n'), ...helpText().split('\n')]) {
    expect(line.length, line).toBeLessThanOrEqual(80);
    expect(line).toBe(line.trimEnd());
  }
});

test('serve --help has the defaults', () => {
  const text = flowing(helpOf('serve'));
  for (const row of Object.values(optionTable)) {
    if ('default' in row) expect(text).toContain(`(default: ${row.default})`);
  }
});

test('a command that there is none of', () => {
  expect(() => helpOf('lst')).toThrow(OptionsError);
  expect(() => helpOf('lst')).toThrow(/no command "lst"; did you mean "list"\?/);
});

test('a word that is longer than a line stays whole', () => {
  expect(wrapped('a bb cccccccc d', 4)).toEqual(['a bb', 'cccccccc', 'd']);
});
