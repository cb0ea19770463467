/**
 * The encrypting transfer modules against published vectors (IEEE 1619-2007 annex B, NIST SP 800-38A), against
 * `openssl enc` sector by sector, and against node's own cipher over many sectors at once.
 */
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ioPlace } from '../../../src/loop/backing-port.ts';
import { BounceBuffers } from '../../../src/loop/bounce-buffers.ts';
import type { TransferModule } from '../../../src/loop/transfer-module.ts';
import { EvpCipher } from '../../../src/sys/evp-cipher.ts';
import { FixedBytes } from '../../../src/sys/libc.ts';
import { aesXtsTransfer, cryptoloopTransfer } from '../../../src/transfer/aes-transfers.ts';
import { HostSpace } from '../../support/host-space.ts';
import { noise } from '../../support/image-content.ts';
import { realMemory } from '../../support/real-bounce.ts';
import { type AttachOptions, using } from '../../support/test-transfers.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

/** Transforms bytes as a disk's data that begin at a sector. */
function transformed(
  module: TransferModule<never>,
  command: 'read' | 'write',
  bytes: Uint8Array,
  sector: number,
  more: AttachOptions & { fileOffsetBytes?: number },
): Buffer {
  const bounce = new BounceBuffers(realMemory(new HostSpace()));
  const transfer = using(module, { blockSizeBytes: 4096, ...more })(bounce);
  const buffer = bounce.bytesOf(2, bytes.length);
  buffer.set(bytes);
  const offset = more.fileOffsetBytes ?? 0;
  expect(transfer.run(command, 2, ioPlace(sector * 512 + offset, 0), bytes.length, offset)).toBe(0);
  transfer.release();
  return Buffer.from(buffer);
}

const xts = aesXtsTransfer as TransferModule<never>;
const cryptoloop = cryptoloopTransfer as TransferModule<never>;

function le64(number: number): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64LE(BigInt(number));
  return iv;
}

/** What dm-crypt would have written, by node's cipher: a cipher object for each unit. */
function xtsByNode(key: Buffer, bytes: Buffer, unitBytes: number, ivOf: (unit: number) => number) {
  const units = [];
  for (let at = 0; at < bytes.length; at += unitBytes) {
    const cipher = createCipheriv(
      `aes-${key.length * 4}-xts` as string,
      key,
      le64(ivOf(at / unitBytes)),
    );
    units.push(cipher.update(bytes.subarray(at, at + unitBytes)), cipher.final());
  }
  return Buffer.concat(units);
}

/** One sector by the openssl program. */
function byOpenssl(cipher: string, key: Buffer, iv: Buffer, bytes: Uint8Array): Buffer {
  const args = [
    'enc',
    `-${cipher}`,
    '-nopad',
    '-K',
    key.toString('hex'),
    '-iv',
    iv.toString('hex'),
  ];
  const { status, stdout, stderr } = spawnSync('openssl', args, { input: bytes });
  if (status !== 0) throw new Error(`openssl ${args[1]}: ${stderr}`);
  return stdout;
}

describe('IEEE 1619-2007, annex B', () => {
  // Vectors 1 and 15 on are of equal key halves or of units that no disk has: OpenSSL refuses the former.
  test.each([
    [
      'vector 2',
      '1111111111111111111111111111111122222222222222222222222222222222',
      0x3333333333,
      '44'.repeat(32),
      'c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0',
    ],
    [
      'vector 3',
      'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f022222222222222222222222222222222',
      0x3333333333,
      '44'.repeat(32),
      'af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89',
    ],
  ])('%s', (_, key, number, text, cipherText) => {
    const memory = new FixedBytes(32);
    const units = { unitBytes: 32, ivStep: 1, ivBytes: 8 } as const;
    const cipher = EvpCipher.open('aes-128-xts', hex(key), units)!;
    memory.bytes.set(hex(text));
    expect(cipher.run(true, memory.address, 32, number)).toBe(0);
    expect(Buffer.from(memory.bytes)).toEqual(hex(cipherText));
    expect(cipher.run(false, memory.address, 32, number)).toBe(0);
    expect(Buffer.from(memory.bytes)).toEqual(hex(text));
    cipher.close();
    expect(cipher.run(true, memory.address, 32, number)).toBe(-1);
  });

  const counting = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
  const first = hex(`27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c
    c78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412`);

  test('vector 4: 512 bytes, sector 0', () => {
    const key = hex('2718281828459045235360287471352631415926535897932384626433832795');
    const out = transformed(xts, 'write', counting, 0, { key });
    expect(out.subarray(0, 64)).toEqual(first);
    expect(out).toEqual(xtsByNode(key, counting, 512, () => 0));
  });

  test('vector 10: 512 bytes, a 512-bit key, sector 0xff', () => {
    const key = hex(`2718281828459045235360287471352662497757247093699959574966967627
      3141592653589793238462643383279502884197169399375105820974944592`);
    const out = transformed(xts, 'write', counting, 0xff, { key });
    expect(out.subarray(0, 32)).toEqual(
      hex('1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b'),
    );
    expect(transformed(xts, 'read', out, 0xff, { key })).toEqual(counting);
  });
});

test('NIST SP 800-38A, F.2: CBC of AES-128, 192 and 256 through the same calls', () => {
  const text = hex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51');
  const cases = [
    [
      '2b7e151628aed2a6abf7158809cf4f3c',
      '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2',
    ],
    [
      '8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b',
      '4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a',
    ],
    [
      '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
      'f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d',
    ],
  ] as const;
  // The vectors' IV is 000102…0f, ours is a number: the first block takes the difference.
  const difference = Buffer.from(Array.from({ length: 16 }, (_, i) => i));
  for (const [key, cipherText] of cases) {
    const bytes = Buffer.alloc(512);
    text.copy(bytes);
    for (let i = 0; i < 16; i++) bytes[i]! ^= difference[i]!;
    const out = transformed(cryptoloop, 'write', bytes, 0, { key: hex(key) });
    expect(out.subarray(0, 32)).toEqual(hex(cipherText));
    expect(transformed(cryptoloop, 'read', out, 0, { key: hex(key) })).toEqual(bytes);
  }
});

describe('cryptoloop-aes-cbc, against openssl', () => {
  test.each([16, 24, 32])(
    'a key of %i bytes: the sector number is the IV, its low 32 bits',
    (bytes) => {
      const key = noise(bytes, 77);
      // 2^32 + 2 is above what an IV of cryptoloop can tell.
      for (const sector of [0, 1, 0x12345678, 2 ** 32 + 2]) {
        const data = noise(1024, sector + 1);
        const sectors = [0, 1].map((i) => {
          const iv = Buffer.alloc(16);
          iv.writeUInt32LE((sector + i) % 2 ** 32);
          return byOpenssl(`aes-${bytes * 8}-cbc`, key, iv, data.subarray(i * 512, (i + 1) * 512));
        });
        const out = transformed(cryptoloop, 'write', data, sector, { key });
        expect(out).toEqual(Buffer.concat(sectors));
        expect(transformed(cryptoloop, 'read', out, sector, { key })).toEqual(data);
      }
    },
  );

  test('sectors are the file’s where the disk has an offset in it, as the loop driver’s were', () => {
    const key = noise(16, 5);
    const data = noise(512, 6);
    const shifted = transformed(cryptoloop, 'write', data, 3, { key, fileOffsetBytes: 4096 });
    expect(shifted).toEqual(transformed(cryptoloop, 'write', data, 11, { key }));
  });
});

describe('aes-xts-plain64, against node', () => {
  const key = noise(64, 9);
  const data = noise(16 * 1024, 10);

  test.each([
    ['512', {}, (unit: number, first: number) => first + unit],
    ['4096', {}, (unit: number, first: number) => first + 8 * unit],
    ['4096', { iv_large_sectors: 'on' }, (unit: number, first: number) => first / 8 + unit],
    ['512', { iv_offset: '24' }, (unit: number, first: number) => first + 24 + unit],
    ['4096', { iv_offset: '24' }, (unit: number, first: number) => first + 24 + 8 * unit],
    [
      '4096',
      { iv_offset: '24', iv_large_sectors: '' },
      (unit: number, first: number) => first / 8 + 3 + unit,
    ],
    ['1024', {}, (unit: number, first: number) => first + 2 * unit],
  ])('sector_size=%s, %j', (sectorSize, more, ivOf) => {
    const options = { sector_size: sectorSize, ...more };
    for (const first of [0, 8, 2 ** 31 - 8, 2 ** 32 - 16, 2 ** 41]) {
      const out = transformed(xts, 'write', data, first, { key, options });
      const expected = xtsByNode(key, data, Number(sectorSize), (unit) => ivOf(unit, first));
      expect(Buffer.compare(out, expected), `sector ${first}`).toBe(0);
      expect(Buffer.compare(transformed(xts, 'read', out, first, { key, options }), data)).toBe(0);
    }
  });

  test('sectors are the disk’s where it has an offset in its file, as dm-crypt’s', () => {
    const there = transformed(xts, 'write', data, 3, { key, fileOffsetBytes: 32768 });
    expect(there).toEqual(transformed(xts, 'write', data, 3, { key }));
  });
});

describe('what is refused', () => {
  const attach = (module: TransferModule<never>, more: AttachOptions) => () =>
    using(module, more)(new BounceBuffers(new HostSpace()));
  const key = noise(64, 1);

  test.each([
    [xts, { key: noise(48, 1) }, 'the key has 48 bytes, aes-xts-plain64 expects 32 or 64'],
    [xts, {}, 'aes-xts-plain64 needs a key of 32 or 64 bytes'],
    [xts, { key: Buffer.alloc(64, 7) }, 'the two halves of an XTS key must differ'],
    [xts, { key, options: { sector_size: '256' } }, 'sector_size=256, expected 512'],
    [xts, { key, options: { iv_offset: '-1' } }, 'iv_offset=-1, expected a number'],
    [
      xts,
      { key, options: { iv_offset: '3', sector_size: '4096' }, blockSizeBytes: 4096 },
      'iv_offset=3, expected a multiple of 8',
    ],
    [
      xts,
      { key, options: { iv_large_sectors: 'yes' } },
      'iv_large_sectors=yes, expected on or off',
    ],
    [
      xts,
      { key, options: { cipher: 'x' } },
      'unknown option cipher, expected iv_offset, sector_size',
    ],
    [
      xts,
      { key, options: { sector_size: '4096' } },
      'its units are 4096 bytes and the disk has 512-byte blocks',
    ],
    [
      cryptoloop,
      { key: noise(20, 1) },
      'the key has 20 bytes, cryptoloop-aes-cbc expects 16 or 24 or 32',
    ],
    [
      cryptoloop,
      { key: noise(16, 1), options: { iv_offset: '1' } },
      'unknown option iv_offset, expected none',
    ],
  ])('%#', (module, more, sentence) => expect(attach(module, more)).toThrow(sentence));
});
