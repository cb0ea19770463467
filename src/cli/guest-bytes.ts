/**
 * What a guest would read at a place of its disk, read by this process: for a look at the partition table. As the disk
 * reads itself: in the file's own mode, from the disk's offset on, through its transfer module. Cold path.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { ReadableDisk } from '../backing/partition.ts';
import type { AttachedTransfer } from '../loop/attached-transfer.ts';
import { ioPlace } from '../loop/backing-port.ts';
import { BOUNCE_BYTES, BounceBuffers } from '../loop/bounce-buffers.ts';
import { closeFile, openFile, openFilePath } from '../sys/block-file.ts';
import type { OpenDisk } from './disk.ts';

/** Direct I/O takes no finer pieces anywhere; a transfer module's unit is not larger. */
const ALIGN_BYTES = 4096;
const PIECE_BYTES = BOUNCE_BYTES - 2 * ALIGN_BYTES;
/** Buffers: what the file has, and what goes through the module. */
const RAW = 0;
const PLAIN = 1;

const readFile = promisify(read);

interface Reading {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly offsetBytes: number;
  readonly bounce: BounceBuffers;
  readonly transfer: AttachedTransfer | null;
}

/** Bytes of the file from anywhere on, in a buffer of their own. */
async function piece(
  { fd, bounce }: Reading,
  fileOffsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const from = Math.floor(fileOffsetBytes / ALIGN_BYTES) * ALIGN_BYTES;
  const to = Math.ceil((fileOffsetBytes + lengthBytes) / ALIGN_BYTES) * ALIGN_BYTES;
  const buffer = bounce.bytesOf(RAW, to - from);
  const { bytesRead } = await readFile(fd, buffer, 0, to - from, from);
  const skipped = fileOffsetBytes - from;
  return buffer.subarray(skipped, Math.max(skipped, Math.min(bytesRead, skipped + lengthBytes)));
}

async function guestPiece(
  reading: Reading,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const { bounce, transfer } = reading;
  const unit = transfer?.unitBytes ?? 1;
  const from = Math.floor(offsetBytes / unit) * unit;
  const to = Math.ceil((offsetBytes + lengthBytes) / unit) * unit;
  const bytes = await piece(reading, reading.offsetBytes + from, to - from);
  if (transfer === null) return Uint8Array.from(bytes);
  const whole = Math.floor(bytes.length / unit) * unit;
  const plain = bounce.bytesOf(PLAIN, whole);
  plain.set(bytes.subarray(0, whole));
  const place = ioPlace(reading.offsetBytes + from, 0);
  const result = transfer.run('read', PLAIN, place, whole, reading.offsetBytes);
  if (result < 0) throw new Error('the transfer module failed');
  return plain.slice(offsetBytes - from, offsetBytes - from + lengthBytes);
}

async function readGuest(
  reading: Reading,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const end = Math.min(offsetBytes + lengthBytes, reading.sizeBytes);
  const pieces: Uint8Array[] = [];
  for (let at = offsetBytes; at < end; ) {
    const bytes = await guestPiece(reading, at, Math.min(PIECE_BYTES, end - at));
    if (bytes.length === 0) break;
    pieces.push(bytes);
    at += bytes.length;
  }
  return Buffer.concat(pieces);
}

/** Has `use` read the disk; what that took is given back. Rejects when the file cannot be read. */
export async function withGuestBytes<T>(
  { backing, disk, transfer }: OpenDisk,
  use: (disk: ReadableDisk) => Promise<T>,
): Promise<T> {
  const { MemoryArenas } = await import('../worker/memory-arenas.ts');
  const { fd: own, direct, settings } = backing!;
  const { capacitySectors, blockSizeBytes } = disk.shape;
  const arenas = new MemoryArenas();
  const bounce = new BounceBuffers(arenas);
  const fd = openFile(openFilePath(own), { readOnly: true, direct });
  let attached: AttachedTransfer | null = null;
  try {
    if (transfer !== null) {
      const { attachTransfer } = await import('../transfer/open-transfer.ts');
      attached = await attachTransfer(transfer.birth, bounce, () => {});
    }
    const sizeBytes = capacitySectors * SECTOR_SIZE;
    const { offsetBytes } = settings;
    const reading: Reading = { fd, sizeBytes, offsetBytes, bounce, transfer: attached };
    return await use({
      sizeBytes,
      blockSizeBytes,
      read: (at, lengthBytes) => readGuest(reading, at, lengthBytes),
    });
  } finally {
    attached?.release();
    closeFile(fd);
    arenas.release(bounce.address, bounce.sizeBytes);
  }
}
