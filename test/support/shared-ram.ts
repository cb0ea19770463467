/**
 * Guest memory that can be shared with a back-end: one memfd for all regions, as QEMU's, or one each,
 * mapped here once. The views die with `close`: nothing may touch the ram after it.
 */
import { closeSync, ftruncateSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { createHugeMemfd, createMemfd } from '../../src/sys/memfd.ts';
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
export const HUGE_PAGE_BYTES = 2 * 2 ** 20;
/** Front-end addresses that are neither guest addresses nor this process's. */
const USER_SHIFT = 0x5500_0000_0000;

function pagesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES;
}

export interface SharedRamOptions {
  /** A memfd for each region instead of one for all. */
  readonly fdEach?: boolean;
  /** User addresses are the guest addresses, as GPA_ADDRESSES wants them. */
  readonly guestAddressed?: boolean;
  /** Memory of 2 MiB pages (hugetlbfs). */
  readonly hugePages?: boolean;
}

export class SharedRam {
  readonly ram: GuestRam;
  readonly regions: readonly SharedRegion[];
  readonly #mappings: Array<{ readonly address: number; readonly sizeBytes: number }> = [];
  readonly #fds: number[] = [];

  /** Regions are [guest address, bytes]. */
  constructor(places: ReadonlyArray<readonly [number, number]>, options: SharedRamOptions = {}) {
    const { fdEach = false, guestAddressed = false, hugePages = false } = options;
    const total = places.reduce((sum, [, sizeBytes]) => sum + pagesOf(sizeBytes), 0);
    let file = fdEach ? null : this.#newFile(total, hugePages);
    let offset = 0;
    const regions: SharedRegion[] = [];
    const views: Uint8Array[] = [];
    for (const [guestAddress, sizeBytes] of places) {
      if (fdEach || file === null) file = this.#newFile(pagesOf(sizeBytes), hugePages);
      const userAddress = guestAddress + (guestAddressed ? 0 : USER_SHIFT);
      const mmapOffset = fdEach ? 0 : offset;
      regions.push({ guestAddress, userAddress, sizeBytes, mmapOffset, fd: file.fd });
      views.push(file.bytes.subarray(mmapOffset, mmapOffset + sizeBytes));
      offset += pagesOf(sizeBytes);
    }
    this.regions = regions;
    this.ram = new GuestRam(regions.map((region, i) => ({ ...region, bytes: views[i]! })));
  }

  close(): void {
    for (const { address, sizeBytes } of this.#mappings.splice(0)) unmap(address, sizeBytes);
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }

  #newFile(sizeBytes: number, hugePages: boolean): { fd: number; bytes: Uint8Array } {
    const mappedBytes = hugePages
      ? Math.ceil(sizeBytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
      : sizeBytes;
    const fd = hugePages ? createHugeMemfd('vloop-test-ram') : createMemfd('vloop-test-ram');
    if (fd < 0) throw new Error(`memfd_create: ${errnoName(fd)}`);
    this.#fds.push(fd);
    ftruncateSync(fd, mappedBytes);
    const address = mapShared(fd, 0, mappedBytes);
    if (address < 0) throw new Error(`mmap of ${mappedBytes} bytes: ${errnoName(address)}`);
    this.#mappings.push({ address, sizeBytes: mappedBytes });
    return { fd, bytes: new Uint8Array(viewMemory(address, mappedBytes)) };
  }
}
