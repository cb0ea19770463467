/**
 * The only atomic accesses to rings. Each name says which ordering it gives and which access of the
 * driver it pairs with. `Atomics` on memory shared with another process is sequentially consistent in
 * V8 (a plain load, and a store that is a full barrier, on x86-64); ECMAScript itself promises it only
 * between agents. Indices are 16 bits wide and aligned, so no access can tear (a DataView would: V8's
 * unoptimised one reads byte by byte).
 */

/** Loads an index that the driver published: what it wrote before is visible after. */
export function loadAcquire16(ring: Uint16Array, index: number): number {
  return Atomics.load(ring, index);
}

/**
 * Publishes an index: everything written before is visible to a driver that sees it. It is also a full
 * barrier against later loads, which avail_event → avail.idx and used.idx → used_event both need
 * (virtio 1.3 §2.7.7.2, §2.7.10.2: store, then re-check the other side).
 */
export function storeRelease16(ring: Uint16Array, index: number, value: number): void {
  Atomics.store(ring, index, value);
}
