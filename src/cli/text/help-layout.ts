/**
 * How --help is laid out: names on the left, what they mean beside them, in lines of 80 columns. Pure; no tables, so
 * that whatever parses arguments can use it.
 */
import type { VerbOptions } from '../verbs/verb.ts';

export const HELP_COLUMNS = 80;
/** Where meanings begin; a name that reaches further has a line of its own. */
const MEANING_COLUMN = 26;

/** Text in lines of at most so many columns; a word that is longer stays whole. */
export function wrapped(text: string, columns = HELP_COLUMNS): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

/** `  left   what it means`, the meaning over as many lines as it takes. */
export function termLines(left: string, meaning: string): string[] {
  const margin = ' '.repeat(MEANING_COLUMN);
  const [first = '', ...more] = wrapped(meaning, HELP_COLUMNS - MEANING_COLUMN);
  const head = `  ${left}`;
  const rest = more.map((line) => `${margin}${line}`);
  return head.length + 2 <= MEANING_COLUMN
    ? [`${head.padEnd(MEANING_COLUMN)}${first}`.trimEnd(), ...rest]
    : [head, `${margin}${first}`, ...rest];
}

export function optionLines(options: VerbOptions): string[] {
  return Object.entries(options).flatMap(([option, { value, meaning, short }]) => {
    const long = value === null ? `--${option}` : `--${option}=${value}`;
    return termLines(short === undefined ? long : `-${short}, ${long}`, meaning);
  });
}

/** The help of one command. */
export function commandHelp(
  name: string,
  {
    summary,
    words,
    options,
  }: { readonly summary: string; readonly words: string; readonly options: VerbOptions },
  notes: readonly string[] = [],
): string {
  const behind = words.startsWith('-') ? ['[options]', words] : [words, '[options]'];
  const usage = ['vloop', name, ...behind];
  return [
    `usage: ${usage.filter((word) => word !== '').join(' ')}`,
    '',
    ...wrapped(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`),
    ...notes.flatMap((note) => ['', ...wrapped(note)]),
    '',
    ...optionLines(options),
    '',
  ].join('\n');
}
