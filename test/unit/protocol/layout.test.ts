/**
 * struct() and codes(): a slip in a declaration is found when the module loads, and names survive in
 * both directions.
 */
import { describe, expect, test } from 'vitest';
import {
  bitsToWord,
  codes,
  fieldSizeBytes,
  namesOfBits,
  struct,
} from '../../../protocol/layout.ts';

describe('struct', () => {
  test('adds offsets up in declaration order', () => {
    const layout = struct('s', 'here', 16, {
      a: ['u8', ''],
      b: ['bytes[3]', ''],
      c: ['le32', ''],
      d: ['u64', ''],
    });
    expect(layout.at).toEqual({ a: 0, b: 1, c: 4, d: 8 });
  });

  test('refuses a field that is not aligned to its size, and names it', () => {
    const declare = () => struct('s', 'here', 5, { a: ['u8', ''], b: ['u32', ''] });
    expect(declare).toThrow('s.b: offset 1 is not a multiple of 4');
  });

  test('a packed struct has no alignment', () => {
    const layout = struct('s', '', 5, { a: ['u8', ''], b: ['u32', ''] }, { packed: true });
    expect(layout.at.b).toBe(1);
  });

  test.each([7, 9])('refuses a declared size of %i for eight bytes of fields', (size) => {
    const declare = () => struct('s', 'here', size, { a: ['u64', ''] });
    expect(declare).toThrow(`s: fields take 8 bytes, declared ${size}`);
  });

  test('bytes may start anywhere', () => {
    const layout = struct('s', 'here', 4, { a: ['u8', ''], b: ['bytes[3]', ''] });
    expect(layout.at.b).toBe(1);
  });
});

test.each([
  ['u8', 1],
  ['u16', 2],
  ['u32', 4],
  ['u64', 8],
  ['i32', 4],
  ['le16', 2],
  ['le32', 4],
  ['le64', 8],
  ['bytes[144]', 144],
] as const)('%s takes %i bytes', (type, size) => expect(fieldSizeBytes(type)).toBe(size));

describe('codes', () => {
  const family = codes('F', 'here', { F_ONE: 1, F_FORTY: 40 });

  test('names a known code as the spec spells it', () => expect(family.nameOf(40)).toBe('F_FORTY'));

  test('names an unknown code in hexadecimal', () => {
    expect(family.nameOf(0x2f)).toBe('unknown (0x2f)');
  });

  test('bit numbers go to a word and back, bits above 31 included', () => {
    const word = bitsToWord(1, 40, 63);
    expect(word).toBe(0x8000_0100_0000_0002n);
    expect(namesOfBits(family, word)).toEqual(['F_ONE', 'F_FORTY', 'bit 63']);
  });

  test('a word without bits names nothing', () => expect(namesOfBits(family, 0n)).toEqual([]));
});
