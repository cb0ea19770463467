/**
 * The port for the few bytes that the loop device moves itself: bounce buffers, zero fill, the serial.
 * Addresses are this process's; plain functions in a worker, array copies in tests.
 */
export interface HostMemory {
  copy(toAddress: number, fromAddress: number, lengthBytes: number): void;
  zero(address: number, lengthBytes: number): void;
  /** Zeroed, page-aligned memory that never moves, for as long as the worker lives. */
  allocate(sizeBytes: number): { readonly address: number; readonly buffer: ArrayBuffer };
  release(address: number, sizeBytes: number): void;
}
