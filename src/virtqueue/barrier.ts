/**
 * The only atomic accesses to rings. Each name says which ordering it gives and which access of the
 * driver it pairs with. `Atomics` on memory shared with another process is sequentially consistent in
 * V8 (a plain load, and a store that is a full barrier, on x86-64); ECMAScript itself promises it only
 * between agents. Indices are 16 bits wide and aligned, so no access can tear (a DataView would: V8's
 * unoptimised one reads byte by byte). A packed ring pairs 16-bit fields in one aligned 32-bit word:
 * id with flags, an event's offset with its flags.
 */

const FENCE = new Int32Array(1);

/** Loads an index that the driver published: what it wrote before is visible after. */
export function loadAcquire16(ring: Uint16Array, index: number): number {
  return Atomics.load(ring, index);
}

/**
 * Publishes an index, or the flags of a packed descriptor: everything written before is visible to a
 * driver that sees it. It is also a full barrier against later loads, which avail_event → avail.idx,
 * used.idx → used_event and used flags → driver event all need (virtio 1.3 §2.7.7.2, §2.7.10.2: store,
 * then re-check the other side).
 */
export function storeRelease16(ring: Uint16Array, index: number, value: number): void {
  Atomics.store(ring, index, value);
}

/**
 * Loads a packed descriptor's id and flags, or an event structure: what the driver wrote before it set
 * the flags is visible after (virtio 1.3 §2.8.21.1.1: its barrier before the flags), and an offset is
 * never seen with the flags of another.
 */
export function loadAcquire32(ring: Int32Array, index: number): number {
  return Atomics.load(ring, index);
}

/**
 * What was loaded before is loaded before what is loaded after: many plain loads of flags are followed
 * by one of these instead of being acquires one by one. A sequentially consistent store and a load after
 * it keep their order on every processor, the store after earlier loads, the load before later ones.
 */
export function fenceLoads(): void {
  Atomics.store(FENCE, 0, 0);
  Atomics.load(FENCE, 0);
}

/**
 * Publishes a packed descriptor's id and flags, or a device event structure, whole. Like `storeRelease16` also a full barrier against the look
 * at the descriptors that has to follow (virtio 1.3 §2.8.21.3.1 is the driver's half).
 */
export function storeRelease32(ring: Int32Array, index: number, value: number): void {
  Atomics.store(ring, index, value);
}
