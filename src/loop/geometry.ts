/**
 * How much of a backing file a disk shows: the loop driver's get_loop_size with an offset and a size
 * limit, floored to whole logical blocks. Pure.
 */

/** What a disk makes of its file, as asked for: struct loop_config. */
export interface DiskSettings {
  readonly offsetBytes: number;
  /** 0 = no limit. */
  readonly sizeLimitBytes: number;
  readonly blockSizeBytes: number;
  readonly directIo: 'on' | 'off' | 'auto';
}

export interface GeometryRequest extends Omit<DiskSettings, 'directIo'> {
  readonly fileSizeBytes: number;
}

/** Bytes that the disk shows. */
export function diskSizeBytes(request: GeometryRequest): number {
  const beyondOffset = Math.max(0, request.fileSizeBytes - request.offsetBytes);
  const limited =
    request.sizeLimitBytes > 0 ? Math.min(beyondOffset, request.sizeLimitBytes) : beyondOffset;
  return Math.floor(limited / request.blockSizeBytes) * request.blockSizeBytes;
}

/** Block sizes that a disk can have: Linux refuses more than a page. */
export const BLOCK_SIZES = [512, 1024, 2048, 4096] as const;
