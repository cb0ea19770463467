/**
 * A worker's anonymous memory: mapped once, never moved, given back by address. What JavaScript and the
 * kernel both read (iovecs) is found again by its address.
 */

import { errnoName } from '../../protocol/errno.ts';
import { iovec } from '../../protocol/linux.ts';
import { type IoPlace, PLACE_ADDRESS } from '../loop/backing-port.ts';
import type { HostMemory } from '../loop/host-memory.ts';
import { copyMemory, mapAnonymous, unmap, viewMemory, zeroMemory } from '../sys/mmap.ts';

interface Arena {
  readonly start: number;
  readonly end: number;
  readonly words: Uint32Array;
}

const TWO_TO_32 = 2 ** 32;

export class MemoryArenas implements HostMemory {
  #arenas: Arena[] = [];
  readonly copy = copyMemory;
  readonly zero = zeroMemory;

  allocate(sizeBytes: number): { readonly address: number; readonly buffer: ArrayBuffer } {
    const address = mapAnonymous(sizeBytes);
    if (address < 0) throw new Error(`cannot map ${sizeBytes} bytes: ${errnoName(address)}`);
    const buffer = viewMemory(address, sizeBytes);
    const words = new Uint32Array(buffer, 0, Math.floor(sizeBytes / 4));
    this.#arenas.push({ start: address, end: address + sizeBytes, words });
    return { address, buffer };
  }

  release(address: number, sizeBytes: number): void {
    this.#arenas = this.#arenas.filter(({ start }) => start !== address);
    unmap(address, sizeBytes);
  }

  /** The bytes that `count` iovecs at the place's address cover. */
  iovecBytes(place: IoPlace, count: number): number {
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      bytes += this.u64At(place[PLACE_ADDRESS]! + i * iovec.sizeBytes + iovec.at.iov_len);
    }
    return bytes;
  }

  /** A 64-bit number at an aligned address inside an arena. */
  u64At(address: number): number {
    for (let i = 0; i < this.#arenas.length; i++) {
      const { start, end, words } = this.#arenas[i]!;
      if (address < start || address >= end) continue;
      const at = (address - start) / 4;
      return words[at + 1]! * TWO_TO_32 + words[at]!;
    }
    throw new Error(`address 0x${address.toString(16)} is in no arena`);
  }
}
