/**
 * node:util's parseArgs, strictly, with its many sentences cut to the first one: an unknown option, a value too many or one
 * that is missing ends as one line. Knows no option; which class of error it is, the caller says.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { parseArgsMessage } from './unknown-word.ts';

/** `refuse` throws what the caller's own mistakes are. */
export function parseStrictly<const T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
  refuse: (sentence: string) => never,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    return refuse(parseArgsMessage(error, Object.keys(options)));
  }
}
