/**
 * The memory table of a session: which guest-physical and front-end addresses are mapped where.
 * Bookkeeping only (SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG): maps nothing, touches no guest byte.
 * Regions keep their slot for life, so that a loop command in flight may name one.
 * Source: vhost-user.rst, "Memory region description".
 */

/** What the front-end says of a region; all Numbers below 2^53. */
export interface RegionDescription {
  readonly guestAddress: number;
  readonly sizeBytes: number;
  readonly userAddress: number;
  readonly mmapOffset: number;
}

/** A region as it stands in this process. */
export interface MappedRegion {
  readonly slot: number;
  readonly guestAddress: number;
  readonly sizeBytes: number;
  readonly userAddress: number;
  /** Where the region's first byte is mapped in this process. */
  readonly hostAddress: number;
}

function overlaps(startA: number, sizeA: number, startB: number, sizeB: number): boolean {
  return startA < startB + sizeB && startB < startA + sizeA;
}

/**
 * Why a region cannot be mapped, or null. Sums are checked to stay exact: every address and every end
 * must be below 2^53, which also rules out 64-bit wrap (bug classes of CVE-2018-1059, CVE-2020-10722).
 */
export function invalidRegion(region: RegionDescription): string | null {
  const { guestAddress, sizeBytes, userAddress, mmapOffset } = region;
  for (const [name, value] of [
    ['guest address', guestAddress],
    ['size', sizeBytes],
    ['user address', userAddress],
    ['mmap offset', mmapOffset],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 0) {
      return `${name}=${value}, expected an address below 2^53`;
    }
  }
  if (sizeBytes === 0) return 'size=0, expected at least one byte';
  for (const [name, start] of [
    ['guest address', guestAddress],
    ['user address', userAddress],
    ['mmap offset', mmapOffset],
  ] as const) {
    if (!Number.isSafeInteger(start + sizeBytes)) {
      return `${name}=${start} + size=${sizeBytes} is not below 2^53`;
    }
  }
  return null;
}

export class RegionTable {
  readonly #slots: Array<MappedRegion | null>;

  constructor(slotCount: number) {
    this.#slots = new Array<MappedRegion | null>(slotCount).fill(null);
  }

  get regions(): MappedRegion[] {
    return this.#slots.filter((region) => region !== null);
  }

  /** Why `region` cannot be added, or null. */
  refusal(region: RegionDescription): string | null {
    const invalid = invalidRegion(region);
    if (invalid !== null) return invalid;
    if (this.#freeSlot() < 0) return `all ${this.#slots.length} memory slots are in use`;
    for (const other of this.regions) {
      if (overlaps(region.guestAddress, region.sizeBytes, other.guestAddress, other.sizeBytes)) {
        return `guest address=0x${region.guestAddress.toString(16)} size=${region.sizeBytes} overlaps another region`;
      }
      if (overlaps(region.userAddress, region.sizeBytes, other.userAddress, other.sizeBytes)) {
        return `user address=0x${region.userAddress.toString(16)} size=${region.sizeBytes} overlaps another region`;
      }
    }
    return null;
  }

  /** Adds a region that `refusal` let pass; answers it with its slot. */
  add(region: RegionDescription, hostAddress: number): MappedRegion {
    const { guestAddress, sizeBytes, userAddress } = region;
    const slot = this.#freeSlot();
    const mapped = { slot, guestAddress, sizeBytes, userAddress, hostAddress };
    this.#slots[slot] = mapped;
    return mapped;
  }

  /** The region that REM_MEM_REG names: guest address, user address and size; the offset is ignored. */
  find({ guestAddress, sizeBytes, userAddress }: RegionDescription): MappedRegion | undefined {
    return this.regions.find(
      (region) =>
        region.guestAddress === guestAddress &&
        region.sizeBytes === sizeBytes &&
        region.userAddress === userAddress,
    );
  }

  /** The region that wholly holds a range of front-end addresses. */
  findUser(userAddress: number, sizeBytes: number): MappedRegion | undefined {
    return this.regions.find(
      (region) =>
        userAddress >= region.userAddress &&
        userAddress - region.userAddress + sizeBytes <= region.sizeBytes,
    );
  }

  remove(slot: number): void {
    this.#slots[slot] = null;
  }

  clear(): void {
    this.#slots.fill(null);
  }

  #freeSlot(): number {
    return this.#slots.indexOf(null);
  }
}
