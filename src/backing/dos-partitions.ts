/**
 * The DOS label: four records in the first sector, and the chain of logical partitions in an extended one, each link
 * a sector of its own. A chain may lead anywhere, also back: links are counted. Source: UEFI 2.10 §5.2;
 * block/partitions/msdos.c.
 */
import { MBR_TYPE_NAMES, MBR_TYPES_EXTENDED } from '../../protocol/partition-tables.ts';
import { MBR_BYTES, type MbrRecord, recordsOf } from './mbr-records.ts';
import type { Partition, PartitionTable, ReadableDisk } from './partition.ts';

/** Linux stops after a hundred links without a partition, and has minors for 255 partitions at most. */
const LINKS_MAX = 255;
const FIRST_LOGICAL = 5;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

function isExtended(type: number): boolean {
  return MBR_TYPES_EXTENDED.includes(type);
}

function partitionOf(
  { type, bootable, blockCount }: MbrRecord,
  { blockSizeBytes }: ReadableDisk,
  place: { readonly number: number; readonly firstBlock: number; readonly diskId: number },
): Partition {
  return {
    number: place.number,
    offsetBytes: place.firstBlock * blockSizeBytes,
    sizeBytes: blockCount * blockSizeBytes,
    type: `0x${hex(type, 2)}`,
    typeName: MBR_TYPE_NAMES[type] ?? null,
    name: null,
    uuid: `${hex(place.diskId, 8)}-${hex(place.number, 2)}`,
    bootable,
    extended: isExtended(type),
  };
}

/** `records`: those of the first sector. */
export async function dosPartitions(
  disk: ReadableDisk,
  records: readonly MbrRecord[],
  diskId: number,
): Promise<PartitionTable> {
  const used = records.flatMap((record, slot) =>
    record.blockCount === 0 ? [] : [{ record, number: slot + 1 }],
  );
  const primary = used.map(({ record, number }) =>
    partitionOf(record, disk, { number, firstBlock: record.firstBlock, diskId }),
  );
  const damage: string[] = [];
  const logical: Partition[] = [];
  for (const { record } of used.filter((one) => isExtended(one.record.type))) {
    await followChain(disk, record.firstBlock, diskId, logical, damage);
  }
  return { kind: 'dos', id: hex(diskId, 8), partitions: [...primary, ...logical], damage };
}

/** Adds the logical partitions of one extended partition. */
async function followChain(
  disk: ReadableDisk,
  baseBlock: number,
  diskId: number,
  logical: Partition[],
  damage: string[],
): Promise<void> {
  let linkBlock = baseBlock;
  for (let links = 0; ; links++) {
    if (links === LINKS_MAX) {
      damage.push(`the chain of logical partitions has more than ${LINKS_MAX} links`);
      return;
    }
    const at = linkBlock * disk.blockSizeBytes;
    const records = at < disk.sizeBytes ? recordsOf(await disk.read(at, MBR_BYTES)) : null;
    if (records === null) {
      damage.push(`the chain of logical partitions leads to block ${linkBlock}, which is no link`);
      return;
    }
    for (const record of records) {
      if (record.blockCount === 0 || isExtended(record.type)) continue;
      const number = FIRST_LOGICAL + logical.length;
      const firstBlock = linkBlock + record.firstBlock;
      logical.push(partitionOf(record, disk, { number, firstBlock, diskId }));
    }
    const next = records.find((record) => record.blockCount > 0 && isExtended(record.type));
    if (next === undefined) return;
    linkBlock = baseBlock + next.firstBlock;
  }
}
