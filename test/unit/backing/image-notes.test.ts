/**
 * What is said of an image that is likely not meant to be served as it is.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatNote, imageNotes, tailNote } from '../../../src/backing/image-notes.ts';

const WHOLE = { offsetBytes: 0, sizeLimitBytes: 0, blockSizeBytes: 512 };

test.each([
  ['qcow2', Buffer.from([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]), 'qemu-img convert -f qcow2 -O raw'],
  ['QED', Buffer.from('QED\0'), 'qemu-img convert -f qed -O raw'],
  ['VMDK', Buffer.from('KDMV'), 'qemu-img convert -f vmdk -O raw'],
  [
    'VDI',
    Buffer.concat([Buffer.alloc(64), Buffer.from([0x7f, 0x10, 0xda, 0xbe])]),
    'qemu-img convert -f vdi -O raw',
  ],
  ['VHD', Buffer.from('conectix'), 'qemu-img convert -f vpc -O raw'],
  ['VHDX', Buffer.from('vhdxfile'), 'qemu-img convert -f vhdx -O raw'],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), 'unpack it first'],
  ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), 'unpack it first'],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), 'unpack it first'],
])('a file that begins like %s', (name, head, advice) => {
  expect(formatNote(head)).toContain(` ${name}`);
  expect(formatNote(head)).toContain(advice);
  expect(formatNote(head.subarray(0, head.length - (name === 'qcow2' ? 5 : 2)))).toBeNull();
});

test('a disk with a boot sector, or with nothing, is not noted', () => {
  const sector = Buffer.alloc(512);
  expect(formatNote(sector)).toBeNull();
  sector.set([0x55, 0xaa], 510);
  expect(formatNote(sector)).toBeNull();
});

test.each([
  [1000, WHOLE, 488],
  [1024, WHOLE, null],
  [1024 + 4095, { ...WHOLE, blockSizeBytes: 4096 }, 1023],
  [2048, { ...WHOLE, offsetBytes: 1000 }, 24],
  [4096, { ...WHOLE, sizeLimitBytes: 1500 }, 476],
  [1000, { ...WHOLE, sizeLimitBytes: 512 }, null],
  [1000, { ...WHOLE, offsetBytes: 2000 }, null],
])('of %i bytes, shown by %j, %j are left out', (bytes, settings, left) => {
  const note = tailNote(bytes, settings);
  if (left === null) expect(note).toBeNull();
  else expect(note).toContain(`the last ${left} bytes are left out`);
});

test('of a file: what lies at its offset counts; one that cannot be read has no notes', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  try {
    const path = join(directory, 'disk.img');
    writeFileSync(path, Buffer.concat([Buffer.alloc(4096), Buffer.from('QFI\xfb....', 'latin1')]));
    expect(imageNotes(path, WHOLE)).toEqual([expect.stringContaining('last 8 bytes')]);
    expect(imageNotes(path, { ...WHOLE, offsetBytes: 4096 })).toEqual([
      expect.stringContaining('qcow2'),
      expect.stringContaining('last 8 bytes'),
    ]);
    expect(imageNotes(join(directory, 'none'), WHOLE)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
