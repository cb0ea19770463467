/**
 * Bounce buffers at true addresses for a rig whose other memory is plain buffers: ciphers of OpenSSL work on memory
 * by its address. One mapping for all rigs of a test process; a rig's buffers hold nothing that another one reads.
 */

import { errnoName } from '../../protocol/errno.ts';
import type { HostMemory } from '../../src/loop/host-memory.ts';
import { mapAnonymous, viewMemory } from '../../src/sys/mmap.ts';
import type { HostSpace } from './host-space.ts';

const mappings = new Map<number, { readonly address: number; readonly buffer: ArrayBuffer }>();

/** The rig's memory, but for what is allocated through this. */
export function realMemory(space: HostSpace): HostMemory {
  return {
    copy: (to, from, lengthBytes) => space.copy(to, from, lengthBytes),
    zero: (address, lengthBytes) => space.zero(address, lengthBytes),
    allocate(sizeBytes) {
      const mapping = mappings.get(sizeBytes) ?? mapped(sizeBytes);
      mappings.set(sizeBytes, mapping);
      space.map(mapping.address, new Uint8Array(mapping.buffer));
      return mapping;
    },
    release() {},
  };
}

function mapped(sizeBytes: number) {
  const address = mapAnonymous(sizeBytes);
  if (address < 0) throw new Error(`cannot map ${sizeBytes} bytes: ${errnoName(address)}`);
  return { address, buffer: viewMemory(address, sizeBytes) };
}
