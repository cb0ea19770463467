/**
 * What a verb of the command line is, apart from serving: a row with its words, options and what it does. The
 * table in verbs.ts has all of them; --help, completion and the man page derive from it.
 */
import { OptionsError } from '../option-values.ts';
import { parseStrictly } from '../strict-arguments.ts';

export interface VerbOption {
  /** What stands behind `=`; null: nothing. */
  readonly value: string | null;
  readonly meaning: string;
  readonly short?: string;
}

export type VerbOptions = Readonly<Record<string, VerbOption>>;

export interface VerbArgs {
  readonly words: readonly string[];
  readonly values: Readonly<Partial<Record<string, string | boolean>>>;
}

export interface Verb {
  readonly summary: string;
  /** The words behind the verb, as `DISK` or `[DISK]`. */
  readonly words: string;
  readonly options: VerbOptions;
  /** Resolves with the exit status. Throws OptionsError, ControlError or RpcError. */
  run(args: VerbArgs): Promise<number>;
}

/** How many words a verb takes, read from `DISK [FILE]`; `…` at the end: any number. */
function wordCount(words: string): { readonly least: number; readonly most: number } {
  const parts = words.split(' ').filter((word) => word !== '');
  const least = parts.filter((word) => !word.startsWith('[')).length;
  return { least, most: words.endsWith('…]') ? Number.POSITIVE_INFINITY : parts.length };
}

/** Throws OptionsError. */
export function parseVerb(name: string, verb: Verb, args: readonly string[]): VerbArgs {
  const options = Object.fromEntries(
    Object.entries(verb.options).map(([option, { value, short }]) => [
      option,
      {
        type: value === null ? ('boolean' as const) : ('string' as const),
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  const parsed = parseStrictly(args, options, (sentence) => {
    throw new OptionsError(`${sentence} (see vloop ${name} --help)`);
  });
  const { least, most } = wordCount(verb.words);
  const words = parsed.positionals;
  if (words.length < least || words.length > most) {
    const expected = verb.words === '' ? 'nothing behind it' : verb.words;
    throw new OptionsError(`${name}: expected ${expected}, got ${words.length} words`);
  }
  return { words, values: parsed.values as VerbArgs['values'] };
}
