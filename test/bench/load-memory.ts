/**
 * The load generator's guest memory, shared: the layout's regions in one memfd, an eventfd pair for each queue.
 * Belongs to one run against one device, be it a back-end or the null device.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { createEventfd } from '../../src/sys/eventfd.ts';
import { packedRingPlace } from '../support/mock-driver-packed.ts';
import { ringPlace } from '../support/mock-driver-ring.ts';
import { SharedRam } from '../support/shared-ram.ts';
import { type LoadLayout, layOut } from './load-layout.ts';
import type { LoadOptions } from './load-options.ts';
import type { LoadRandom } from './load-random.ts';

export class LoadMemory {
  readonly layout: LoadLayout;
  readonly shared: SharedRam;
  readonly kickFds: readonly number[];
  readonly callFds: readonly number[];
  readonly ringSize: number;
  readonly #packed: boolean;

  constructor(options: LoadOptions, random: LoadRandom) {
    const { queues, ringSize, depth, segments, sizeBytes, regions } = options;
    const { memoryBytes, spareBuffers } = options;
    this.ringSize = ringSize;
    this.#packed = options.packed;
    const segmentBytes = sizeBytes / segments;
    const counts = { queueCount: queues, regionCount: regions, spareBuffers };
    this.layout = layOut(
      { ...counts, ringSize, depth, segments, segmentBytes, memoryBytes },
      random,
    );
    this.shared = new SharedRam(this.layout.regions);
    this.kickFds = Array.from({ length: queues }, newEventfd);
    this.callFds = Array.from({ length: queues }, newEventfd);
  }

  /** A view of guest memory in units of 1, 2 or 4 bytes. */
  bytes(guestAddress: number, sizeBytes: number): Uint8Array {
    const { region, at } = this.shared.ram.place(guestAddress, sizeBytes);
    return region.bytes.subarray(at, at + sizeBytes);
  }

  words(guestAddress: number, count: number): Uint32Array {
    const { buffer, byteOffset } = this.bytes(guestAddress, 4 * count);
    return new Uint32Array(buffer, byteOffset, count);
  }

  halves(guestAddress: number, count: number): Uint16Array {
    const { buffer, byteOffset } = this.bytes(guestAddress, 2 * count);
    return new Uint16Array(buffer, byteOffset, count);
  }

  /** Where the parts of a queue's ring lie, in front-end addresses. */
  userRing(queue: number): { desc: number; avail: number; used: number } {
    const place = this.#packed ? packedRingPlace : ringPlace;
    const { desc, avail, used } = place(this.layout.rings[queue]!, this.ringSize);
    const { ram } = this.shared;
    return {
      desc: ram.userAddress(desc),
      avail: ram.userAddress(avail),
      used: ram.userAddress(used),
    };
  }

  /** Nothing may touch a view after this. */
  close(): void {
    for (const fd of [...this.kickFds, ...this.callFds]) closeSync(fd);
    this.shared.close();
  }
}

function newEventfd(): number {
  const fd = createEventfd();
  if (fd < 0) throw new Error(`eventfd: ${errnoName(fd)}`);
  return fd;
}
