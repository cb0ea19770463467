/**
 * The loop driver's rule for direct I/O: every way to say no has a reason that a person can act on.
 */
import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../../protocol/linux.ts';
import { type DirectIoFacts, decideDirectIo } from '../../../src/loop/direct-io.ts';

const FACTS: DirectIoFacts = {
  requested: 'auto',
  blockSizeBytes: 512,
  offsetBytes: 0,
  directMemoryAlignBytes: 4,
  directOffsetAlignBytes: 512,
  logicalSectorBytes: null,
  inMemory: false,
  bufferedTransfer: null,
  openResult: 5,
};

test('a file that can, with what the kernel says of alignment', () => {
  expect(decideDirectIo(FACTS)).toEqual({
    direct: true,
    reason: 'the file takes direct I/O aligned to 512 bytes',
    memoryAlignBytes: 4,
    offsetAlignBytes: 512,
  });
});

test('where the kernel does not say: the sector, else 512', () => {
  const silent = { ...FACTS, directMemoryAlignBytes: null, directOffsetAlignBytes: null };
  expect(decideDirectIo(silent)).toMatchObject({ memoryAlignBytes: 512, offsetAlignBytes: 512 });
  const sector = { ...silent, logicalSectorBytes: 4096, blockSizeBytes: 4096 };
  expect(decideDirectIo(sector)).toMatchObject({
    direct: true,
    memoryAlignBytes: 4096,
    offsetAlignBytes: 4096,
  });
});

describe('not direct, and why', () => {
  test.each<[Partial<DirectIoFacts>, RegExp]>([
    [{ requested: 'off' }, /switched off/],
    [{ inMemory: true }, /in memory \(tmpfs\)/],
    [{ openResult: -EINVAL }, /refuses O_DIRECT/],
    [{ directOffsetAlignBytes: 0 }, /has no direct I\/O for this file/],
    [
      { directOffsetAlignBytes: 4096 },
      /needs 4096-byte alignment .* 512-byte blocks .*--block-size/,
    ],
    [{ offsetBytes: 1024, blockSizeBytes: 4096, directOffsetAlignBytes: 4096 }, /offset/],
  ])('%j', (facts, reason) => {
    const decision = decideDirectIo({ ...FACTS, ...facts });
    expect(decision.reason).toMatch(reason);
    expect(decision).toMatchObject({ direct: false, memoryAlignBytes: 1, offsetAlignBytes: 1 });
  });

  test('"on" asks the same questions: whoever asked has to be told', () => {
    expect(decideDirectIo({ ...FACTS, requested: 'on', inMemory: true }).direct).toBe(false);
    expect(decideDirectIo({ ...FACTS, requested: 'on' }).direct).toBe(true);
  });
});
