/**
 * A disk in this process's memory (`--memory=SIZE`): requests are copied in user space, without a system
 * call. For scratch disks, and as the null device that shows what the data path itself costs. Nothing
 * survives the process: a flush has nothing to do.
 */
import { EINVAL } from '../../protocol/linux.ts';
import {
  type BackingPort,
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  type IoPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
  type ResultSink,
} from '../loop/backing-port.ts';
import { ResultQueue } from './result-queue.ts';

/** The memory calls that the disk is made of; src/sys has the real ones. */
export interface MemoryCalls {
  copy(toAddress: number, fromAddress: number, lengthBytes: number): void;
  /** Zeroes a range of the disk's own mapping and gives its whole pages back. */
  discard(address: number, lengthBytes: number): void;
  /** The base and length of the iovec at an address. */
  iovecBase(pointer: number): number;
  iovecLength(pointer: number): number;
}

const IOVEC_BYTES = 16;

export class MemoryDisk implements BackingPort {
  readonly #address: number;
  readonly #sizeBytes: number;
  readonly #calls: MemoryCalls;
  readonly #results = new ResultQueue();

  constructor(address: number, sizeBytes: number, calls: MemoryCalls) {
    this.#address = address;
    this.#sizeBytes = sizeBytes;
    this.#calls = calls;
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, _flags: number): void {
    this.#results.push(tag, this.#run(operation, place, length));
  }

  reap(sink: ResultSink): number {
    return this.#results.deliver(sink);
  }

  #run(operation: number, place: IoPlace, length: number): number {
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const address = place[PLACE_ADDRESS]!;
    const ours = this.#address + offsetBytes;
    if (operation === IO_READ || operation === IO_WRITE) {
      // The loop device has checked the range against the capacity; this is what memory safety rests on.
      if (offsetBytes + length > this.#sizeBytes) return -EINVAL;
      if (operation === IO_READ) this.#calls.copy(address, ours, length);
      else this.#calls.copy(ours, address, length);
      return length;
    }
    if (operation === IO_FDATASYNC) return 0;
    if (operation === IO_FALLOCATE) {
      if (offsetBytes + length > this.#sizeBytes) return -EINVAL;
      this.#calls.discard(ours, length);
      return 0;
    }
    return this.#runVectors(operation, place, length);
  }

  #runVectors(operation: number, place: IoPlace, count: number): number {
    const calls = this.#calls;
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const vectors = place[PLACE_ADDRESS]!;
    let done = 0;
    for (let i = 0; i < count; i++) {
      const base = calls.iovecBase(vectors + i * IOVEC_BYTES);
      const length = calls.iovecLength(vectors + i * IOVEC_BYTES);
      if (offsetBytes + done + length > this.#sizeBytes) return -EINVAL;
      const ours = this.#address + offsetBytes + done;
      if (operation === IO_READV) calls.copy(base, ours, length);
      else calls.copy(ours, base, length);
      done += length;
    }
    return done;
  }
}
