/**
 * The IOTLB of a worker and the vrings that go through it: which pages a ring itself lacks, which rings lie
 * in what is invalidated, whether commands in flight still use it. Made when the first vring needs it.
 */
import type { GuestMemory } from '../memory/guest-memory.ts';
import { Iotlb, type Translation } from '../memory/iotlb.ts';
import {
  type MissedPage,
  missedRingPages,
  TranslatedChain,
} from '../virtqueue/translated-chain.ts';
import { TranslatedVring } from '../virtqueue/translated-vring.ts';
import type { Vring } from '../virtqueue/vring.ts';
import { vringParts } from '../virtqueue/vring-config.ts';
import type { VringStart } from './messages.ts';

export interface IovaRange {
  readonly start: number;
  readonly end: number;
}

/** Asks for translations; what asked is told when they are there, or denied. */
export type AskForPages = (vring: number, pages: readonly MissedPage[]) => void;

export class WorkerIotlb {
  readonly #memory: GuestMemory;
  readonly #ask: AskForPages;
  #iotlb: Iotlb | null = null;
  /** By vring: what its commands in flight hold. */
  readonly #vrings = new Map<number, TranslatedVring>();

  constructor(memory: GuestMemory, ask: AskForPages) {
    this.#memory = memory;
    this.#ask = ask;
  }

  /** Null until a vring needs it. */
  get table(): Iotlb | null {
    return this.#iotlb;
  }

  /** What a vring's addresses are looked up in, or null when it has to wait for its own pages. */
  tableFor(start: VringStart): Iotlb | null {
    const iotlb = this.#made();
    const missed = missedRingPages(iotlb, vringParts(start, start.packed));
    if (missed.length === 0) return iotlb;
    this.#ask(start.index, missed);
    return null;
  }

  /** The vring as the loop device sees it, and where its chains are walked into. */
  wrap(index: number, vring: Vring): { vring: TranslatedVring; chain: TranslatedChain } {
    const iotlb = this.#made();
    const translated = new TranslatedVring(vring, iotlb);
    this.#vrings.set(index, translated);
    return { vring: translated, chain: new TranslatedChain(vring.size, iotlb) };
  }

  /** A vring has stopped: what it left in flight touches nothing any more. */
  unwrap(index: number): void {
    this.#vrings.get(index)?.releaseAll();
    this.#vrings.delete(index);
  }

  update(translation: Translation): void {
    this.#made().update(translation);
  }

  /** New commands do not find it from here on. */
  invalidate({ start, end }: IovaRange): void {
    this.#iotlb?.invalidate(start, end);
  }

  isUsed({ start, end }: IovaRange): boolean {
    return this.#iotlb?.isUsed(start, end) ?? false;
  }

  /** Whether a ring itself lies in a range. */
  holdsRing({ start, end }: IovaRange, vring: VringStart): boolean {
    return (
      vring.translated &&
      vringParts(vring, vring.packed).some(
        ({ address, sizeBytes }) => address < end && address + sizeBytes > start,
      )
    );
  }

  dropRegions(slots: readonly number[]): void {
    for (const slot of slots) this.#iotlb?.dropRegion(slot);
  }

  /** No vring is left. */
  forget(): void {
    this.#iotlb = null;
  }

  #made(): Iotlb {
    this.#iotlb ??= new Iotlb(this.#memory);
    return this.#iotlb;
  }
}
