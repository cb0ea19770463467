/**
 * A descriptor chain whose addresses go through the IOTLB. The walk is DescriptorChain's own; what is added
 * is the third outcome: pages without translation, or without the access that the descriptor needs, are
 * listed, and the chain is walked again when the front-end has answered.
 */
import type { AddressTable } from '../memory/guest-memory.ts';
import {
  ACCESS_BOTH,
  ACCESS_READ,
  ACCESS_WRITE,
  HOLE_SLOT,
  IOTLB_PAGE_BYTES,
  type Iotlb,
} from '../memory/iotlb.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import { CHAIN_ADDRESS_UNMAPPED, CHAIN_MISS, INDIRECT_UNMAPPED } from './ring-violation.ts';
import type { VringPart } from './vring-config.ts';

/** A page that is needed, and for what (ACCESS_*). */
export interface MissedPage {
  readonly iova: number;
  readonly access: number;
}

/** Pages asked for at once; a chain that lacks more asks again. */
export const MISSED_PAGES_MAX = 64;

export function pageOf(iova: number): number {
  return iova - (iova % IOTLB_PAGE_BYTES);
}

/** The pages that a ring itself needs before it can run. */
export function missedRingPages(iotlb: Iotlb, parts: readonly VringPart[]): MissedPage[] {
  const pages = new Map<number, number>();
  for (const { address, sizeBytes, deviceWrites } of parts) {
    const access = deviceWrites ? ACCESS_BOTH : ACCESS_READ;
    for (const iova of iotlb.missingPages(address, sizeBytes, access, MISSED_PAGES_MAX)) {
      addPage(pages, iova, access);
    }
  }
  return listOf(pages);
}

/** A page that is needed twice is asked for once, with all that it is needed for. */
function addPage(pages: Map<number, number>, iova: number, access: number): void {
  pages.set(iova, (pages.get(iova) ?? 0) | access);
}

function listOf(pages: ReadonlyMap<number, number>): MissedPage[] {
  return [...pages].map(([iova, access]) => ({ iova, access }));
}

export class TranslatedChain extends DescriptorChain {
  /** After CHAIN_MISS: what has to be asked for. */
  missed: MissedPage[] = [];
  readonly #iotlb: Iotlb;

  constructor(ringSize: number, iotlb: Iotlb) {
    super(ringSize);
    this.#iotlb = iotlb;
  }

  override walk(
    memory: AddressTable,
    table: DataView,
    ringSize: number,
    head: number,
    indirectAllowed: boolean,
  ): number {
    this.#iotlb.misses = 0;
    return this.#translated(super.walk(memory, table, ringSize, head, indirectAllowed));
  }

  override walkList(memory: AddressTable, ringSize: number, indirectAllowed: boolean): number {
    this.#iotlb.misses = 0;
    return this.#translated(super.walkList(memory, ringSize, indirectAllowed));
  }

  /** The end of a walk, with what it found missing. */
  #translated(end: number): number {
    if (end !== 0 && end !== CHAIN_ADDRESS_UNMAPPED && end !== INDIRECT_UNMAPPED) return end;
    if (this.#iotlb.misses === 0 && this.#allAllowed()) return 0;
    this.missed = this.#missedPages();
    return CHAIN_MISS;
  }

  #accessNeeded(segment: number): number {
    return segment < this.readableCount ? ACCESS_READ : ACCESS_WRITE;
  }

  #isAllowed(segment: number): boolean {
    const access = this.#iotlb.accessOfSlot[this.slot[segment]!]!;
    return (access & this.#accessNeeded(segment)) !== 0;
  }

  #allAllowed(): boolean {
    for (let s = 0; s < this.segmentCount; s++) if (!this.#isAllowed(s)) return false;
    return true;
  }

  #missedPages(): MissedPage[] {
    const { startOfSlot, hostOfSlot, missedAt } = this.#iotlb;
    const pages = new Map<number, number>();
    for (let s = 0; s < this.segmentCount && pages.size < MISSED_PAGES_MAX; s++) {
      const slot = this.slot[s]!;
      if (slot !== HOLE_SLOT && this.#isAllowed(s)) continue;
      const host = this.hostAddress[s]!;
      // In a hole the address stands for itself.
      const iova = slot === HOLE_SLOT ? host : host - hostOfSlot[slot]! + startOfSlot[slot]!;
      addPage(pages, pageOf(iova), this.#accessNeeded(s));
    }
    // None of the buffers: then it is the indirect table that names them.
    if (pages.size === 0) addPage(pages, pageOf(missedAt), ACCESS_READ);
    return listOf(pages);
  }
}
