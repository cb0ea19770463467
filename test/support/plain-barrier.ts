/**
 * What src/virtqueue/barrier.ts does, on things that look like typed arrays: for tests that put proxies in
 * the place of rings, which Atomics do not take. For `vi.mock`; in a file of its own, because what is mocked
 * may not import its mock.
 */

export function loadAcquire16(ring: Uint16Array, index: number): number {
  return ring[index]!;
}

export function storeRelease16(ring: Uint16Array, index: number, value: number): void {
  ring[index] = value;
}

export function loadAcquire32(ring: Int32Array, index: number): number {
  return ring[index]!;
}

export function storeRelease32(ring: Int32Array, index: number, value: number): void {
  ring[index] = value;
}

/** Nothing here reorders loads. */
export function fenceLoads(): void {}
