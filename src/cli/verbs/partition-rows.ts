/**
 * `vloop list --partitions`: the partitions of disks as rows, in partx's and lsblk's words. Places and sizes are bytes,
 * as in the other columns, so that they can stand behind `--offset` and `--size-limit`.
 */
import type { DiskPartitions } from '../../control/schema/disk-partitions.ts';
import type { Columns } from './listing.ts';
import type { FoundDisk } from './processes.ts';

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

/** Of all disks that have a file. What is wrong with a table is told on stderr. */
export async function partitionRows(disks: readonly FoundDisk[]): Promise<PartitionRow[]> {
  const rows: PartitionRow[] = [];
  for (const { status, client } of disks) {
    if (status.back_file === null) continue;
    const disk = status.name;
    const { table, damage, partitions } = await client.call('disk_get_partitions', { disk });
    for (const sentence of damage) process.stderr.write(`vloop: ${disk}: ${sentence}\n`);
    for (const row of partitions) {
      if (row.problem !== null) {
        process.stderr.write(`vloop: ${disk}: partition ${row.number}: ${row.problem}\n`);
      }
      rows.push({ ...row, disk, table });
    }
  }
  return rows;
}
