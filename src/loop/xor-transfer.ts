/**
 * The two modules that the loop driver always had: none, and xor (drivers/block/loop.c, transfer_xor), which proves the
 * plumbing and hides nothing. Pure.
 */
import { defineTransfer } from './transfer-module.ts';

/** LO_KEY_SIZE: what a loop_info64 had room for. */
const XOR_KEY_BYTES_MAX = 32;
const XOR_PERIOD_BYTES = 512;

/** Data stay as they are: a device that uses it is one without a module. */
export const noneTransfer = defineTransfer({
  number: 0,
  name: 'none',
  keyBytes: null,
  transfer: () => 0,
  init: () => ({ directIo: true, discard: true }),
});

/** Each byte with the key's byte at its place in its 512 bytes, the key repeated. */
export const xorTransfer = defineTransfer<Uint8Array>({
  number: 1,
  name: 'xor',
  keyBytes: { min: 1, max: XOR_KEY_BYTES_MAX },
  init(device) {
    const { key } = device;
    device.keyData = Uint8Array.from({ length: XOR_PERIOD_BYTES }, (_, i) => key[i % key.length]!);
    return undefined;
  },
  transfer({ keyData }, _command, bytes) {
    const pad = keyData!;
    for (let i = 0; i < bytes.length; i++) bytes[i]! ^= pad[i & (XOR_PERIOD_BYTES - 1)]!;
    return 0;
  },
  release({ keyData }) {
    keyData?.fill(0);
  },
});
