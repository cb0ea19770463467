/**
 * The port between the loop device and whatever holds its bytes: the io_uring file, a memory disk, a
 * network disk, or a layer in front of another. An operation names host memory and a file range; its
 * result arrives later, by tag. Declared here because the loop device is its user.
 */

/** length = bytes of one buffer at the place's address. */
export const IO_READ = 1;
export const IO_WRITE = 2;
/** length = entries of the iovec array at the place's address. */
export const IO_READV = 3;
export const IO_WRITEV = 4;
/** Everything written before is durable when it completes. */
export const IO_FDATASYNC = 5;
/** flags = FALLOC_FL_*, length = bytes of the range. */
export const IO_FALLOCATE = 6;

/** Flag of writes: durable when complete (RWF_DSYNC). */
export const IO_FLAG_DSYNC = 1;

/**
 * Where an operation's bytes are: two numbers in an array. As arguments of a call that V8 does not happen
 * to inline, numbers beyond 31 bits would be boxed, 16 bytes of garbage each and for every request.
 */
export type IoPlace = Float64Array;
/** In the backing file. */
export const PLACE_OFFSET_BYTES = 0;
/** In this process's memory: a buffer, or an iovec array. */
export const PLACE_ADDRESS = 1;

/** Made once by whoever submits, and filled anew for each operation. */
export function ioPlace(offsetBytes: number, address: number): IoPlace {
  return Float64Array.of(offsetBytes, address);
}

/** For IO_FDATASYNC, which has none. */
export const NO_PLACE = ioPlace(0, 0);

export interface ResultSink {
  /** A byte count, 0, or -errno for the operation submitted under `tag`. */
  onResult(tag: number, result: number): void;
}

export interface BackingPort {
  /**
   * Starts one operation. Never delivers its result before it returns, and delivers it exactly once.
   * `place` is the caller's again when it returns.
   */
  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void;
  /** Delivers results that do not come through the worker's own ring; how many. */
  reap(sink: ResultSink): number;
  /** Tags of operations that were submitted and have not begun, for whoever asks what is stuck. */
  unbegun?(): number[];
}
