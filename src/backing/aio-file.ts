/**
 * A backing file through Linux AIO (`--aio=native`): asynchronous for direct I/O only; what has no
 * asynchronous form there (fallocate) is called in place.
 */
import {
  EAGAIN,
  EINVAL,
  IOCB_CMD_FDSYNC,
  IOCB_CMD_PREAD,
  IOCB_CMD_PREADV,
  IOCB_CMD_PWRITE,
  IOCB_CMD_PWRITEV,
  RWF_DSYNC,
} from '../../protocol/linux.ts';
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
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
  type ResultSink,
} from '../loop/backing-port.ts';
import type { AioContext } from '../sys/aio.ts';
import { callNow } from './blocking-call.ts';
import { ResultQueue } from './result-queue.ts';

const OPCODE_OF = new Uint16Array(8);
OPCODE_OF[IO_READ] = IOCB_CMD_PREAD;
OPCODE_OF[IO_WRITE] = IOCB_CMD_PWRITE;
OPCODE_OF[IO_READV] = IOCB_CMD_PREADV;
OPCODE_OF[IO_WRITEV] = IOCB_CMD_PWRITEV;
OPCODE_OF[IO_FDATASYNC] = IOCB_CMD_FDSYNC;

export class AioFile implements BackingPort {
  readonly #context: AioContext;
  readonly #fd: number;
  readonly #results = new ResultQueue();
  #sink: ResultSink | null = null;
  readonly #deliver = (tag: number, result: number) => this.#sink!.onResult(tag, result);

  constructor(context: AioContext, fd: number) {
    this.#context = context;
    this.#fd = fd;
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const address = place[PLACE_ADDRESS]!;
    if (operation === IO_FALLOCATE) {
      this.#results.push(tag, callNow(this.#fd, operation, offsetBytes, address, length, flags));
      return;
    }
    const rwFlags = (flags & IO_FLAG_DSYNC) !== 0 ? RWF_DSYNC : 0;
    const opcode = OPCODE_OF[operation]!;
    this.#context.prepare(opcode, this.#fd, offsetBytes, address, length, rwFlags, tag);
  }

  /** Hands what was submitted to the kernel as well: a turn has no other moment for it. */
  reap(sink: ResultSink): number {
    this.#flush();
    this.#sink = sink;
    return this.#results.deliver(sink) + this.#context.collect(this.#deliver);
  }

  unbegun(): number[] {
    const context = this.#context;
    return Array.from({ length: context.pending }, (_, index) => context.tagAt(index));
  }

  #flush(): void {
    const context = this.#context;
    while (context.pending > 0) {
      const taken = context.submit();
      if (taken === -EAGAIN) return;
      if (taken > 0) {
        context.drop(taken);
        continue;
      }
      // The first operation is one that the kernel refuses: its result is the refusal. Kernels before
      // 4.18 have no asynchronous fdatasync (EINVAL): it is called.
      const tag = context.tagAt(0);
      const isSync = taken === -EINVAL && context.isSync(0);
      this.#results.push(tag, isSync ? callNow(this.#fd, IO_FDATASYNC, 0, 0, 0, 0) : taken);
      context.drop(1);
    }
  }
}
