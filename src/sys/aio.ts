/**
 * Linux AIO (io_submit and friends): a context, batches of operations, and its completion ring, which
 * the kernel maps into this process so that results are read without a call.
 */
import {
  AIO_RING_MAGIC,
  aioRing,
  EAGAIN,
  IOCB_CMD_FDSYNC,
  IOCB_FLAG_RESFD,
  iocb,
  ioEvent,
} from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';
import { viewMemory } from './mmap.ts';

const io_setup = declare('int syscall(long, unsigned int, uintptr_t)');
const io_destroy = declare('int syscall(long, uintptr_t)');
const io_submit = declare('int syscall(long, uintptr_t, long, uintptr_t)');
const NR_io_setup = 206;
const NR_io_destroy = 207;
const NR_io_submit = 209;

const TWO_TO_32 = 2 ** 32;
const EVENT_WORDS = ioEvent.sizeBytes / 4;
const EVENT_DATA = ioEvent.at.data / 4;
const EVENT_RES = ioEvent.at.res / 4;
const HEAD = aioRing.at.head / 4;
const TAIL = aioRing.at.tail / 4;
const AT = iocb.at;

/** Whether this process may use Linux AIO: 0, or -errno (-ENOSYS, -EPERM, -EAGAIN: fs.aio-max-nr). */
export function probeAio(): number {
  const handle = new FixedBytes(8);
  const result = valueOrErrno(io_setup(NR_io_setup, 1, handle.address));
  if (result < 0) return result;
  return valueOrErrno(io_destroy(NR_io_destroy, Number(handle.view.getBigUint64(0, true))));
}

export class AioContext {
  readonly #context: number;
  #batch: FixedBytes;
  #batchSize: number;
  #pointers: FixedBytes;
  readonly #ring: Uint32Array;
  readonly #results: Int32Array;
  readonly #eventCount: number;
  readonly #firstEvent: number;
  readonly #resultFd: number;
  /** Operations written and not submitted. */
  pending = 0;

  private constructor(context: number, batchSize: number, resultFd: number) {
    this.#context = context;
    this.#batchSize = batchSize;
    this.#resultFd = resultFd;
    this.#batch = new FixedBytes(batchSize * iocb.sizeBytes);
    this.#pointers = pointersTo(this.#batch, batchSize);
    const header = new Uint32Array(viewMemory(context, aioRing.sizeBytes));
    this.#eventCount = header[aioRing.at.nr / 4]!;
    const headerBytes = header[aioRing.at.header_length / 4]!;
    const ringBytes = headerBytes + this.#eventCount * ioEvent.sizeBytes;
    const buffer = viewMemory(context, ringBytes);
    this.#ring = new Uint32Array(buffer, 0, ringBytes / 4);
    this.#results = new Int32Array(buffer, 0, ringBytes / 4);
    this.#firstEvent = headerBytes / 4;
  }

  /** A context for `depth` operations in flight; results are signalled on `resultFd`. Or -errno. */
  static create(depth: number, batchSize: number, resultFd: number): AioContext | number {
    const handle = new FixedBytes(8);
    const result = valueOrErrno(io_setup(NR_io_setup, depth, handle.address));
    if (result < 0) return result;
    const context = Number(handle.view.getBigUint64(0, true));
    const header = new Uint32Array(viewMemory(context, aioRing.sizeBytes));
    const readable =
      header[aioRing.at.magic / 4] === AIO_RING_MAGIC &&
      header[aioRing.at.incompat_features / 4] === 0;
    return readable ? new AioContext(context, batchSize, resultFd) : -EAGAIN;
  }

  /** Waits in the kernel for what is in flight; the context is gone afterwards. */
  close(): void {
    io_destroy(NR_io_destroy, this.#context);
  }

  /** Writes one operation. The batch grows to what a full kernel ever left waiting in it. */
  prepare(
    opcode: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    rwFlags: number,
    tag: number,
  ): void {
    if (this.pending === this.#batchSize) this.#grow();
    const { view } = this.#batch;
    const at = this.pending++ * iocb.sizeBytes;
    view.setUint32(at + AT.aio_data, tag, true);
    view.setUint32(at + AT.aio_data + 4, 0, true);
    view.setUint32(at + AT.aio_rw_flags, rwFlags, true);
    view.setUint16(at + AT.aio_lio_opcode, opcode, true);
    view.setUint32(at + AT.aio_fildes, fd, true);
    view.setUint32(at + AT.aio_buf, address % TWO_TO_32, true);
    view.setUint32(at + AT.aio_buf + 4, Math.floor(address / TWO_TO_32), true);
    view.setUint32(at + AT.aio_nbytes, length, true);
    view.setUint32(at + AT.aio_nbytes + 4, 0, true);
    view.setUint32(at + AT.aio_offset, offset % TWO_TO_32, true);
    view.setUint32(at + AT.aio_offset + 4, Math.floor(offset / TWO_TO_32), true);
    view.setUint32(at + AT.aio_flags, IOCB_FLAG_RESFD, true);
    view.setUint32(at + AT.aio_resfd, this.#resultFd, true);
  }

  /** Submits what was written: how many the kernel took (from the front), or -errno for the first. */
  submit(): number {
    const pointers = this.#pointers.address;
    return valueOrErrno(io_submit(NR_io_submit, this.#context, this.pending, pointers));
  }

  /** The tag of the operation at `index` of the batch. */
  tagAt(index: number): number {
    return this.#batch.view.getUint32(index * iocb.sizeBytes + AT.aio_data, true);
  }

  /** Whether the operation at `index` of the batch is an fdatasync. */
  isSync(index: number): boolean {
    const at = index * iocb.sizeBytes + AT.aio_lio_opcode;
    return this.#batch.view.getUint16(at, true) === IOCB_CMD_FDSYNC;
  }

  /** Drops the first `count` operations of the batch. */
  drop(count: number): void {
    const { bytes } = this.#batch;
    bytes.copyWithin(0, count * iocb.sizeBytes, this.pending * iocb.sizeBytes);
    this.pending -= count;
  }

  /** Hands every result that is there to `deliver`. How many. */
  collect(deliver: (tag: number, result: number) => void): number {
    const ring = this.#ring;
    let count = 0;
    // Pairs with the kernel's release of the tail after the io_event (aio_complete).
    while (Atomics.load(ring, TAIL) !== ring[HEAD]) {
      const head = ring[HEAD]!;
      const event = this.#firstEvent + head * EVENT_WORDS;
      const tag = ring[event + EVENT_DATA]!;
      const result = this.#results[event + EVENT_RES]!;
      Atomics.store(ring, HEAD, (head + 1) % this.#eventCount);
      deliver(tag, result);
      count++;
    }
    return count;
  }

  #grow(): void {
    const batch = new FixedBytes(2 * this.#batchSize * iocb.sizeBytes);
    batch.bytes.set(this.#batch.bytes);
    this.#batch = batch;
    this.#batchSize *= 2;
    this.#pointers = pointersTo(batch, this.#batchSize);
  }
}

/** The array of addresses that io_submit takes. */
function pointersTo(batch: FixedBytes, count: number): FixedBytes {
  const pointers = new FixedBytes(8 * count);
  for (let i = 0; i < count; i++) {
    pointers.view.setBigUint64(8 * i, BigInt(batch.address + i * iocb.sizeBytes), true);
  }
  return pointers;
}
