/**
 * `vloop list`: the disks that are served, in losetup's columns and some more. Tables for people, raw lines and
 * JSON for programs.
 */

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import { OptionsError } from '../option-values.ts';
import { rawLines, tableLines } from './columns.ts';
import { pickDisk, withDisks } from './processes.ts';
import type { Verb, VerbArgs } from './verb.ts';

type Cell = string | number | boolean | null;

interface Column {
  readonly meaning: string;
  readonly right?: true;
  readonly value: (disk: DiskStatus) => Cell;
}

function fileFact(disk: DiskStatus, fact: (file: ReturnType<typeof statSync>) => Cell): Cell {
  try {
    return disk.back_file === null ? null : fact(statSync(disk.back_file));
  } catch {
    // The file has been removed, or is not for us to see.
    return null;
  }
}

/** losetup's names first; where it has nothing that fits, ours. */
export const LIST_COLUMNS: Readonly<Record<string, Column>> = {
  NAME: { meaning: 'how commands call the disk', value: (disk) => disk.name },
  SIZELIMIT: {
    meaning: 'size limit in bytes, 0: none',
    right: true,
    value: (disk) => disk.size_limit,
  },
  OFFSET: { meaning: 'offset in the file in bytes', right: true, value: (disk) => disk.offset },
  RO: { meaning: 'read-only', right: true, value: (disk) => disk.read_only },
  'BACK-FILE': { meaning: 'backing file', value: (disk) => disk.back_file },
  'BACK-INO': {
    meaning: "the file's inode",
    right: true,
    value: (disk) => fileFact(disk, (file) => Number(file!.ino)),
  },
  DIO: { meaning: 'direct I/O', right: true, value: (disk) => disk.direct_io },
  'LOG-SEC': {
    meaning: 'logical block size in bytes',
    right: true,
    value: (disk) => disk.block_size,
  },
  SIZE: { meaning: 'size in bytes', right: true, value: (disk) => disk.size },
  SOCKET: { meaning: 'vhost-user socket', value: (disk) => disk.socket },
  QUEUES: { meaning: 'virtqueues that are offered', right: true, value: (disk) => disk.queues },
  STATE: {
    meaning: 'bound, connected, rundown',
    value: (disk) => (disk.state === 'bound' && disk.connected ? 'connected' : disk.state),
  },
  PID: { meaning: 'process', right: true, value: (disk) => disk.pid },
  SERIAL: { meaning: 'what the guest sees as the serial', value: (disk) => disk.serial },
  ENGINE: { meaning: 'how the file is read and written', value: (disk) => disk.engine },
};

const DEFAULT_COLUMNS = [
  'NAME',
  'SIZELIMIT',
  'OFFSET',
  'RO',
  'BACK-FILE',
  'DIO',
  'LOG-SEC',
  'SOCKET',
  'QUEUES',
  'STATE',
];

function columnsOf({ values }: VerbArgs): string[] {
  if (values['output-all'] === true) return Object.keys(LIST_COLUMNS);
  const wanted = values['output'];
  if (typeof wanted !== 'string') return DEFAULT_COLUMNS;
  const names = wanted.split(',').map((name) => name.trim().toUpperCase());
  const unknown = names.find((name) => !Object.hasOwn(LIST_COLUMNS, name));
  if (unknown === undefined) return names;
  const known = Object.keys(LIST_COLUMNS).join(', ');
  throw new OptionsError(`--output=${wanted}: no column "${unknown}", expected some of ${known}`);
}

function jsonOf(disks: readonly DiskStatus[], columns: readonly string[]): string {
  const rows = disks.map((disk) =>
    Object.fromEntries(
      columns.map((name) => [name.toLowerCase(), LIST_COLUMNS[name]!.value(disk)]),
    ),
  );
  return `${JSON.stringify({ disks: rows }, null, 3)}\n`;
}

function textOf(cell: Cell): string {
  if (typeof cell === 'boolean') return cell ? '1' : '0';
  return cell === null ? '' : String(cell);
}

export const listVerb: Verb = {
  summary: 'the disks that are served',
  words: '[DISK…]',
  options: {
    json: { value: null, short: 'J', meaning: 'as JSON' },
    output: { value: 'COLUMNS', short: 'O', meaning: 'these columns, with commas' },
    'output-all': { value: null, meaning: 'all columns' },
    raw: { value: null, meaning: 'fields separated by one blank, blanks in them as \\x20' },
    noheadings: { value: null, short: 'n', meaning: 'without the line of headings' },
    associated: { value: 'FILE', short: 'j', meaning: 'only disks whose backing file this is' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run(args) {
    const { words, values } = args;
    const columns = columnsOf(args);
    const file = values['associated'];
    const disks = await withDisks(async (found) => {
      const picked = words.length === 0 ? found : words.map((word) => pickDisk(found, word));
      return picked.map(({ status }) => status);
    });
    const shown = disks.filter(
      ({ back_file }) => typeof file !== 'string' || back_file === resolve(file),
    );
    if (values['json'] === true) {
      process.stdout.write(jsonOf(shown, columns));
      return 0;
    }
    const rows = shown.map((disk) =>
      columns.map((name) => textOf(LIST_COLUMNS[name]!.value(disk))),
    );
    const heads = values['noheadings'] === true ? null : columns;
    const right = columns.map((name) => LIST_COLUMNS[name]!.right === true);
    if (heads !== null && rows.length === 0) return 0;
    const lines = values['raw'] === true ? rawLines(heads, rows) : tableLines(heads, rows, right);
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
    return 0;
  },
};
