/**
 * `vloop list`: the disks that are served, in losetup's columns and some more. Tables for people, raw lines and
 * JSON for programs.
 */

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import { type Cell, type Columns, chosenColumns, LISTING_OPTIONS, listing } from './listing.ts';
import { PARTITION_COLUMNS, PARTITION_COLUMNS_SHOWN, partitionRows } from './partition-rows.ts';
import { type FoundDisk, pickDisk, withDisks } from './processes.ts';
import type { Verb, VerbArgs } from './verb.ts';

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
export const LIST_COLUMNS: Columns<DiskStatus> = {
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

/** The disks that are meant, and whether all processes have answered. */
function picked({ words, values }: VerbArgs, found: readonly FoundDisk[]): readonly FoundDisk[] {
  const meant = words.length === 0 ? found : words.map((word) => pickDisk(found, word));
  const file = values['associated'];
  if (typeof file !== 'string') return meant;
  return meant.filter(({ status }) => status.back_file === resolve(file));
}

function columnsOf({ values }: VerbArgs): string[] {
  return values['partitions'] === true
    ? chosenColumns(PARTITION_COLUMNS, PARTITION_COLUMNS_SHOWN, values)
    : chosenColumns(LIST_COLUMNS, DEFAULT_COLUMNS, values);
}

export const listVerb: Verb = {
  summary: 'the disks that are served',
  words: '[DISK…]',
  options: {
    ...LISTING_OPTIONS,
    associated: { value: 'FILE', short: 'j', meaning: 'only disks whose backing file this is' },
    partitions: {
      value: null,
      meaning: 'the partitions that the disks hold, as a guest sees them',
    },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run(args) {
    const { words, values } = args;
    const columns = columnsOf(args);
    const { text, complete } = await withDisks(async (found, silent) => {
      const disks = picked(args, found);
      const heard = words.length > 0 || silent === 0;
      if (values['partitions'] !== true) {
        const rows = disks.map(({ status }) => status);
        return { text: listing('disks', LIST_COLUMNS, columns, rows, values), complete: heard };
      }
      const { rows, complete } = await partitionRows(disks, words.length > 0);
      return {
        text: listing('partitions', PARTITION_COLUMNS, columns, rows, values),
        complete: complete && heard,
      };
    });
    process.stdout.write(text);
    return complete ? 0 : 1;
  },
};
