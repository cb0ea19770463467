/**
 * The DOS label: four records in the first sector, and the chain of logical partitions in an extended one, each link
 * a sector of its own. A chain may lead anywhere, also back: links are counted. Source: UEFI 2.10 §5.2;
 * block/partitions/msdos.c.
 */
import {
  LINUX_PARTITIONS_MAX,
  MBR_TYPE_NAMES,
  MBR_TYPES_EXTENDED,
} from '../../protocol/partition-tables.ts';
import { BOOTABLE, linkRecordsOf, MBR_BYTES, type MbrRecord } from './mbr-records.ts';
import type { Partition, PartitionTable, ReadableDisk } from './partition.ts';

/** Links of a chain that have no partition; Linux stops at so many in a row. */
const EMPTY_LINKS_MAX = 100;
const FIRST_LOGICAL = 5;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

function isExtended(type: number): boolean {
  return MBR_TYPES_EXTENDED.includes(type);
}

function partitionOf(
  { type, bootIndicator, blockCount }: MbrRecord,
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
    bootable: bootIndicator === BOOTABLE,
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
    await followChain(disk, record, diskId, logical, damage);
  }
  return { kind: 'dos', id: hex(diskId, 8), partitions: [...primary, ...logical], damage };
}

/** Linux takes the last two records of a link, which are mostly garbage, only when they lie within it and the chain. */
function isWithin(
  { firstBlock, blockCount }: MbrRecord,
  slot: number,
  link: Link,
  extended: MbrRecord,
): boolean {
  if (slot < 2) return true;
  const end = firstBlock + blockCount;
  const within = link.block + end <= extended.firstBlock + extended.blockCount;
  return end <= link.blockCount && within;
}

interface Link {
  readonly block: number;
  readonly blockCount: number;
}

/** Adds the logical partitions of one extended partition. */
async function followChain(
  disk: ReadableDisk,
  extended: MbrRecord,
  diskId: number,
  logical: Partition[],
  damage: string[],
): Promise<void> {
  let link: Link = { block: extended.firstBlock, blockCount: extended.blockCount };
  for (let emptyLinks = 0; ; ) {
    if (emptyLinks === EMPTY_LINKS_MAX) {
      damage.push(`the chain of logical partitions has ${EMPTY_LINKS_MAX} links without one`);
      return;
    }
    const at = link.block * disk.blockSizeBytes;
    const records = at < disk.sizeBytes ? linkRecordsOf(await disk.read(at, MBR_BYTES)) : null;
    if (records === null) {
      damage.push(`the chain of logical partitions leads to block ${link.block}, which is no link`);
      return;
    }
    const before = logical.length;
    for (const [slot, record] of records.entries()) {
      if (record.blockCount === 0 || isExtended(record.type)) continue;
      if (!isWithin(record, slot, link, extended)) continue;
      const number = FIRST_LOGICAL + logical.length;
      if (number > LINUX_PARTITIONS_MAX) {
        damage.push(`there are more than ${LINUX_PARTITIONS_MAX} partitions`);
        return;
      }
      const firstBlock = link.block + record.firstBlock;
      logical.push(partitionOf(record, disk, { number, firstBlock, diskId }));
    }
    if (logical.length === before) emptyLinks++;
    const next = records.find((record) => record.blockCount > 0 && isExtended(record.type));
    if (next === undefined) return;
    link = { block: extended.firstBlock + next.firstBlock, blockCount: next.blockCount };
  }
}
