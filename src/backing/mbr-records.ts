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

export interface MbrRecord {
  readonly type: number;
  readonly bootable: boolean;
  readonly firstBlock: number;
  readonly blockCount: number;
}

/** The four records of a sector that has the signature; null: it is none, or boot code of a file system. */
export function recordsOf(sector: Uint8Array): readonly MbrRecord[] | null {
  if (sector.length < MBR_BYTES) return null;
  const view = viewOf(sector);
  if (view.getUint16(MBR_SIGNATURE_OFFSET, true) !== MBR_SIGNATURE) return null;
  const { at, sizeBytes } = mbrPartitionRecord;
  const records: MbrRecord[] = [];
  for (let slot = 0; slot < MBR_RECORDS; slot++) {
    const record = MBR_RECORDS_OFFSET + slot * sizeBytes;
    const indicator = view.getUint8(record + at.BootIndicator);
    if (indicator !== 0 && indicator !== 0x80) return null;
    records.push({
      type: view.getUint8(record + at.OSType),
      bootable: indicator === 0x80,
      firstBlock: view.getUint32(record + at.StartingLBA, true),
      blockCount: view.getUint32(record + at.SizeInLBA, true),
    });
  }
  return records;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
