/**
 * What vloop serve prints: sizes as people say them, and a command line that a shell and QEMU take as it is.
 */
import { expect, test } from 'vitest';
import { qemuWord, sizeText } from '../../../src/cli/serve-text.ts';

test.each([
  [512, '512 bytes'],
  [1024, '1 KiB'],
  [64 * 2 ** 20, '64 MiB'],
  [1.5 * 2 ** 30, '1.5 GiB'],
  [10 * 2 ** 30, '10 GiB'],
  [100_000_000 - (100_000_000 % 512), '95.37 MiB'],
  [3 * 2 ** 40, '3 TiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});

test.each([
  ['/run/vloop/a.sock', 'path=/run/vloop/a.sock'],
  ['my disk.img.sock', `'path=my disk.img.sock'`],
  ['a,b.sock', 'path=a,,b.sock'],
  [`it's.sock`, String.raw`'path=it'\''s.sock'`],
  ['$HOME.sock', `'path=$HOME.sock'`],
])('the socket %s is written %s', (path, word) => {
  expect(qemuWord('path=', path)).toBe(word);
});
