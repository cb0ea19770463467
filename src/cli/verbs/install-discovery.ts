/**
 * `vloop install-discovery`: writes 50-vloop.json where management programs look for vhost-user back-ends.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ControlError } from '../../control/controlled-disk.ts';
import { DISCOVERY_NAME, discoveryDirectory, discoveryText, isOurs } from '../discovery-file.ts';
import { OptionsError } from '../option-values.ts';
import type { Verb } from './verb.ts';

function present(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new ControlError('EACCES', `${path}: cannot be read (${code})`);
  }
}

function write(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const aside = `${path}.${process.pid}`;
    writeFileSync(aside, text, { mode: 0o644 });
    renameSync(aside, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ControlError(
      'EACCES',
      `${path}: cannot be written (${code}); --user needs no rights`,
    );
  }
}

export const installDiscoveryVerb: Verb = {
  summary: 'tell management programs of this vloop (50-vloop.json)',
  words: '',
  options: {
    prefix: { value: 'DIR', meaning: 'below DIR/share (default: /usr)' },
    user: { value: null, meaning: "in this user's configuration ($XDG_CONFIG_HOME)" },
    print: { value: null, meaning: 'print the file, and write nothing' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run({ values }) {
    const { user, prefix } = values;
    if (user === true && prefix !== undefined) {
      throw new OptionsError('--user and --prefix exclude each other');
    }
    const text = discoveryText(resolve(process.argv[1]!));
    if (values['print'] === true) {
      process.stdout.write(text);
      return 0;
    }
    const at = {
      user: user === true,
      prefix: typeof prefix === 'string' ? resolve(prefix) : '/usr',
    };
    const path = join(discoveryDirectory(process.env, at), DISCOVERY_NAME);
    const before = present(path);
    if (before !== null && !isOurs(before)) {
      throw new ControlError('EEXIST', `${path}: it is another program's, and stays as it is`);
    }
    write(path, text);
    process.stdout.write(`${path}\n`);
    return 0;
  },
};
