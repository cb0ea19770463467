/**
 * Guest memory as the mock driver sees it: one or several regions, each a byte view at a guest, a
 * front-end (user) and a host address. Allocates nothing of its own: a test hands in plain buffers, the
 * mock front-end and the load generator hand in views of a shared mapping.
 * Reads and writes may straddle regions, as a guest's buffers do; an unmapped address throws, because
 * it is a mistake of the test, not of the device.
 */
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { MappedRegion } from '../../src/memory/region-table.ts';

export interface RamRegion {
  readonly guestAddress: number;
  /** The front-end's address, in which SET_VRING_ADDR names rings. Default: the guest address. */
  readonly userAddress?: number;
  /** Where the device has it mapped; only pure tests know and choose it. Default: see below. */
  readonly hostAddress?: number;
  readonly bytes: Uint8Array;
}

/** Host addresses differ from guest addresses by default, so that mixing them up cannot pass a test. */
const HOST_SHIFT = 0x7f00_0000_0000;

export class GuestRam {
  readonly regions: readonly Required<RamRegion>[];

  constructor(regions: readonly RamRegion[]) {
    this.regions = regions.map((region) => ({
      guestAddress: region.guestAddress,
      userAddress: region.userAddress ?? region.guestAddress,
      hostAddress: region.hostAddress ?? region.guestAddress + HOST_SHIFT,
      bytes: region.bytes,
    }));
  }

  /** The region that holds all of a range, and the offset in it; throws when none does. */
  place(guestAddress: number, sizeBytes: number): { region: Required<RamRegion>; at: number } {
    for (const region of this.regions) {
      const at = guestAddress - region.guestAddress;
      if (at >= 0 && at + sizeBytes <= region.bytes.length) return { region, at };
    }
    throw new Error(`guest range 0x${guestAddress.toString(16)}+${sizeBytes} is not in one region`);
  }

  /** The front-end's address of a guest address. */
  userAddress(guestAddress: number): number {
    const { region, at } = this.place(guestAddress, 1);
    return region.userAddress + at;
  }

  /** The other way round. */
  guestAddress(userAddress: number): number {
    for (const region of this.regions) {
      const at = userAddress - region.userAddress;
      if (at >= 0 && at < region.bytes.length) return region.guestAddress + at;
    }
    throw new Error(`no region has the front-end address 0x${userAddress.toString(16)}`);
  }

  hostAddress(guestAddress: number): number {
    const { region, at } = this.place(guestAddress, 1);
    return region.hostAddress + at;
  }

  write(guestAddress: number, source: Uint8Array): void {
    this.#pieces(guestAddress, source.length, (bytes, done) =>
      bytes.set(source.subarray(done, done + bytes.length)),
    );
  }

  read(guestAddress: number, sizeBytes: number): Uint8Array {
    const target = new Uint8Array(sizeBytes);
    this.#pieces(guestAddress, sizeBytes, (bytes, done) => target.set(bytes, done));
    return target;
  }

  fill(guestAddress: number, sizeBytes: number, value: number): void {
    this.#pieces(guestAddress, sizeBytes, (bytes) => bytes.fill(value));
  }

  /** The regions as the device's memory table would hold them, slot = position. */
  mappedRegions(): MappedRegion[] {
    return this.regions.map(({ guestAddress, userAddress, hostAddress, bytes }, slot) => ({
      slot,
      guestAddress,
      userAddress,
      hostAddress,
      sizeBytes: bytes.length,
    }));
  }

  /** The device's side of the same memory, for tests in which both share a process. */
  deviceMemory(slotCount = this.regions.length): GuestMemory {
    const memory = new GuestMemory(slotCount, (hostAddress) => {
      const region = this.regions.find((candidate) => candidate.hostAddress === hostAddress);
      if (region === undefined) throw new Error(`no region at host address ${hostAddress}`);
      const { buffer, byteOffset } = region.bytes;
      // A device maps a region from its first byte; a view into the middle cannot stand in for that.
      if (byteOffset !== 0) throw new Error('the region must start at the start of its buffer');
      if (!(buffer instanceof ArrayBuffer)) throw new Error('the region must be an ArrayBuffer');
      return buffer;
    });
    memory.add(this.mappedRegions());
    return memory;
  }

  /** Calls `visit` with a view of each piece of a range, in order. */
  #pieces(
    guestAddress: number,
    sizeBytes: number,
    visit: (bytes: Uint8Array, done: number) => void,
  ): void {
    let done = 0;
    while (done < sizeBytes) {
      const { region, at } = this.place(guestAddress + done, 1);
      const size = Math.min(sizeBytes - done, region.bytes.length - at);
      visit(region.bytes.subarray(at, at + size), done);
      done += size;
    }
  }
}

/** Guest memory of plain buffers: one region for each [guest address, size]. */
export function plainRam(...regions: ReadonlyArray<readonly [number, number]>): GuestRam {
  return new GuestRam(
    regions.map(([guestAddress, sizeBytes]) => ({
      guestAddress,
      userAddress: guestAddress + 0x5500_0000_0000,
      bytes: new Uint8Array(sizeBytes),
    })),
  );
}
