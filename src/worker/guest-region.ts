/**
 * Maps and unmaps one region of guest memory. Checks first that the file is as long as the region says:
 * touching a page past its end is SIGBUS, which JavaScript cannot catch (virtio front-ends should seal
 * their memory against shrinking; many cannot).
 */
import { fstatSync } from 'node:fs';
import type { MappedRegion, RegionDescription } from '../memory/region-table.ts';
import { errnoName } from '../sys/libc.ts';
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

export function unmapGuestRegion(region: MappedRegion): void {
  unmap(region.hostAddress, region.sizeBytes);
}
