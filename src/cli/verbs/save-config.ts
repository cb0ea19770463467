/**
 * `vloop save-config` and `vloop load-config`: the disks there are as a configuration, and back.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ControlError } from '../../control/controlled-disk.ts';
import { readConfig } from '../config-file.ts';
import type { Verb } from './verb.ts';
import { withAttacher } from './with-daemon.ts';

function writeWhole(path: string, text: string): void {
  try {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ControlError('EACCES', `${path}: cannot be written (${code})`);
  }
}

export const saveConfigVerb: Verb = {
  summary: 'write all disks that are served as a configuration, to FILE or stdout',
  words: '[FILE]',
  options: { help: { value: null, short: 'h', meaning: 'print this, and exit' } },
  async run({ words }) {
    const disks = await withAttacher((attacher) => attacher.save());
    const text = `${JSON.stringify({ disks }, null, 2)}\n`;
    const [path] = words;
    if (path === undefined) process.stdout.write(text);
    else writeWhole(resolve(path), text);
    return 0;
  },
};

export const loadConfigVerb: Verb = {
  summary: 'attach all disks of a configuration file; when one cannot be, none is',
  words: 'FILE',
  options: { help: { value: null, short: 'h', meaning: 'print this, and exit' } },
  async run({ words }) {
    const { disks } = await readConfig(words[0]!);
    const attached = await withAttacher((attacher) => attacher.load(disks));
    process.stdout.write(attached.map(({ name }) => `${name}\n`).join(''));
    return 0;
  },
};
