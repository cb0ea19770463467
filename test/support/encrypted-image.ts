/**
 * Images as other programs would have encrypted them: node's own ciphers, an object for each unit. The independent
 * side of tests of transfer modules.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

export interface UnitCipherText {
  readonly algorithm: string;
  readonly key: Uint8Array;
  readonly unitBytes: number;
  /** The IV of the unit at this place of the disk. */
  readonly ivOf: (unit: number) => Buffer;
}

/** A number as an IV: its low bytes first. */
export function ivOfNumber(number: number, bytes: 4 | 8 = 8): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeUIntLE(number % 2 ** 32, 0, 4);
  if (bytes === 8) iv.writeUIntLE(Math.floor(number / 2 ** 32), 4, 4);
  return iv;
}

/** dm-crypt's aes-xts-plain64; `ivOffset` in sectors. */
export function xts(key: Uint8Array, unitBytes = 512, ivOffset = 0): UnitCipherText {
  const algorithm = `aes-${key.length * 4}-xts`;
  const ivOf = (unit: number) => ivOfNumber(ivOffset + (unit * unitBytes) / 512);
  return { algorithm, key, unitBytes, ivOf };
}

/** cryptoloop's aes-cbc. */
export function cryptoloop(key: Uint8Array): UnitCipherText {
  const ivOf = (unit: number) => ivOfNumber(unit, 4);
  return { algorithm: `aes-${key.length * 8}-cbc`, key, unitBytes: 512, ivOf };
}

export function encrypted(plain: Uint8Array, by: UnitCipherText): Buffer {
  return throughUnits(plain, by, createCipheriv);
}

export function decrypted(image: Uint8Array, by: UnitCipherText): Buffer {
  return throughUnits(image, by, createDecipheriv);
}

type MakeCipher = (
  algorithm: string,
  key: Uint8Array,
  iv: Buffer,
) => {
  setAutoPadding(on: boolean): unknown;
  update(bytes: Uint8Array): Buffer;
};

function throughUnits(bytes: Uint8Array, by: UnitCipherText, make: MakeCipher): Buffer {
  const { algorithm, key, unitBytes, ivOf } = by;
  const out = Buffer.alloc(bytes.length);
  for (let at = 0; at < bytes.length; at += unitBytes) {
    const cipher = make(algorithm, key, ivOf(at / unitBytes));
    cipher.setAutoPadding(false);
    out.set(cipher.update(bytes.subarray(at, at + unitBytes)), at);
  }
  return out;
}

/** The loop driver's xor. */
export function xored(bytes: Uint8Array, key: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ key[(i % 512) % key.length]!));
}
