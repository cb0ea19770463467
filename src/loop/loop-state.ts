/**
 * What the vrings of one worker share: the backing file and how it is used, the cache mode, buffers,
 * and the ports to the world. Settings may change between turns, never inside one; those of the file only while
 * nothing is in flight.
 */
import type { RequestLimits } from '../blk/blk-request.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import type { AttachedTransfer } from './attached-transfer.ts';
import type { BackingPort } from './backing-port.ts';
import type { BounceBuffers } from './bounce-buffers.ts';
import type { DiskFigures } from './disk-figures.ts';
import type { HostMemory } from './host-memory.ts';

/** Words of the memory that all workers of a disk share (Int32, through Atomics). */
export const SHARED_FLUSH_ERRNO = 0;
/** The backing file cannot punch holes, or cannot zero ranges: found out once, for every worker. */
export const SHARED_NO_PUNCH_HOLE = 1;
export const SHARED_NO_ZERO_RANGE = 2;
/** Set when the process ends: a worker that wakes must not sleep again. */
export const SHARED_END = 3;
export const SHARED_WORDS = 4;

/** What the loop device tells the worker; each may be called at a guest's will, so none may flood. */
export interface LoopEvents {
  /** Signals a call eventfd. */
  call(fd: number): void;
  /** A driver's violation has broken a vring. */
  onViolation(vring: number, violation: number): void;
  /** A chain of a vring lacks translations; it is not looked at again before it is told to. */
  onMiss(vring: number, chain: DescriptorChain): void;
  /** The backing file failed an operation (OP_*). */
  onIoError(op: number, errno: number, offsetBytes: number): void;
}

export interface LoopState {
  backing: BackingPort;
  readonly hostMemory: HostMemory;
  readonly bounce: BounceBuffers;
  readonly events: LoopEvents;
  readonly figures: DiskFigures;
  /** See SHARED_*. */
  readonly shared: Int32Array;
  /** Zeroed memory of ZERO_BYTES for write-zeroes without fallocate. */
  readonly zeroAddress: number;
  /** The GET_ID answer, NUL padded to VIRTIO_BLK_ID_BYTES. */
  readonly serialAddress: number;
  /** Where the disk starts in the backing file. */
  fileOffsetBytes: number;
  direct: boolean;
  memoryAlignBytes: number;
  offsetAlignBytes: number;
  /** What changes data on their way; null: nothing, and they go straight from and to guest memory. */
  readonly transfer: AttachedTransfer | null;
  /** Each write durable before it completes. */
  writeThrough: boolean;
  limits: RequestLimits;
}

/** Bytes that one write of a zero fill covers. */
export const ZERO_BYTES = 256 * 1024;
