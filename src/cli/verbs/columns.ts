/**
 * Rows of text as util-linux prints them: columns under headings, or raw fields that a program can split.
 */

type Rows = ReadonlyArray<readonly string[]>;

/** Columns two blanks apart; `right` says which are aligned to the right. */
export function tableLines(
  heads: readonly string[] | null,
  rows: Rows,
  right: readonly boolean[],
): string[] {
  const all = heads === null ? rows : [heads, ...rows];
  const widths = right.map((_, at) => Math.max(0, ...all.map((row) => row[at]!.length)));
  return all.map((row) =>
    row
      .map((cell, at) => (right[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** One blank between fields; what would be read as one is escaped, and an empty field is. */
export function rawLines(heads: readonly string[] | null, rows: Rows): string[] {
  const all = heads === null ? rows : [heads, ...rows];
  return all.map((row) => row.map(escaped).join(' '));
}

function escaped(cell: string): string {
  const code = (text: string) => `\\x${text.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return cell.replace(/[\s\\\p{Cc}]/gu, code);
}
