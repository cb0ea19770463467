/**
 * The guest benchmark's answer as a table: medians with their ranges, and round by round against the first
 * side. Pure: rounds in, text out.
 */
import { median, ratios, summarize } from './statistics.ts';

export interface GuestRound {
  readonly iops: number;
  /** Null where the back-end's CPU cannot be told from QEMU's other work. */
  readonly cpuSecondsPerMillion: number | null;
}

export interface GuestResult {
  readonly workload: string;
  readonly side: string;
  readonly rounds: readonly GuestRound[];
}

const HEADER = ['workload', 'back-end', 'IOPS', 'vloop ÷ it', 'CPU s per million'];

/** One row a result; `ours` is the side that the others are compared with. */
export function guestTable(results: readonly GuestResult[], ours: string): string {
  const rows = results.map((result) => {
    const own = results.find(({ workload, side }) => workload === result.workload && side === ours);
    if (own === undefined) throw new Error(`${result.workload}: nothing of ${ours}`);
    return [
      result.workload,
      result.side,
      spread(result.rounds.map(iopsOf), 0),
      result === own ? '' : spread(ratios(own.rounds.map(iopsOf), result.rounds.map(iopsOf)), 2),
      cpuText(result.rounds),
    ];
  });
  return aligned([HEADER, ...rows]);
}

const iopsOf = ({ iops }: GuestRound) => iops;

function cpuText(rounds: readonly GuestRound[]): string {
  const known = rounds.flatMap(({ cpuSecondsPerMillion: cpu }) => (cpu === null ? [] : [cpu]));
  return known.length === 0 ? '-' : spread(known, 1);
}

function spread(values: readonly number[], digits: number): string {
  const { min, max } = summarize(values);
  return `${median(values).toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
