/**
 * What a disk looks like to a guest: the numbers that the config space shows and that requests are
 * checked against. One object, so that what is promised and what is enforced cannot differ.
 */

export interface DiskShape {
  readonly capacitySectors: number;
  /** Logical block size in bytes: 512 up to 4096 or more, a power of two. */
  readonly blockSizeBytes: number;
  /** Physical block size in bytes, at least the logical one (TOPOLOGY). */
  readonly physicalBlockBytes: number;
  /** What a discard should be a multiple of, in bytes: the file system's block. */
  readonly discardGranularityBytes: number;
  readonly readOnly: boolean;
  /** Discard is offered (to writable disks): a guest may make holes in the file. */
  readonly discard: boolean;
  /** A hole in the file reads as zeroes, so that write-zeroes may make one. */
  readonly zeroesUnmap: boolean;
  readonly queueCount: number;
  /** Ranges in one discard or write-zeroes request, RANGES_MAX at most. */
  readonly rangesMax: number;
  /** GET_ID answer: at most 20 bytes of Latin-1. */
  readonly serial: string;
}

/**
 * Data segments in one request: with header and status a chain then fits QEMU's default ring of 128,
 * which the spec's limit (chain ≤ queue size) demands of drivers without indirect descriptors.
 */
export const SEG_MAX = 126;

/** Ranges in one discard or write-zeroes request, whatever the disk. */
export const RANGES_MAX = 16;

/**
 * Sectors in one range: 1 GiB, so that a range which has to be written as zeroes (no fallocate) still
 * ends in seconds.
 */
export const RANGE_SECTORS_MAX = 2 ** 21;
