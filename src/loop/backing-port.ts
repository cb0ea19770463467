/**
 * The port between the loop device and whatever holds its bytes: the io_uring file, a memory disk, a
 * network disk, or a layer in front of another. An operation names host memory and a file range; its
 * result arrives later, by tag. Declared here because the loop device is its user.
 */

/** length = bytes of one buffer at `address`. */
export const IO_READ = 1;
export const IO_WRITE = 2;
/** length = entries of the iovec array at `address`. */
export const IO_READV = 3;
export const IO_WRITEV = 4;
/** Everything written before is durable when it completes. */
export const IO_FDATASYNC = 5;
/** flags = FALLOC_FL_*, length = bytes of the range. */
export const IO_FALLOCATE = 6;

/** Flag of writes: durable when complete (RWF_DSYNC). */
export const IO_FLAG_DSYNC = 1;

export interface ResultSink {
  /** A byte count, 0, or -errno for the operation submitted under `tag`. */
  onResult(tag: number, result: number): void;
}

export interface BackingPort {
  /**
   * Starts one operation. Never delivers its result before it returns, and delivers it exactly once.
   */
  submit(
    operation: number,
    tag: number,
    offsetBytes: number,
    address: number,
    length: number,
    flags: number,
  ): void;
  /** Delivers results that do not come through the worker's own ring; how many. */
  reap(sink: ResultSink): number;
}
