/**
 * What is said of a word on the command line that is none of those expected: the word, and the one that was likely
 * meant. Pure.
 */
import { didYouMean } from '../control/nearest-name.ts';
import { VERB_NAMES } from './verb-names.ts';

const COMMANDS: readonly string[] = ['serve', 'run', 'qsd', 'help', ...VERB_NAMES];

/** Of an error of node:util's parseArgs, which says more than one sentence. */
export function parseArgsMessage(error: unknown, known: readonly string[]): string {
  const message = (error instanceof Error ? error.message : String(error)).split('. ')[0]!;
  const [, unknown] = /^Unknown option '--([^']+)'$/.exec(message) ?? [];
  if (unknown === undefined) return message;
  return `${message}${didYouMean(
    unknown,
    known.map((name) => `--${name}`),
  )}`;
}

export function unknownCommand(word: string): string {
  if (COMMANDS.includes(word)) {
    return `"${word}" has to be the first word (vloop ${word} --help)`;
  }
  const file = /[./]/.test(word) ? `; to serve a file: vloop serve ${word}` : '';
  return `unknown command "${word}"${file || didYouMean(word, COMMANDS)} (see --help)`;
}
