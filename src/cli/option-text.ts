/**
 * The options as README has them: a table, made from their declarations. --help is text/help.ts.
 * Nothing here is read by a running vloop.
 */
import type { OptionRow } from '../control/schema/option-row.ts';
import { optionTable } from '../control/schema/options.ts';

/** README's table of options. */
export function optionsMarkdown(): string {
  const rows = Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => {
    const left = row.value === null ? `--${name}` : `--${name}=${row.value.replaceAll('|', '\\|')}`;
    return `| \`${left}\` | ${row.meaning} | ${row.default ?? ''} |`;
  });
  return ['| option | meaning | default |', '|---|---|---|', ...rows].join('\n');
}
