/**
 * Rounds and rows of a benchmark that never ran, for the tests of what is computed from them. Every figure that a
 * test does not name is harmless.
 */
import type { ClientName } from '../bench/client.ts';
import { type FileKind, quickRows, type Row, rowName } from '../bench/matrix.ts';
import type { Round, RowResult } from '../bench/rounds.ts';

export const MIB = 2 ** 20;

export function round(iops: number, further: Partial<Round> = {}): Round {
  return {
    iops,
    cpuSecondsPerMillion: 2,
    idleCpuSeconds: {},
    rssBytes: 60 * MIB,
    others: 0,
    ...further,
  };
}

/** A row of the quick suite, by its name. */
export function rowNamed(name: string): Row {
  const row = quickRows().find((known) => rowName(known) === name);
  if (row === undefined) throw new Error(`no row ${name}`);
  return row;
}

/** What vloop and its opponents, by label, measured on the row of that name. */
export function result(name: string, rounds: Record<string, Round[]>): RowResult {
  return { row: rowNamed(name), rounds };
}

export function otherwise(
  { row, rounds }: RowResult,
  change: { client?: ClientName; file?: FileKind },
): RowResult {
  return { row: { ...row, ...change }, rounds };
}
