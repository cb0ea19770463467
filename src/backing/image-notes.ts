/**
 * What a person should know of an image before a guest does: that it begins like an image of another format, which is
 * served as it is all the same, or that its end is left out. Nothing depends on what is found here: a guest can write
 * any first block to its disk.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { DiskSettings } from '../loop/geometry.ts';

const HEAD_BYTES = 512;

/** Where a format says what it is; the first byte of a magic is at `at`. Source: file(1)'s magic, QEMU's block/. */
const FORMATS: ReadonlyArray<{
  readonly name: string;
  readonly at: number;
  readonly magic: readonly number[];
  /** QEMU's name of it; null: it is a packed file. */
  readonly driver: string | null;
}> = [
  { name: 'qcow2', driver: 'qcow2', at: 0, magic: [0x51, 0x46, 0x49, 0xfb] },
  { name: 'QED', driver: 'qed', at: 0, magic: [0x51, 0x45, 0x44, 0x00] },
  { name: 'VMDK', driver: 'vmdk', at: 0, magic: [0x4b, 0x44, 0x4d, 0x56] },
  { name: 'VDI', driver: 'vdi', at: 64, magic: [0x7f, 0x10, 0xda, 0xbe] },
  { name: 'VHD', driver: 'vpc', at: 0, magic: [...Buffer.from('conectix')] },
  { name: 'VHDX', driver: 'vhdx', at: 0, magic: [...Buffer.from('vhdxfile')] },
  { name: 'xz', driver: null, at: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: 'gzip', driver: null, at: 0, magic: [0x1f, 0x8b, 0x08] },
  { name: 'zstd', driver: null, at: 0, magic: [0x28, 0xb5, 0x2f, 0xfd] },
];

/** The note on a disk that begins with these bytes; null: none. Pure. */
export function formatNote(head: Uint8Array): string | null {
  const format = FORMATS.find(({ at, magic }) => magic.every((byte, i) => head[at + i] === byte));
  if (format === undefined) return null;
  const { name, driver } = format;
  const advice =
    driver === null
      ? 'unpack it first'
      : `qemu-img convert -f ${driver} -O raw makes a raw disk of it`;
  const kind = driver === null ? `a file packed with ${name}` : `a ${name} image`;
  return `it begins like ${kind}, and is served raw: the guest sees these bytes, not the disk in it (${advice})`;
}

/** The note on bytes at the end that make no whole block; null: there are none. Pure. */
export function tailNote(
  fileSizeBytes: number,
  { offsetBytes, sizeLimitBytes, blockSizeBytes }: Omit<DiskSettings, 'directIo'>,
): string | null {
  const behind = Math.max(0, fileSizeBytes - offsetBytes);
  const shown = sizeLimitBytes > 0 ? Math.min(behind, sizeLimitBytes) : behind;
  const left = shown % blockSizeBytes;
  if (left === 0) return null;
  return `the last ${left} bytes are left out (they make no whole block of ${blockSizeBytes})`;
}

/** All notes on an image; none where it cannot be read, which its opening says better. */
export function imageNotes(path: string, settings: Omit<DiskSettings, 'directIo'>): string[] {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const head = new Uint8Array(HEAD_BYTES);
    readSync(fd, head, 0, HEAD_BYTES, settings.offsetBytes);
    const file = fstatSync(fd);
    const tail = file.isFile() ? tailNote(file.size, settings) : null;
    return [formatNote(head), tail].filter((note) => note !== null);
  } catch {
    return [];
  } finally {
    closeSync(fd);
  }
}
