/**
 * A backing file behind the loop device's port, through the worker's io_uring: zero copy from and to
 * guest memory. One SQE an operation; results come through the worker's completion loop.
 */
import {
  IORING_FSYNC_DATASYNC,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  IOSQE_FIXED_FILE,
} from '../../protocol/io-uring.ts';
import { RWF_DSYNC } from '../../protocol/linux.ts';
import {
  type BackingPort,
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  type IoPlace,
  PLACE_OFFSET_BYTES,
} from '../loop/backing-port.ts';
import type { UringQueue } from '../uring/uring-queue.ts';

const FIXED_FILE = IOSQE_FIXED_FILE << 8;

const OPCODE_OF = new Uint16Array(8);
OPCODE_OF[IO_READ] = IORING_OP_READ | FIXED_FILE;
OPCODE_OF[IO_WRITE] = IORING_OP_WRITE | FIXED_FILE;
OPCODE_OF[IO_READV] = IORING_OP_READV | FIXED_FILE;
OPCODE_OF[IO_WRITEV] = IORING_OP_WRITEV | FIXED_FILE;
OPCODE_OF[IO_FDATASYNC] = IORING_OP_FSYNC | FIXED_FILE;
OPCODE_OF[IO_FALLOCATE] = IORING_OP_FALLOCATE | FIXED_FILE;

/** The high half of user_data of every operation of a backing file; other kinds are the worker's. */
export const COMPLETION_IO = 0;

export class UringFile implements BackingPort {
  readonly #queue: UringQueue;
  readonly #fixedIndex: number;

  /** `fixedIndex`: the file's position among the ring's registered files. */
  constructor(queue: UringQueue, fixedIndex: number) {
    this.#queue = queue;
    this.#fixedIndex = fixedIndex;
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    const queue = this.#queue;
    const opcode = OPCODE_OF[operation]!;
    const file = this.#fixedIndex;
    if (operation === IO_FALLOCATE) {
      // FALLOCATE has its length where others have the address, and its mode where they have a length.
      const offsetBytes = place[PLACE_OFFSET_BYTES]!;
      queue.prepare(opcode, file, offsetBytes, length, flags, 0, tag, COMPLETION_IO);
    } else if (operation === IO_FDATASYNC) {
      queue.prepare(opcode, file, 0, 0, 0, IORING_FSYNC_DATASYNC, tag, COMPLETION_IO);
    } else {
      const rwFlags = (flags & IO_FLAG_DSYNC) !== 0 ? RWF_DSYNC : 0;
      queue.prepareAt(opcode, file, place, length, rwFlags, tag, COMPLETION_IO);
    }
  }

  reap(): number {
    return 0;
  }
}
