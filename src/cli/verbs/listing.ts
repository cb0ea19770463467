/**
 * Lists as util-linux prints them: a table for people, raw lines and JSON for programs, columns by name.
 */
import { OptionsError } from '../option-values.ts';
import { rawLines, tableLines } from './columns.ts';
import type { VerbArgs, VerbOptions } from './verb.ts';

export type Cell = string | number | boolean | null;

export interface Column<Row> {
  readonly meaning: string;
  readonly right?: true;
  readonly value: (row: Row) => Cell;
}

export type Columns<Row> = Readonly<Record<string, Column<Row>>>;

type Values = VerbArgs['values'];

export const LISTING_OPTIONS: VerbOptions = {
  json: { value: null, short: 'J', meaning: 'as JSON' },
  output: { value: 'COLUMNS', short: 'O', meaning: 'these columns, with commas' },
  'output-all': { value: null, meaning: 'all columns' },
  raw: { value: null, meaning: 'fields separated by one blank, blanks in them as \\x20' },
  noheadings: { value: null, short: 'n', meaning: 'without the line of headings' },
};

/** The names that `--output` asks for. Throws OptionsError. */
export function chosenColumns<Row>(
  columns: Columns<Row>,
  shown: readonly string[],
  values: Values,
): string[] {
  if (values['output-all'] === true) return Object.keys(columns);
  const wanted = values['output'];
  if (typeof wanted !== 'string') return [...shown];
  const names = wanted.split(',').map((name) => name.trim().toUpperCase());
  const unknown = names.find((name) => !Object.hasOwn(columns, name));
  if (unknown === undefined) return names;
  const known = Object.keys(columns).join(', ');
  throw new OptionsError(`--output=${wanted}: no column "${unknown}", expected some of ${known}`);
}

function textOf(cell: Cell): string {
  if (typeof cell === 'boolean') return cell ? '1' : '0';
  return cell === null ? '' : String(cell);
}

/** `kind`: what the rows are, the key of the JSON. */
export function listing<Row>(
  kind: string,
  columns: Columns<Row>,
  names: readonly string[],
  rows: readonly Row[],
  values: Values,
): string {
  if (values['json'] === true) {
    const objects = rows.map((row) =>
      Object.fromEntries(names.map((name) => [name.toLowerCase(), columns[name]!.value(row)])),
    );
    return `${JSON.stringify({ [kind]: objects }, null, 3)}\n`;
  }
  if (rows.length === 0) return '';
  const cells = rows.map((row) => names.map((name) => textOf(columns[name]!.value(row))));
  const heads = values['noheadings'] === true ? null : names;
  const right = names.map((name) => columns[name]!.right === true);
  const lines = values['raw'] === true ? rawLines(heads, cells) : tableLines(heads, cells, right);
  return lines.map((line) => `${line}\n`).join('');
}
