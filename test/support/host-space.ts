/**
 * Host addresses without a host: ranges of numbers that stand for plain buffers. Gives the loop device
 * its HostMemory and the memory backing file the bytes behind an address; an access to anything that is
 * not wholly inside one buffer throws, where a real one would corrupt memory.
 */
import { iovec } from '../../protocol/linux.ts';
import type { HostMemory } from '../../src/loop/host-memory.ts';

const PAGE_BYTES = 4096;
const FIRST_ADDRESS = 0x7000_0000_0000;

interface Range {
  readonly address: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export class HostSpace implements HostMemory {
  readonly #ranges: Range[] = [];
  #next = FIRST_ADDRESS;

  /** Puts a buffer at an address. */
  map(address: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#ranges.push({ address, bytes });
  }

  bytesAt(address: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
    for (const { address: start, bytes } of this.#ranges) {
      const at = address - start;
      if (at >= 0 && at + lengthBytes <= bytes.length) return bytes.subarray(at, at + lengthBytes);
    }
    throw new Error(`host range 0x${address.toString(16)}+${lengthBytes} is not mapped`);
  }

  /** The buffers that an array of `count` iovecs names. */
  vectors(address: number, count: number): Array<{ address: number; lengthBytes: number }> {
    const bytes = this.bytesAt(address, count * iovec.sizeBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: count }, (_, i) => ({
      address: Number(view.getBigUint64(i * iovec.sizeBytes + iovec.at.iov_base, true)),
      lengthBytes: Number(view.getBigUint64(i * iovec.sizeBytes + iovec.at.iov_len, true)),
    }));
  }

  copy(toAddress: number, fromAddress: number, lengthBytes: number): void {
    this.bytesAt(toAddress, lengthBytes).set(this.bytesAt(fromAddress, lengthBytes));
  }

  zero(address: number, lengthBytes: number): void {
    this.bytesAt(address, lengthBytes).fill(0);
  }

  allocate(sizeBytes: number): { address: number; buffer: ArrayBuffer } {
    const address = this.#next;
    const buffer = new ArrayBuffer(sizeBytes);
    this.map(address, new Uint8Array(buffer));
    // A hole between allocations: an overrun is an unmapped address.
    this.#next += (Math.ceil(sizeBytes / PAGE_BYTES) + 1) * PAGE_BYTES;
    return { address, buffer };
  }

  release(address: number): void {
    const index = this.#ranges.findIndex((range) => range.address === address);
    if (index < 0) throw new Error(`host address 0x${address.toString(16)} was not allocated`);
    this.#ranges.splice(index, 1);
  }
}
