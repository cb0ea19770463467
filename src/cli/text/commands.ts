/**
 * Every command of the program as text: verbs, their words and options, from the tables that carry them out. What
 * the man page and the completions are made of.
 */
import type { OptionRow } from '../../control/schema/option-row.ts';
import { optionTable } from '../../control/schema/options.ts';
import { RUN_OPTIONS, RUN_SUMMARY, RUN_WORDS } from '../run/run-options.ts';
import type { VerbOptions } from '../verbs/verb.ts';
import { verbs } from '../verbs/verbs.ts';

export interface CommandText {
  readonly name: string;
  readonly summary: string;
  readonly words: string;
  readonly options: VerbOptions;
}

const SERVE_OPTIONS: VerbOptions = Object.fromEntries(
  Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => {
    const fallback = row.default === undefined ? '' : ` (default: ${row.default})`;
    return [name, { value: row.value, meaning: `${row.meaning}${fallback}` }];
  }),
);

const QSD_OPTIONS: VerbOptions = {
  blockdev: { value: 'ARGS', meaning: 'a block device, as qemu-storage-daemon names it' },
  export: { value: 'ARGS', meaning: 'an export of type vhost-user-blk' },
};

/** In the order of their names, `serve` first. */
export function commandTexts(): CommandText[] {
  const others = [
    { name: 'run', summary: RUN_SUMMARY, words: RUN_WORDS, options: RUN_OPTIONS },
    {
      name: 'qsd',
      summary: 'serve disks with the arguments of qemu-storage-daemon',
      words: '',
      options: QSD_OPTIONS,
    },
    ...Object.entries(verbs).map(([name, verb]) => ({ name, ...verb })),
  ];
  return [
    {
      name: 'serve',
      summary: 'serve disk images, and say how to attach them to a machine',
      words: 'FILE…',
      options: SERVE_OPTIONS,
    },
    ...others.sort((a, b) => (a.name < b.name ? -1 : 1)),
  ];
}

/** The words that a value may be, as `on|off|auto` says; none: it may be many. */
export function valueWords(value: string | null): string[] {
  return value?.includes('|') === true ? value.split('|').filter((word) => /[a-z]/.test(word)) : [];
}

/** Whether a value, or a word behind a verb, is the path of a file. */
export function isPath(value: string | null): boolean {
  return value !== null && /\b(PATH|FILE|DIR)\b/.test(value);
}
