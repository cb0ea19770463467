/**
 * Guest memory that can be shared with a back-end: one memfd for all regions, as QEMU's, or one each,
 * mapped here once. The views die with `close`: nothing may touch the ram after it.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { errnoName } from '../../src/sys/libc.ts';
import { createMemfd } from '../../src/sys/memfd.ts';
import { mapShared, unmap, viewMemory } from '../../src/sys/mmap.ts';
import { GuestRam } from './mock-driver-memory.ts';

export interface SharedRegion {
  readonly guestAddress: number;
  readonly userAddress: number;
  readonly sizeBytes: number;
  readonly mmapOffset: number;
  /** Borrowed: belongs to the SharedRam. */
  readonly fd: number;
}

const PAGE_BYTES = 4096;
/** Front-end addresses that are neither guest addresses nor this process's. */
const USER_SHIFT = 0x5500_0000_0000;

function pagesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES;
}

function memfdOf(sizeBytes: number): number {
  const fd = createMemfd('vloop-test-ram');
  if (fd < 0) throw new Error(`memfd_create: ${errnoName(fd)}`);
  ftruncateSync(fd, sizeBytes);
  return fd;
}

export class SharedRam {
  readonly ram: GuestRam;
  readonly regions: readonly SharedRegion[];
  readonly #mappings: Array<{ readonly address: number; readonly sizeBytes: number }> = [];
  readonly #fds: number[] = [];

  /** Regions are [guest address, bytes]. `fdEach`: a memfd for each region instead of one for all. */
  constructor(places: ReadonlyArray<readonly [number, number]>, { fdEach = false } = {}) {
    const total = places.reduce((sum, [, sizeBytes]) => sum + pagesOf(sizeBytes), 0);
    if (!fdEach) this.#fds.push(memfdOf(total));
    let offset = 0;
    this.regions = places.map(([guestAddress, sizeBytes]) => {
      if (fdEach) this.#fds.push(memfdOf(pagesOf(sizeBytes)));
      const region = {
        guestAddress,
        userAddress: guestAddress + USER_SHIFT,
        sizeBytes,
        mmapOffset: fdEach ? 0 : offset,
        fd: this.#fds.at(-1)!,
      };
      offset += pagesOf(sizeBytes);
      return region;
    });
    this.ram = new GuestRam(
      this.regions.map(({ guestAddress, userAddress, sizeBytes, fd, mmapOffset }) => ({
        guestAddress,
        userAddress,
        bytes: this.#map(fd, mmapOffset, sizeBytes),
      })),
    );
  }

  close(): void {
    for (const { address, sizeBytes } of this.#mappings.splice(0)) unmap(address, sizeBytes);
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }

  #map(fd: number, offset: number, sizeBytes: number): Uint8Array {
    const address = mapShared(fd, offset, sizeBytes);
    if (address < 0) throw new Error(`mmap of ${sizeBytes} bytes: ${errnoName(address)}`);
    this.#mappings.push({ address, sizeBytes });
    return new Uint8Array(viewMemory(address, sizeBytes));
  }
}
