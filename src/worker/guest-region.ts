/**
 * Maps and unmaps the regions of guest memory. Checks first that the file is as long as the region says:
 * touching a page past its end is SIGBUS, which JavaScript cannot catch (virtio front-ends should seal
 * their memory against shrinking; many cannot). Memory of huge pages is mapped by whole pages: a region
 * may begin in the midst of one, as the machine's memory goes on behind the hole of the ROMs.
 */
import { fstatSync, statfsSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { F_SEAL_SHRINK, HUGETLBFS_MAGIC } from '../../protocol/linux.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import { sealsOf } from '../sys/memfd.ts';
import { mapShared, unmap } from '../sys/mmap.ts';

const PAGE_BYTES = 4096;

/** Bytes of a page of the file that an fd stands for. */
function pageBytesOf(fd: number): number {
  const { type, bsize } = statfsSync(`/proc/self/fd/${fd}`);
  return type === HUGETLBFS_MAGIC ? bsize : PAGE_BYTES;
}

/** What munmap has to be given. */
interface Mapping {
  readonly address: number;
  readonly sizeBytes: number;
}

export class GuestRegions {
  /** By the host address of a region's first byte. */
  readonly #mappings = new Map<number, Mapping>();

  /** The host address of the region's first byte, or a sentence that says why it cannot be mapped. */
  map(region: RegionDescription, fd: number): number | string {
    const { sizeBytes, mmapOffset } = region;
    if (mmapOffset % PAGE_BYTES !== 0) {
      return `mmap offset=${mmapOffset}, expected a multiple of ${PAGE_BYTES}`;
    }
    const stat = fstatSync(fd);
    if (stat.isFile() && stat.size < mmapOffset + sizeBytes) {
      return `size=${sizeBytes} at mmap offset=${mmapOffset} reaches past the end of its file (${stat.size} bytes)`;
    }
    const pageBytes = pageBytesOf(fd);
    const inPage = mmapOffset % pageBytes;
    const mappedBytes = Math.ceil((inPage + sizeBytes) / pageBytes) * pageBytes;
    const address = mapShared(fd, mmapOffset - inPage, mappedBytes);
    if (address < 0) {
      const why =
        pageBytes > PAGE_BYTES ? 'are there huge pages left?' : 'is the memory shared (share=on)?';
      return `cannot map ${sizeBytes} bytes at offset ${mmapOffset} (${errnoName(address)}): ${why}`;
    }
    this.#mappings.set(address + inPage, { address, sizeBytes: mappedBytes });
    return address + inPage;
  }

  /** Unmaps what `map` has answered. */
  unmap(hostAddress: number): void {
    const mapping = this.#mappings.get(hostAddress);
    if (mapping === undefined) throw new Error(`no region is mapped at ${hostAddress}`);
    this.#mappings.delete(hostAddress);
    unmap(mapping.address, mapping.sizeBytes);
  }
}

/** Whether whoever holds the fd could shrink the file under its mapping. */
export function canShrink(fd: number): boolean {
  const seals = sealsOf(fd);
  return seals < 0 || (seals & F_SEAL_SHRINK) === 0;
}
