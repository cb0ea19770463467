/**
 * The guest memory of a disk: the regions that the front-end has given, mapped once and made known to every worker,
 * and the translations of an IOMMU into them. Nothing is unmapped before no command in flight can touch it.
 */
import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import type { IotlbUpdate } from '../memory/iotlb.ts';
import { type MappedRegion, type RegionDescription, RegionTable } from '../memory/region-table.ts';
import { canShrink, GuestRegions } from './guest-region.ts';
import { KeptFiles } from './kept-files.ts';
import type { LoopWorkers } from './loop-workers.ts';
import type { RegionState } from './session-state.ts';

export class DiskMemory {
  readonly #workers: LoopWorkers;
  readonly #onShrinkable: () => void;
  readonly #regions = new RegionTable(VHOST_USER_MAX_RAM_SLOTS);
  readonly #mapped = new GuestRegions();
  readonly #files = new KeptFiles();
  /** Workers have translations. */
  #iotlbUsed = false;

  /** `onShrinkable`: memory has arrived that its owner can truncate, which would kill this process. */
  constructor(workers: LoopWorkers, onShrinkable: () => void) {
    this.#workers = workers;
    this.#onShrinkable = onShrinkable;
  }

  /** The regions with their files, for another process. */
  get states(): RegionState[] {
    return this.#files.regions;
  }

  /** Where guest memory ends, in guest addresses. */
  get endAddress(): number {
    const ends = this.#regions.regions.map((region) => region.guestAddress + region.sizeBytes);
    return Math.max(0, ...ends);
  }

  /** Maps regions and makes them known to every worker. null, or why not; then nothing has changed. */
  async add(region: RegionDescription, fd: number): Promise<string | null> {
    const mapped = this.#map(region, fd);
    if (typeof mapped === 'string') return mapped;
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots: [], add: [mapped] });
    return null;
  }

  /** Unmaps a region once no command in flight can touch it. null, or why not. */
  async remove(region: RegionDescription): Promise<string | null> {
    const mapped = this.#regions.find(region);
    if (mapped === undefined) {
      return `guest address=0x${region.guestAddress.toString(16)} size=${region.sizeBytes}: no such region`;
    }
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots: [mapped.slot], add: [] });
    this.#regions.remove(mapped.slot);
    this.#unmap(mapped);
    return null;
  }

  /** SET_MEM_TABLE: the new table instead of the old one, or a reason and the old one gone as well. */
  async replace(
    regions: ReadonlyArray<{ readonly region: RegionDescription; readonly fd: number }>,
  ): Promise<string | null> {
    const old = this.#regions.regions;
    this.#regions.clear();
    const added = [];
    let refusal: string | null = null;
    for (const { region, fd } of regions) {
      const mapped = this.#map(region, fd);
      if (typeof mapped === 'string') {
        refusal = mapped;
        break;
      }
      added.push(mapped);
    }
    const removeSlots = old.map((region) => region.slot);
    await this.#workers.askAll({ kind: 'changeRegions', removeSlots, add: added });
    for (const region of old) this.#unmap(region);
    return refusal;
  }

  /** Puts a translation into the IOTLB. null, or why not. */
  updateIotlb({ iova, sizeBytes, userAddress, access }: IotlbUpdate): string | null {
    const region = this.#regions.findUser(userAddress, sizeBytes);
    if (region === undefined) {
      return `user address=0x${userAddress.toString(16)} size=${sizeBytes} is not inside one memory region`;
    }
    const offsetBytes = userAddress - region.userAddress;
    const translation = { iova, sizeBytes, slot: region.slot, offsetBytes, access };
    this.#iotlbUsed = true;
    // Not awaited: what a worker is asked, it does in the order of the asking.
    void this.#workers.askAll({ kind: 'updateIotlb', translation });
    return null;
  }

  /** Forgets translations of [start, end), once no command in flight uses them. */
  async invalidateIotlb(start: number, end: number): Promise<void> {
    await this.#workers.askAll({ kind: 'invalidateIotlb', start, end });
  }

  async forgetIotlb(): Promise<void> {
    if (!this.#iotlbUsed) return;
    this.#iotlbUsed = false;
    await this.invalidateIotlb(0, Number.MAX_SAFE_INTEGER);
  }

  /** Maps a region into the table, or says why not. Its file is kept open for a successor. */
  #map(region: RegionDescription, fd: number): MappedRegion | string {
    const refusal = this.#regions.refusal(region);
    if (refusal !== null) return refusal;
    if (canShrink(fd)) this.#onShrinkable();
    const address = this.#mapped.map(region, fd);
    if (typeof address === 'string') return address;
    const mapped = this.#regions.add(region, address);
    const failure = this.#files.keep(mapped, { region, fd });
    if (failure === null) return mapped;
    this.#regions.remove(mapped.slot);
    this.#mapped.unmap(mapped.hostAddress);
    return failure;
  }

  #unmap(mapped: MappedRegion): void {
    this.#mapped.unmap(mapped.hostAddress);
    this.#files.drop(mapped);
  }
}
