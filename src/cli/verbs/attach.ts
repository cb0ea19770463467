/**
 * `vloop attach`: a disk that is served from a process of its own when this one has ended, as losetup leaves a loop
 * device; with losetup's words where they fit.
 */
import { resolve } from 'node:path';
import {
  DISK_OPTION_NAMES,
  type DiskConfig,
  keyOfOption,
  withPaths,
} from '../../control/schema/disk-config.ts';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import type { OptionRow } from '../../control/schema/option-row.ts';
import { type OptionName, optionTable } from '../../control/schema/options.ts';
import { typedOption } from '../disk-config.ts';
import { OptionsError } from '../option-values.ts';
import { parseCommandLine } from '../options.ts';
import type { Verb, VerbArgs, VerbOptions } from './verb.ts';
import { withAttacher } from './with-daemon.ts';

/** losetup's letters. */
const SHORT: Readonly<Record<string, string>> = {
  'read-only': 'r',
  offset: 'o',
  'block-size': 'b',
};
/** losetup's long names, where ours are others. */
const ALIASES: Readonly<Record<string, string>> = {
  'sector-size': 'block-size',
  sizelimit: 'size-limit',
};
const OPTION_NAMES = DISK_OPTION_NAMES.filter((name) => name !== 'blk-file');
const known: readonly string[] = OPTION_NAMES;

function diskOptions(): VerbOptions {
  const rows = OPTION_NAMES.map((name) => {
    const { value, meaning }: OptionRow = optionTable[name];
    const short = SHORT[name];
    return [name, { value, meaning, ...(short === undefined ? {} : { short }) }] as const;
  });
  return Object.fromEntries(rows);
}

function aliasOptions(): VerbOptions {
  const rows = Object.entries(ALIASES).filter(([, name]) => known.includes(name));
  return Object.fromEntries(
    rows.map(([alias, name]) => {
      const { value }: OptionRow = optionTable[name as OptionName];
      return [alias, { value, meaning: `the same as --${name}, in losetup's words` }];
    }),
  );
}

/** The disk that the arguments describe; checked as `serve` checks them. Throws OptionsError. */
export function diskOfArguments({ words, values }: VerbArgs): DiskConfig {
  const [file] = words;
  const options: Record<string, string | boolean> = {};
  for (const [given, value] of Object.entries(values)) {
    const name = ALIASES[given] ?? given;
    if (value === undefined || !known.includes(name)) continue;
    if (options[name] !== undefined)
      throw new OptionsError(`--${given} and --${name} are the same`);
    options[name] = value;
  }
  const line = Object.entries(options).map(([name, value]) =>
    value === true ? `--${name}` : `--${name}=${value}`,
  );
  if (file === undefined && options['memory'] === undefined) {
    throw new OptionsError('attach: which file? (vloop attach disk.img)');
  }
  parseCommandLine(['serve', ...line, ...(file === undefined ? [] : ['--', file])]);
  const disk = Object.entries(options).map(([name, value]) => [
    keyOfOption(name),
    typedOption(name as OptionName, value),
  ]);
  const place = file === undefined ? {} : { blk_file: file };
  return withPaths({ ...place, ...Object.fromEntries(disk) }, (path) => resolve(path));
}

/** On stderr, as losetup says it: the log of the disk has it too, but who looks there. */
async function sayNotes({ back_file, transfer, ...status }: DiskStatus): Promise<void> {
  if (back_file === null || transfer !== null) return;
  const { imageNotes } = await import('../../backing/image-notes.ts');
  const { offset: offsetBytes, size_limit: sizeLimitBytes, block_size: blockSizeBytes } = status;
  for (const note of imageNotes(back_file, { offsetBytes, sizeLimitBytes, blockSizeBytes })) {
    process.stderr.write(`vloop: ${back_file}: ${note}\n`);
  }
}

export const attachVerb: Verb = {
  summary: 'serve a disk from a process of its own, in the background',
  words: '[FILE]',
  options: {
    find: {
      value: null,
      short: 'f',
      meaning: 'choose a name; that is done unless --name is given',
    },
    show: { value: null, meaning: 'print the socket, too' },
    ...diskOptions(),
    ...aliasOptions(),
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run(args) {
    const disk = diskOfArguments(args);
    const status = await withAttacher((attacher) => attacher.attach(disk));
    await sayNotes(status);
    const socket = args.values['show'] === true ? `${status.socket}\n` : '';
    process.stdout.write(`${status.name}\n${socket}`);
    return 0;
  },
};
