/**
 * The four partition records of a sector with a boot signature: the first one of a disk, and each link of a chain of
 * logical partitions. Source: UEFI 2.10 §5.2.1.
 */
import {
  MBR_RECORDS,
  MBR_RECORDS_OFFSET,
  MBR_SIGNATURE,
  MBR_SIGNATURE_OFFSET,
  mbrPartitionRecord,
} from '../../protocol/partition-tables.ts';

export const MBR_BYTES = 512;
export const BOOTABLE = 0x80;

export interface MbrRecord {
  readonly type: number;
  readonly bootIndicator: number;
  readonly firstBlock: number;
  readonly blockCount: number;
}

/** The four records of a link; null: it has no signature. */
export function linkRecordsOf(sector: Uint8Array): readonly MbrRecord[] | null {
  if (sector.length < MBR_BYTES) return null;
  const view = viewOf(sector);
  if (view.getUint16(MBR_SIGNATURE_OFFSET, true) !== MBR_SIGNATURE) return null;
  const { at, sizeBytes } = mbrPartitionRecord;
  const records: MbrRecord[] = [];
  for (let slot = 0; slot < MBR_RECORDS; slot++) {
    const record = MBR_RECORDS_OFFSET + slot * sizeBytes;
    records.push({
      type: view.getUint8(record + at.OSType),
      bootIndicator: view.getUint8(record + at.BootIndicator),
      firstBlock: view.getUint32(record + at.StartingLBA, true),
      blockCount: view.getUint32(record + at.SizeInLBA, true),
    });
  }
  return records;
}

/** Those of a disk's first sector; null: it has none, or boot code of a file system in their place. */
export function recordsOf(sector: Uint8Array): readonly MbrRecord[] | null {
  const records = linkRecordsOf(sector);
  const known = records?.every(({ bootIndicator }) => [0, BOOTABLE].includes(bootIndicator));
  return known === true ? records : null;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
