/**
 * `vloop list --partitions`: the partitions of disks as rows, in partx's and lsblk's words. Places and sizes are bytes,
 * as in the other columns, so that they can stand behind `--offset` and `--size-limit`.
 */
import { ControlError } from '../../control/controlled-disk.ts';
import type { DiskPartitions } from '../../control/schema/disk-partitions.ts';
import type { Columns } from './listing.ts';
import type { FoundDisk } from './processes.ts';

/** As long as a look at a disk takes, unless its storage hangs. */
const READ_LIMIT_MS = 10_000;

type Partition = DiskPartitions['partitions'][number];

interface PartitionRow extends Partition {
  readonly disk: string;
  readonly table: DiskPartitions['table'];
}

export const PARTITION_COLUMNS: Columns<PartitionRow> = {
  DISK: { meaning: 'the disk', value: (row) => row.disk },
  NR: { meaning: 'number of the partition', right: true, value: (row) => row.number },
  START: { meaning: 'where it starts, in bytes', right: true, value: (row) => row.start },
  SIZE: { meaning: 'size in bytes', right: true, value: (row) => row.size },
  TYPE: { meaning: 'what it is for', value: (row) => row.type_name ?? row.type },
  NAME: { meaning: 'its name in a GPT', value: (row) => row.name },
  PARTUUID: { meaning: 'its UUID, as /dev/disk/by-partuuid has it', value: (row) => row.uuid },
  BOOT: { meaning: 'bootable', right: true, value: (row) => row.bootable },
  PARTTYPE: { meaning: 'code of the type', value: (row) => row.type },
  PTTYPE: { meaning: 'kind of the table: dos or gpt', value: (row) => row.table },
  PROBLEM: { meaning: 'why it cannot be used', value: (row) => row.problem },
};

export const PARTITION_COLUMNS_SHOWN = ['DISK', 'NR', 'START', 'SIZE', 'TYPE', 'NAME', 'PARTUUID'];

interface PartitionList {
  readonly rows: readonly PartitionRow[];
  /** No disk was left out. */
  readonly complete: boolean;
}

const say = (disk: string, sentence: string) =>
  process.stderr.write(`vloop: ${disk}: ${sentence}\n`);

/** Null: the disk cannot be read, or its process does not answer, which costs the others nothing. */
async function rowsOf(
  { status, client }: FoundDisk,
  named: boolean,
): Promise<PartitionRow[] | null> {
  const disk = status.name;
  try {
    const { table, damage, partitions } = await client.call(
      'disk_get_partitions',
      { disk },
      READ_LIMIT_MS,
    );
    if (table === null && named) say(disk, 'it has no partition table');
    for (const sentence of damage) say(disk, sentence);
    for (const { number, problem } of partitions) {
      if (problem !== null) say(disk, `partition ${number}: ${problem}`);
    }
    return partitions.map((partition) => ({ ...partition, disk, table }));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    say(disk, error.message);
    return null;
  }
}

/** Of all disks that have a file. What is wrong with a table is told on stderr; for `named` ones also that there is none. */
export async function partitionRows(
  disks: readonly FoundDisk[],
  named: boolean,
): Promise<PartitionList> {
  const withFile = disks.filter(({ status }) => named || status.back_file !== null);
  // All at once: one that hangs costs its time once.
  const answers = await Promise.all(withFile.map((disk) => rowsOf(disk, named)));
  return {
    rows: answers.flatMap((rows) => rows ?? []),
    complete: !answers.includes(null),
  };
}
