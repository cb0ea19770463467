/**
 * Maps and unmaps one region of guest memory. Checks first that the file is as long as the region says:
 * touching a page past its end is SIGBUS, which JavaScript cannot catch (virtio front-ends should seal
 * their memory against shrinking; many cannot).
 */
import { fstatSync } from 'node:fs';
import { F_SEAL_SHRINK } from '../../protocol/linux.ts';
import type { MappedRegion, RegionDescription } from '../memory/region-table.ts';
import { errnoName } from '../sys/libc.ts';
import { sealsOf } from '../sys/memfd.ts';
import { mapShared, unmap } from '../sys/mmap.ts';

const PAGE_BYTES = 4096;

/** The host address of the region's first byte, or a sentence that says why it cannot be mapped. */
export function mapGuestRegion(region: RegionDescription, fd: number): number | string {
  const { sizeBytes, mmapOffset } = region;
  if (mmapOffset % PAGE_BYTES !== 0) {
    return `mmap offset=${mmapOffset}, expected a multiple of ${PAGE_BYTES}`;
  }
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.size < mmapOffset + sizeBytes) {
    return `size=${sizeBytes} at mmap offset=${mmapOffset} reaches past the end of its file (${stat.size} bytes)`;
  }
  const address = mapShared(fd, mmapOffset, sizeBytes);
  if (address < 0) {
    return `cannot map ${sizeBytes} bytes at offset ${mmapOffset} (${errnoName(address)}): is the memory shared (share=on)?`;
  }
  return address;
}

/** Whether whoever holds the fd could shrink the file under its mapping. */
export function canShrink(fd: number): boolean {
  const seals = sealsOf(fd);
  return seals < 0 || (seals & F_SEAL_SHRINK) === 0;
}

export function unmapGuestRegion(region: MappedRegion): void {
  unmap(region.hostAddress, region.sizeBytes);
}
