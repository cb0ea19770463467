/**
 * The completions name every command and option; bash's is run by a bash.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandTexts } from '../../../src/cli/text/commands.ts';
import { bashCompletion } from '../../../src/cli/text/completion-bash.ts';
import { fishCompletion, zshCompletion } from '../../../src/cli/text/completion-others.ts';
import { VERB_NAMES } from '../../../src/cli/verb-names.ts';
import { verbs } from '../../../src/cli/verbs/verbs.ts';

const commands = commandTexts();

test('every verb is there, under the same names everywhere', () => {
  const names = commands.map(({ name }) => name);
  expect(names.toSorted()).toEqual(['serve', 'run', 'qsd', ...Object.keys(verbs)].toSorted());
  expect([...VERB_NAMES].toSorted()).toEqual(Object.keys(verbs).toSorted());
});

test.each([
  ['zsh', zshCompletion(commands)],
  ['fish', fishCompletion(commands)],
])('%s has every command and option', (shell, script) => {
  for (const { name, options } of commands) {
    expect(script).toContain(name);
    for (const option of Object.keys(options)) {
      expect(script).toContain(shell === 'fish' ? `-l ${option}` : `--${option}`);
    }
  }
});

describe('bash completes', () => {
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
    writeFileSync(join(directory, 'disk image.img'), '');
    writeFileSync(join(directory, 'completion'), bashCompletion(commands));
    // Stands for vloop, which would say which disks there are.
    writeFileSync(join(directory, 'vloop'), '#!/bin/sh\nprintf "alpha\\nbeta\\n"\n', {
      mode: 0o755,
    });
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** What is offered at the end of a line; its words are as bash breaks them. */
  async function offered(...words: readonly string[]): Promise<string[]> {
    const script = [
      'compopt() { :; }',
      '. ./completion',
      'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))',
      `_vloop; printf "%s\\n" "\${COMPREPLY[@]}"`,
    ].join('\n');
    const args = ['--norc', '-c', script, 'bash', './vloop', ...words];
    const { stdout, stderr } = await promisify(execFile)('bash', args, { cwd: directory });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((line) => line !== '');
  }

  test.skipIf(!existsSync('/bin/bash'))('verbs, options, values, files and disks', async () => {
    expect(await offered('')).toEqual(commands.map(({ name }) => name));
    expect(await offered('li')).toEqual(['list']);
    expect(await offered('serve', '--dir')).toEqual(['--direct-io=']);
    expect(await offered('--read-')).toEqual(['--read-only']);
    expect(await offered('serve', '--direct-io', '=')).toEqual(['on', 'off', 'auto']);
    expect(await offered('set', 'a', '--direct-io', '=', '')).toEqual(['on', 'off', 'auto']);
    expect(await offered('set', 'a', '--autoclear', '=', '')).toEqual(['on', 'off']);
    expect(await offered('serve', '--auto')).toEqual(['--autoclear']);
    expect(await offered('attach', '--direct-io', '=', 'o')).toEqual(['on', 'off']);
    expect(await offered('serve', 'dis')).toEqual(['disk image.img']);
    expect(await offered('run', '--log', '=', 'comp')).toEqual(['completion']);
    expect(await offered('list', '')).toEqual(['alpha', 'beta']);
    expect(await offered('list', 'a')).toEqual(['alpha']);
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(await offered('serve', '--num-queues', '=', '')).toEqual([]);
  });
});
