/**
 * virtio-blk wire formats: request header, discard segment, config space, feature bits, types, status.
 * Source: virtio 1.3 §5.2 (block device); linux/virtio_blk.h. Data only.
 */
import { codes, struct } from './layout.ts';

export const virtioBlkOuthdr = struct('virtio_blk_outhdr', 'virtio 1.3 §5.2.6', 16, {
  type: ['le32', 'VIRTIO_BLK_T_*'],
  ioprio: ['le32', 'reserved (the legacy I/O priority)'],
  sector: ['le64', 'offset in sectors of 512 bytes'],
});

export const virtioBlkDiscardWriteZeroes = struct(
  'virtio_blk_discard_write_zeroes',
  'virtio 1.3 §5.2.6',
  16,
  {
    sector: ['le64', 'first sector of the range'],
    num_sectors: ['le32', 'number of sectors'],
    flags: ['le32', 'VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP'],
  },
);

export const virtioBlkConfig = struct('virtio_blk_config', 'virtio 1.3 §5.2.4', 96, {
  capacity: ['le64', 'sectors of 512 bytes'],
  size_max: ['le32', 'largest segment in bytes (SIZE_MAX)'],
  seg_max: ['le32', 'most data segments in a request (SEG_MAX)'],
  cylinders: ['le16', 'geometry (GEOMETRY)'],
  heads: ['u8', 'geometry (GEOMETRY)'],
  sectors: ['u8', 'geometry (GEOMETRY)'],
  blk_size: ['le32', 'logical block size in bytes (BLK_SIZE)'],
  physical_block_exp: ['u8', 'log2 of logical blocks per physical block (TOPOLOGY)'],
  alignment_offset: ['u8', 'offset of the first aligned logical block (TOPOLOGY)'],
  min_io_size: ['le16', 'minimum I/O size in logical blocks (TOPOLOGY)'],
  opt_io_size: ['le32', 'optimal I/O size in logical blocks (TOPOLOGY)'],
  wce: ['u8', 'writeback: 1 = write back, 0 = write through (CONFIG_WCE)'],
  unused: ['u8', 'padding'],
  num_queues: ['le16', 'number of virtqueues (MQ)'],
  max_discard_sectors: ['le32', 'most sectors in one discard segment (DISCARD)'],
  max_discard_seg: ['le32', 'most discard segments (DISCARD)'],
  discard_sector_alignment: ['le32', 'discard granularity in sectors (DISCARD)'],
  max_write_zeroes_sectors: ['le32', 'most sectors in one write-zeroes segment (WRITE_ZEROES)'],
  max_write_zeroes_seg: ['le32', 'most write-zeroes segments (WRITE_ZEROES)'],
  write_zeroes_may_unmap: ['u8', '1 if write-zeroes with unmap may deallocate (WRITE_ZEROES)'],
  unused1: ['bytes[3]', 'padding'],
  max_secure_erase_sectors: ['le32', 'SECURE_ERASE, not offered'],
  max_secure_erase_seg: ['le32', 'SECURE_ERASE, not offered'],
  secure_erase_sector_alignment: ['le32', 'SECURE_ERASE, not offered'],
  zoned: ['bytes[24]', 'ZONED, not offered'],
});

/** sector and capacity count in these, whatever the logical block size. */
export const SECTOR_SIZE = 512;

export const VIRTIO_BLK_F_BARRIER = 0;
export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_GEOMETRY = 4;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_SCSI = 7;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_TOPOLOGY = 10;
export const VIRTIO_BLK_F_CONFIG_WCE = 11;
export const VIRTIO_BLK_F_MQ = 12;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;
export const VIRTIO_BLK_F_LIFETIME = 15;
export const VIRTIO_BLK_F_SECURE_ERASE = 16;
export const VIRTIO_BLK_F_ZONED = 17;

export const virtioBlkFeatures = codes('VIRTIO_BLK_F (bits)', 'virtio 1.3 §5.2.3', {
  VIRTIO_BLK_F_BARRIER,
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_GEOMETRY,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_SCSI,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_F_LIFETIME,
  VIRTIO_BLK_F_SECURE_ERASE,
  VIRTIO_BLK_F_ZONED,
});

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_SCSI_CMD = 2;
export const VIRTIO_BLK_T_FLUSH = 4;
/** Legacy synonym of FLUSH. */
export const VIRTIO_BLK_T_FLUSH_OUT = 5;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_GET_LIFETIME = 10;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;
export const VIRTIO_BLK_T_SECURE_ERASE = 14;
/** Legacy barrier flag in the type word: masked off. */
export const VIRTIO_BLK_T_BARRIER = 0x80000000;

export const virtioBlkTypes = codes('VIRTIO_BLK_T', 'virtio 1.3 §5.2.6', {
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_SCSI_CMD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_FLUSH_OUT,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_GET_LIFETIME,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_T_SECURE_ERASE,
});

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

export const virtioBlkStatus = codes('VIRTIO_BLK_S', 'virtio 1.3 §5.2.6', {
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_UNSUPP,
});

export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

/** GET_ID answers at most this many bytes, NUL padded, without a terminator when full. */
export const VIRTIO_BLK_ID_BYTES = 20;
