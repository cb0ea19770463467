/**
 * virtio-blk requests as a driver lays them out in guest memory: header, data and status placed
 * under any message framing (header split anywhere, status in the same descriptor as data), and the
 * answer read back. Works on GuestRam, so the load generator can place a request once and only
 * rewrite its sector.
 * Source: virtio 1.3 §2.7.4, §5.2.6.
 */
import {
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  virtioBlkDiscardWriteZeroes,
  virtioBlkOuthdr,
} from '../../protocol/virtio-blk.ts';
import type { DriverBuffer } from './mock-driver.ts';
import type { GuestRam } from './mock-driver-memory.ts';

export const HEADER_BYTES = virtioBlkOuthdr.sizeBytes;
const STATUS_BYTES = 1;

/** A status that no device answers: still there when nothing was written. */
export const STATUS_POISON = 0xee;

export interface BlkFraming {
  /** Where the readable part (header, data out) is cut into descriptors; default after the header. */
  readonly readableCuts?: readonly number[];
  /** Where the writable part (data in, status) is cut; default before the status byte. */
  readonly writableCuts?: readonly number[];
  /** Unused bytes between two pieces: they show a device that reads past the end of one. */
  readonly gapBytes?: number;
}

export interface BlkRequestText extends BlkFraming {
  readonly type: number;
  readonly sector?: number | bigint;
  readonly ioprio?: number;
  /** Data for the device to read, after the header. */
  readonly dataOut?: Uint8Array;
  /** Bytes of room for the device to write, before the status byte. */
  readonly dataInBytes?: number;
}

/** A request in guest memory. */
export class PlacedRequest {
  readonly buffers: readonly DriverBuffer[];
  /** First guest address after it. */
  readonly end: number;
  readonly #ram: GuestRam;

  constructor(ram: GuestRam, buffers: readonly DriverBuffer[], end: number) {
    this.#ram = ram;
    this.buffers = buffers;
    this.end = end;
  }

  /** All bytes of the readable or the writable part, whatever its framing. */
  bytes(writable: boolean): Uint8Array {
    const pieces = this.buffers
      .filter((buffer) => (buffer.writable ?? false) === writable)
      .map(({ address, lengthBytes }) => this.#ram.read(address, lengthBytes));
    return concatenated(pieces);
  }

  /** Guest address of the last byte of the writable part. */
  get statusAddress(): number {
    const last = this.buffers.findLast((buffer) => buffer.writable && buffer.lengthBytes > 0);
    if (last === undefined) throw new Error('the request has no writable byte');
    return last.address + last.lengthBytes - STATUS_BYTES;
  }

  get status(): number {
    return this.#ram.read(this.statusAddress, STATUS_BYTES)[0]!;
  }

  /** What the device wrote before the status byte. */
  get dataIn(): Uint8Array {
    return this.bytes(true).subarray(0, -STATUS_BYTES);
  }
}

/** The 16 bytes that open every request. */
export function blkHeader(type: number, sector: number | bigint = 0, ioprio = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  view.setUint32(virtioBlkOuthdr.at.type, type, true);
  view.setUint32(virtioBlkOuthdr.at.ioprio, ioprio, true);
  view.setBigUint64(virtioBlkOuthdr.at.sector, BigInt(sector), true);
  return new Uint8Array(view.buffer);
}

export interface BlkRange {
  readonly sector: number | bigint;
  readonly sectors: number;
  readonly flags?: number;
}

/** The payload of DISCARD and WRITE_ZEROES. */
export function blkRanges(...ranges: readonly BlkRange[]): Uint8Array {
  const { sizeBytes, at } = virtioBlkDiscardWriteZeroes;
  const view = new DataView(new ArrayBuffer(ranges.length * sizeBytes));
  ranges.forEach(({ sector, sectors, flags = 0 }, index) => {
    view.setBigUint64(index * sizeBytes + at.sector, BigInt(sector), true);
    view.setUint32(index * sizeBytes + at.num_sectors, sectors, true);
    view.setUint32(index * sizeBytes + at.flags, flags, true);
  });
  return new Uint8Array(view.buffer);
}

/** Places a request at `address`; every writable byte is poisoned with STATUS_POISON. */
export function placeRequest(ram: GuestRam, address: number, text: BlkRequestText): PlacedRequest {
  const { type, sector = 0, ioprio = 0, dataOut = new Uint8Array(0), dataInBytes = 0 } = text;
  const { gapBytes = 0 } = text;
  const readable = concatenated([blkHeader(type, sector, ioprio), dataOut]);
  const writable = new Uint8Array(dataInBytes + STATUS_BYTES).fill(STATUS_POISON);
  const readableCuts = text.readableCuts ?? (dataOut.length > 0 ? [HEADER_BYTES] : []);
  const writableCuts = text.writableCuts ?? (dataInBytes > 0 ? [dataInBytes] : []);
  const buffers: DriverBuffer[] = [];
  let at = address;
  for (const [part, cuts, isWritable] of [
    [readable, readableCuts, false],
    [writable, writableCuts, true],
  ] as const) {
    for (const piece of cutAt(part, cuts)) {
      ram.write(at, piece);
      buffers.push({ address: at, lengthBytes: piece.length, writable: isWritable });
      at += piece.length + gapBytes;
    }
  }
  return new PlacedRequest(ram, buffers, at);
}

/** The usual requests in one line each, with any framing on top. */
export const blk = {
  read: (sector: number | bigint, dataInBytes: number, framing: BlkFraming = {}) => ({
    type: VIRTIO_BLK_T_IN,
    sector,
    dataInBytes,
    ...framing,
  }),
  write: (sector: number | bigint, dataOut: Uint8Array, framing: BlkFraming = {}) => ({
    type: VIRTIO_BLK_T_OUT,
    sector,
    dataOut,
    ...framing,
  }),
  getId: (dataInBytes = 20) => ({ type: VIRTIO_BLK_T_GET_ID, dataInBytes }),
  discard: (...ranges: readonly BlkRange[]) => ({
    type: VIRTIO_BLK_T_DISCARD,
    dataOut: blkRanges(...ranges),
  }),
  writeZeroes: (...ranges: readonly BlkRange[]) => ({
    type: VIRTIO_BLK_T_WRITE_ZEROES,
    dataOut: blkRanges(...ranges),
  }),
};

/** A part cut at byte positions, which ascend and may repeat (an empty descriptor). */
function cutAt(part: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const edges = [0, ...cuts, part.length];
  return edges.slice(1).map((edge, index) => part.subarray(edges[index]!, edge));
}

function concatenated(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
