/**
 * Transfer modules for tests, and rigs that use them: one whose result depends on the sector and on nothing else, so
 * that the whole disk can be computed at once; and the real ones with a fixed key.
 */
import type { AttachedTransfer } from '../../src/loop/attached-transfer.ts';
import type { BounceBuffers } from '../../src/loop/bounce-buffers.ts';
import { defineTransfer, type TransferModule } from '../../src/loop/transfer-module.ts';
import { TransferRegistry } from '../../src/loop/transfer-registry.ts';

const SECTOR_BYTES = 512;

export interface AttachOptions {
  readonly key?: Uint8Array;
  readonly options?: Readonly<Record<string, string>>;
  readonly blockSizeBytes?: number;
  readonly onFailure?: (reason: string) => void;
}

/** For a rig's `transfer`. */
export function using(module: TransferModule<never>, more: AttachOptions = {}) {
  return (bounce: BounceBuffers): AttachedTransfer => {
    const registry = new TransferRegistry();
    registry.register(module as TransferModule);
    const { key = new Uint8Array(0), options = {}, blockSizeBytes = 512 } = more;
    return registry.attach(module.number, {
      key: Uint8Array.from(key),
      options,
      blockSizeBytes,
      bounce,
      onFailure: more.onFailure ?? (() => {}),
    });
  };
}

/** Adds to each byte what its sector and its place say: twice is not once, and nothing is its own inverse. */
export function shift(bytes: Uint8Array, sector: number, sign: 1 | -1): void {
  for (let i = 0; i < bytes.length; i++) {
    const at = sector + Math.floor(i / SECTOR_BYTES);
    bytes[i] = bytes[i]! + sign * (1 + ((at * 7 + (i % SECTOR_BYTES)) % 251));
  }
}

export interface ShiftCall {
  readonly command: string;
  readonly sector: number;
  readonly lengthBytes: number;
}

/** `calls`: what it was called with. */
export function shiftTransfer(traits: object = {}, calls: ShiftCall[] = []): TransferModule<never> {
  return defineTransfer<never>({
    number: 7,
    name: 'shift',
    keyBytes: null,
    init: () => traits,
    transfer(_device, command, bytes, sector) {
      calls.push({ command, sector, lengthBytes: bytes.length });
      shift(bytes, sector, command === 'write' ? 1 : -1);
      return undefined;
    },
  });
}
