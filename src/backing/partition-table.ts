/**
 * The partition table of a disk as its guest's kernel would read it (block/partitions in Linux): a GPT where a
 * protective record stands before one, else a DOS label. Nothing in it is believed: sizes, chains and checksums are
 * checked, and all that is read has a bound. Cold path; the bytes come from whoever asks.
 */
import { MBR_DISK_ID_OFFSET, MBR_TYPE_PROTECTIVE } from '../../protocol/partition-tables.ts';
import { dosPartitions } from './dos-partitions.ts';
import { readGpt } from './gpt-partitions.ts';
import { MBR_BYTES, recordsOf, viewOf } from './mbr-records.ts';
import type { PartitionTable, ReadableDisk } from './partition.ts';

/** Null: the disk has no table that is understood. */
export async function readPartitionTable(disk: ReadableDisk): Promise<PartitionTable | null> {
  const sector = await disk.read(0, MBR_BYTES);
  const records = recordsOf(sector);
  if (records === null) return null;
  if (records.some(({ type }) => type === MBR_TYPE_PROTECTIVE)) return await readGpt(disk);
  const diskId = viewOf(sector).getUint32(MBR_DISK_ID_OFFSET, true);
  // A file system's first sector may bear the signature and have zeroes where records would be.
  if (diskId === 0 && records.every(({ blockCount }) => blockCount === 0)) return null;
  return await dosPartitions(disk, records, diskId);
}
