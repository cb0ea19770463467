/**
 * The GUID partition table: the header and entries at the disk's start, or those at its end when the first are
 * damaged. A header counts when its checksums do. Source: UEFI 2.10 §5.3; block/partitions/efi.c.
 */
import { crc32 } from 'node:zlib';
import {
  GPT_HEADER_LBA,
  GPT_SIGNATURE,
  GPT_TYPE_NAMES,
  gptHeader,
  gptPartitionEntry,
  LINUX_PARTITIONS_MAX,
} from '../../protocol/partition-tables.ts';
import { viewOf } from './mbr-records.ts';
import type { Partition, PartitionTable, ReadableDisk } from './partition.ts';

/** 128 entries of 128 bytes are usual, and what all tools write. */
const ENTRIES_BYTES_MAX = 256 * 1024;
const ENTRY_BYTES_MAX = 4096;
const NAME_CHARACTERS = 36;

interface Header {
  readonly id: string;
  readonly entriesBlock: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** As text, with the first three groups in the byte order of the table. */
function guidOf(view: DataView, at: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  const bytes = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => hex(view.getUint8(at + from + i), 2)).join('');
  const groups = [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
    bytes(8, 10),
    bytes(10, 16),
  ];
  return groups.join('-').toUpperCase();
}

const NO_GUID = '00000000-0000-0000-0000-000000000000';

/** The header in a block, or what is wrong with it. */
function headerOf(block: Uint8Array, ownBlock: number): Header | string {
  const { at, sizeBytes } = gptHeader;
  if (block.length < sizeBytes) return 'is beyond the end';
  const view = viewOf(block);
  if (Buffer.from(block.subarray(0, 8)).toString('latin1') !== GPT_SIGNATURE) return 'is not there';
  const headerBytes = view.getUint32(at.HeaderSize, true);
  if (headerBytes < sizeBytes || headerBytes > block.length) return `says ${headerBytes} bytes`;
  const covered = Uint8Array.from(block.subarray(0, headerBytes));
  covered.fill(0, at.HeaderCRC32, at.HeaderCRC32 + 4);
  if (crc32(covered) !== view.getUint32(at.HeaderCRC32, true)) return 'has a wrong checksum';
  if (Number(view.getBigUint64(at.MyLBA, true)) !== ownBlock) return 'belongs to another block';
  const entryCount = view.getUint32(at.NumberOfPartitionEntries, true);
  const entryBytes = view.getUint32(at.SizeOfPartitionEntry, true);
  if (entryBytes % gptPartitionEntry.sizeBytes !== 0 || entryBytes === 0) {
    return `has entries of ${entryBytes} bytes`;
  }
  if (entryBytes > ENTRY_BYTES_MAX || entryCount * entryBytes > ENTRIES_BYTES_MAX) {
    return `has ${entryCount} entries of ${entryBytes} bytes, more than are read`;
  }
  return {
    id: guidOf(view, at.DiskGUID),
    entriesBlock: Number(view.getBigUint64(at.PartitionEntryLBA, true)),
    entryCount,
    entryBytes,
    entriesCrc: view.getUint32(at.PartitionEntryArrayCRC32, true),
  };
}

/** The table whose header is in a block, or what is wrong with it. */
async function tableAt(
  disk: ReadableDisk,
  headerBlock: number,
): Promise<Omit<PartitionTable, 'damage'> | string> {
  const { blockSizeBytes } = disk;
  const block = await disk.read(headerBlock * blockSizeBytes, blockSizeBytes);
  const header = headerOf(block, headerBlock);
  if (typeof header === 'string') return `its header ${header}`;
  const entriesAt = header.entriesBlock * blockSizeBytes;
  const entriesBytes = header.entryCount * header.entryBytes;
  if (entriesAt + entriesBytes > disk.sizeBytes) return 'its entries are beyond the end';
  const entries = await disk.read(entriesAt, entriesBytes);
  if (entries.length < entriesBytes) return 'its entries are beyond the end';
  if (crc32(entries) !== header.entriesCrc) return 'its entries have a wrong checksum';
  return { kind: 'gpt', id: header.id, partitions: partitionsOf(entries, header, blockSizeBytes) };
}

function partitionsOf(
  entries: Uint8Array,
  { entryCount, entryBytes }: Header,
  blockSizeBytes: number,
): Partition[] {
  const view = viewOf(entries);
  const { at } = gptPartitionEntry;
  const partitions: Partition[] = [];
  for (let index = 0; index < Math.min(entryCount, LINUX_PARTITIONS_MAX); index++) {
    const entry = index * entryBytes;
    const type = guidOf(view, entry + at.PartitionTypeGUID);
    const first = Number(view.getBigUint64(entry + at.StartingLBA, true));
    const last = Number(view.getBigUint64(entry + at.EndingLBA, true));
    if (type === NO_GUID || last < first) continue;
    partitions.push({
      number: index + 1,
      offsetBytes: first * blockSizeBytes,
      sizeBytes: (last - first + 1) * blockSizeBytes,
      type,
      typeName: GPT_TYPE_NAMES[type] ?? null,
      name: nameOf(view, entry + at.PartitionName),
      uuid: guidOf(view, entry + at.UniquePartitionGUID).toLowerCase(),
      bootable: (view.getUint8(entry + at.Attributes) & 4) !== 0,
      extended: false,
    });
  }
  return partitions;
}

/** Whoever writes the table writes names: control characters would write on a terminal. */
function nameOf(view: DataView, at: number): string | null {
  let name = '';
  for (let i = 0; i < NAME_CHARACTERS; i++) {
    const unit = view.getUint16(at + i * 2, true);
    if (unit === 0) break;
    name += String.fromCharCode(unit);
  }
  const shown = name.toWellFormed().replace(/\p{C}/gu, '\ufffd');
  return shown === '' ? null : shown;
}

/** Null: neither of the two is a table. */
export async function readGpt(disk: ReadableDisk): Promise<PartitionTable | null> {
  const first = await tableAt(disk, GPT_HEADER_LBA);
  if (typeof first !== 'string') return { ...first, damage: [] };
  const lastBlock = Math.floor(disk.sizeBytes / disk.blockSizeBytes) - 1;
  if (lastBlock <= GPT_HEADER_LBA) return null;
  const backup = await tableAt(disk, lastBlock);
  if (typeof backup === 'string') return null;
  return {
    ...backup,
    damage: [
      `the first table cannot be used (${first}): this is the backup, which Linux takes only when told so (gpt on its command line)`,
    ],
  };
}
