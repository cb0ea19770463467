/**
 * The virtio-blk config space: built from the disk's shape, read and written by ranges.
 * Source: virtio 1.3 §5.2.4; the only writable field is writeback (§5.2.5.2). Pure.
 */
import { SECTOR_SIZE, virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { type DiskShape, RANGE_SECTORS_MAX, SEG_MAX } from './disk-shape.ts';

const AT = virtioBlkConfig.at;

/** The 96 bytes as a guest reads them. `writeback` is the live cache mode. */
export function encodeConfigSpace(shape: DiskShape, writeback: boolean): Uint8Array {
  const bytes = new Uint8Array(virtioBlkConfig.sizeBytes);
  const view = new DataView(bytes.buffer);
  const blocksPerPhysical = Math.max(1, shape.physicalBlockBytes / shape.blockSizeBytes);
  view.setUint32(AT.capacity, shape.capacitySectors % 2 ** 32, true);
  view.setUint32(AT.capacity + 4, Math.floor(shape.capacitySectors / 2 ** 32), true);
  view.setUint32(AT.seg_max, SEG_MAX, true);
  view.setUint32(AT.blk_size, shape.blockSizeBytes, true);
  view.setUint8(AT.physical_block_exp, Math.log2(blocksPerPhysical));
  view.setUint8(AT.alignment_offset, 0);
  view.setUint16(AT.min_io_size, blocksPerPhysical, true);
  // 0 = no preference: a made-up stripe size would misalign partitions.
  view.setUint32(AT.opt_io_size, 0, true);
  view.setUint8(AT.wce, writeback ? 1 : 0);
  view.setUint16(AT.num_queues, shape.queueCount, true);
  // Fields of a feature that is not offered are zero.
  if (shape.discard) {
    view.setUint32(AT.max_discard_sectors, RANGE_SECTORS_MAX, true);
    view.setUint32(AT.max_discard_seg, shape.rangesMax, true);
    const granularity = Math.max(shape.discardGranularityBytes, shape.blockSizeBytes);
    view.setUint32(AT.discard_sector_alignment, granularity / SECTOR_SIZE, true);
  }
  view.setUint32(AT.max_write_zeroes_sectors, RANGE_SECTORS_MAX, true);
  view.setUint32(AT.max_write_zeroes_seg, shape.rangesMax, true);
  view.setUint8(AT.write_zeroes_may_unmap, shape.zeroesUnmap ? 1 : 0);
  return bytes;
}

/** Whether a write of `size` bytes at `offset` touches the writeback byte and nothing else. */
export function isWritebackWrite(offset: number, size: number): boolean {
  return offset === AT.wce && size === 1;
}
