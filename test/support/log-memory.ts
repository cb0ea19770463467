/**
 * A front-end's dirty log: a memfd of bits, mapped here as well, read and cleared as QEMU does while the
 * back-end sets bits in it. The view dies with `close`.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { F_SEAL_SHRINK } from '../../protocol/linux.ts';
import { addSeals, createMemfd } from '../../src/sys/memfd.ts';
import { mapShared, unmap, viewMemory } from '../../src/sys/mmap.ts';

const PAGE_BYTES = 4096;

export class LogMemory {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly #address: number;
  readonly #bits: Uint8Array;

  /** `sealed`: as QEMU does; else whoever takes it has to see to that. */
  constructor(sizeBytes: number, { sealed = true } = {}) {
    this.fd = createMemfd('vloop-test-log');
    this.sizeBytes = sizeBytes;
    ftruncateSync(this.fd, sizeBytes);
    if (sealed) addSeals(this.fd, F_SEAL_SHRINK);
    this.#address = mapShared(this.fd, 0, sizeBytes);
    if (this.#address < 0) throw new Error(`mmap of the log: ${errnoName(this.#address)}`);
    this.#bits = new Uint8Array(viewMemory(this.#address, sizeBytes));
  }

  /** The numbers of the pages that are marked, which are not from here on. */
  take(): Set<number> {
    const pages = new Set<number>();
    for (let at = 0; at < this.sizeBytes; at++) {
      if (this.#bits[at] === 0) continue;
      const byte = Atomics.exchange(this.#bits, at, 0);
      for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) pages.add(at * 8 + bit);
    }
    return pages;
  }

  close(): void {
    unmap(this.#address, this.sizeBytes);
    closeSync(this.fd);
  }
}

/** The numbers of the pages that a range of guest addresses touches. */
export function pagesOf(guestAddress: number, sizeBytes: number): number[] {
  const first = Math.floor(guestAddress / PAGE_BYTES);
  const last = Math.floor((guestAddress + sizeBytes - 1) / PAGE_BYTES);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
