/**
 * The dirty log of a live migration: a bit for each page of guest memory that the device has written,
 * in memory that the front-end reads and clears meanwhile. A page is marked after it was written, never
 * before: whoever clears the mark and then reads the page has seen the write.
 * A page beyond the log is told of once and not marked. Source: vhost-user.rst, "Migration".
 */
import { VHOST_LOG_PAGE } from '../../protocol/vhost-user-payloads.ts';
import type { GuestMemory } from './guest-memory.ts';

const PAGES_PER_BYTE = 8;

/** Guest addresses below this are covered by a log of so many bytes. */
export function logCoversBelow(sizeBytes: number): number {
  return sizeBytes * PAGES_PER_BYTE * VHOST_LOG_PAGE;
}

export interface DirtyLogEvents {
  /** Pages are marked that were not. */
  onMarked(): void;
  /** A page was written that the log has no bit for; called once. */
  onOutside(guestAddress: number): void;
}

export class DirtyLog {
  readonly #bitmap: Uint8Array;
  readonly #memory: GuestMemory;
  readonly #events: DirtyLogEvents;
  #toldOutside = false;
  /** The region that was found last: requests of one driver lie close together. */
  #region = 0;

  constructor(bitmap: Uint8Array, memory: GuestMemory, events: DirtyLogEvents) {
    this.#bitmap = bitmap;
    this.#memory = memory;
    this.#events = events;
  }

  /** Marks the pages of a range of guest addresses that has been written. */
  mark(guestAddress: number, lengthBytes: number): void {
    const bitmap = this.#bitmap;
    const last = Math.floor((guestAddress + lengthBytes - 1) / VHOST_LOG_PAGE);
    let fresh = 0;
    for (let page = Math.floor(guestAddress / VHOST_LOG_PAGE); page <= last; ) {
      const byte = Math.floor(page / PAGES_PER_BYTE);
      if (byte >= bitmap.length) {
        this.#outside(page * VHOST_LOG_PAGE);
        break;
      }
      const bit = page - byte * PAGES_PER_BYTE;
      const endBit = Math.min(PAGES_PER_BYTE, bit + last - page + 1);
      const bits = (1 << endBit) - (1 << bit);
      // Always, even when the bits look set: only an atomic change keeps the write before it visible to
      // a front-end that clears the byte now.
      fresh |= bits & ~Atomics.or(bitmap, byte, bits);
      page += endBit - bit;
    }
    if (fresh !== 0) this.#events.onMarked();
  }

  /**
   * The same of a range of host addresses, which is how guest buffers are known once a request runs,
   * whether the driver named them by guest addresses or through an IOMMU. What is no guest memory (any
   * more) is left out.
   */
  markHost(hostAddress: number, lengthBytes: number): void {
    const { starts, ends, hosts } = this.#memory;
    const end = hostAddress + lengthBytes;
    for (let at = hostAddress; at < end; ) {
      const region = this.#findHost(at);
      if (region < 0) return;
      const guestAddress = starts[region]! + (at - hosts[region]!);
      const piece = Math.min(end - at, ends[region]! - guestAddress);
      this.mark(guestAddress, piece);
      at += piece;
    }
  }

  /** Index of the region that is mapped at a host address, or -1. */
  #findHost(hostAddress: number): number {
    const { count } = this.#memory;
    if (this.#region < count && this.#holds(this.#region, hostAddress)) return this.#region;
    for (let region = 0; region < count; region++) {
      if (!this.#holds(region, hostAddress)) continue;
      this.#region = region;
      return region;
    }
    return -1;
  }

  #holds(region: number, hostAddress: number): boolean {
    const { starts, ends, hosts } = this.#memory;
    const offset = hostAddress - hosts[region]!;
    return offset >= 0 && offset < ends[region]! - starts[region]!;
  }

  #outside(guestAddress: number): void {
    if (this.#toldOutside) return;
    this.#toldOutside = true;
    this.#events.onOutside(guestAddress);
  }
}
