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

/** As stat packs them: 12 bits of major number, 20 of minor (new_encode_dev, include/linux/kdev_t.h). */
function deviceNumbers(dev: number): string {
  const major = (dev >>> 8) & 0xfff;
  const minor = ((dev >>> 12) & 0xfff00) | (dev & 0xff);
  return `${major}:${minor}`;
}

function stateOf({ state, connected, quiesced }: DiskStatus): string {
  if (state !== 'bound') return state;
  if (quiesced) return 'quiesced';
  return connected ? 'connected' : state;
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
  AUTOCLEAR: {
    meaning: 'the disk ends when its front-end goes',
    right: true,
    value: (disk) => disk.autoclear,
  },
  RO: { meaning: 'read-only', right: true, value: (disk) => disk.read_only },
  'BACK-FILE': { meaning: 'backing file', value: (disk) => disk.back_file },
  'BACK-INO': {
    meaning: "the file's inode",
    right: true,
    value: (disk) => fileFact(disk, (file) => Number(file!.ino)),
  },
  'BACK-MAJ:MIN': {
    meaning: "the file's device",
    right: true,
    value: (disk) => fileFact(disk, (file) => deviceNumbers(Number(file!.dev))),
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
  INFLIGHT: {
    meaning: 'requests taken and not answered',
    right: true,
    value: (disk) => disk.in_flight,
  },
  STATE: { meaning: 'bound, connected, quiesced, rundown', value: stateOf },
  PID: { meaning: 'process', right: true, value: (disk) => disk.pid },
  SERIAL: { meaning: 'what the guest sees as the serial', value: (disk) => disk.serial },
  ENGINE: { meaning: 'how the file is read and written', value: (disk) => disk.engine },
};

const DEFAULT_COLUMNS = [
  'NAME',
  'SIZELIMIT',
  'OFFSET',
  'AUTOCLEAR',
  'RO',
  'BACK-FILE',
  'DIO',
  'LOG-SEC',
  'SOCKET',
  'QUEUES',
  'INFLIGHT',
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

function listText({ values }: VerbArgs, columns: string[], disks: readonly DiskStatus[]): string {
  if (values['json'] === true) return jsonOf(disks, columns);
  const rows = disks.map((disk) => columns.map((name) => textOf(LIST_COLUMNS[name]!.value(disk))));
  const heads = values['noheadings'] === true ? null : columns;
  if (rows.length === 0) return '';
  const right = columns.map((name) => LIST_COLUMNS[name]!.right === true);
  const lines = values['raw'] === true ? rawLines(heads, rows) : tableLines(heads, rows, right);
  return lines.map((line) => `${line}\n`).join('');
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
    const { disks, complete } = await withDisks(async (found, silent) => {
      const picked = words.length === 0 ? found : words.map((word) => pickDisk(found, word));
      return {
        disks: picked.map(({ status }) => status),
        complete: words.length > 0 || silent === 0,
      };
    });
    const shown = disks.filter(
      ({ back_file }) => typeof file !== 'string' || back_file === resolve(file),
    );
    process.stdout.write(listText(args, columns, shown));
    return complete ? 0 : 1;
  },
};
