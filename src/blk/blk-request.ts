/**
 * Decodes a descriptor chain into a virtio-blk request, under any message framing: the header may be
 * split over descriptors, the status byte is the last byte of the writable part, data is what is left.
 * Guest bytes are read once. No I/O, no allocation. Source: virtio 1.3 §2.7.4, §5.2.6.
 */
import {
  SECTOR_SIZE,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_FLUSH_OUT,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
  virtioBlkDiscardWriteZeroes,
  virtioBlkOuthdr,
} from '../../protocol/virtio-blk.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import { REQUEST_NO_STATUS_BYTE } from '../virtqueue/ring-violation.ts';
import { RANGE_SECTORS_MAX, RANGES_MAX } from './disk-shape.ts';

const { type: HDR_TYPE, sector: HDR_SECTOR } = virtioBlkOuthdr.at;
const {
  sector: SEG_SECTOR,
  num_sectors: SEG_SECTORS,
  flags: SEG_FLAGS,
} = virtioBlkDiscardWriteZeroes.at;
const HDR_BYTES = virtioBlkOuthdr.sizeBytes;
const SEG_BYTES = virtioBlkDiscardWriteZeroes.sizeBytes;
const TWO_TO_32 = 2 ** 32;

/** What has to be done for a request. */
export const OP_NONE = 0;
export const OP_READ = 1;
export const OP_WRITE = 2;
export const OP_FLUSH = 3;
export const OP_DISCARD = 4;
export const OP_WRITE_ZEROES = 5;
export const OP_GET_ID = 6;

/** What requests are checked against; fixed while a vring runs. */
export interface RequestLimits {
  readonly capacitySectors: number;
  /** A power of two. */
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly rangesMax: number;
  /** Whether the driver acked DISCARD and WRITE_ZEROES. */
  readonly discard: boolean;
  readonly writeZeroes: boolean;
}

/** One decoded request; reused for every chain. */
export class BlkRequest {
  op = OP_NONE;
  /** For OP_NONE: the status to complete with at once. */
  status = VIRTIO_BLK_S_OK;
  /** The type word as the guest wrote it, for counters and logs. */
  type = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  /** The data segments of the chain: [firstSegment, endSegment). */
  firstSegment = 0;
  endSegment = 0;
  /** Where the status byte goes. */
  statusSlot = 0;
  statusOffset = 0;
  rangeCount = 0;
  readonly rangeOffsetBytes = new Float64Array(RANGES_MAX);
  readonly rangeLengthBytes = new Float64Array(RANGES_MAX);
  readonly rangeUnmap = new Uint8Array(RANGES_MAX);

  readonly #scratch = new Uint8Array(RANGES_MAX * SEG_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  /**
   * Decodes `chain`, whose segments it trims to the data. Answers 0 (see `op`), or a violation when
   * there is no byte to put a status in, which leaves nothing but breaking the vring.
   */
  decode(chain: DescriptorChain, memory: AddressTable, limits: RequestLimits): number {
    const last = chain.segmentCount - 1;
    if (last < chain.readableCount) return REQUEST_NO_STATUS_BYTE;
    const statusAt = chain.lengthBytes[last]! - 1;
    this.statusSlot = chain.slot[last]!;
    this.statusOffset = chain.hostAddress[last]! - memory.hostOfSlot[this.statusSlot]! + statusAt;
    chain.lengthBytes[last] = statusAt;
    this.op = OP_NONE;
    this.type = 0;
    this.lengthBytes = 0;
    this.rangeCount = 0;

    let header: DataView = this.#scratchView;
    let at = 0;
    if (chain.readableCount > 0 && chain.lengthBytes[0]! >= HDR_BYTES) {
      // As drivers lay it out, in one piece: its fields are read where they are, once each.
      const slot = chain.slot[0]!;
      header = memory.viewOfSlot[slot]!;
      at = chain.hostAddress[0]! - memory.hostOfSlot[slot]!;
      chain.hostAddress[0]! += HDR_BYTES;
      chain.lengthBytes[0]! -= HDR_BYTES;
    } else if (!this.#take(chain, memory, HDR_BYTES)) {
      return this.#finish(VIRTIO_BLK_S_IOERR);
    }
    this.type = header.getUint32(at + HDR_TYPE, true);
    const high = header.getUint32(at + HDR_SECTOR + 4, true);
    const sector = high * TWO_TO_32 + header.getUint32(at + HDR_SECTOR, true);
    switch ((this.type & ~VIRTIO_BLK_T_BARRIER) >>> 0) {
      case VIRTIO_BLK_T_IN:
        return this.#transfer(OP_READ, sector, chain, chain.readableCount, last + 1, limits);
      case VIRTIO_BLK_T_OUT:
        if (limits.readOnly) return this.#finish(VIRTIO_BLK_S_IOERR);
        return this.#transfer(OP_WRITE, sector, chain, 0, chain.readableCount, limits);
      case VIRTIO_BLK_T_FLUSH:
      case VIRTIO_BLK_T_FLUSH_OUT:
        // The sector should be 0, but only the driver is bound by that (§5.2.6.1).
        this.op = OP_FLUSH;
        return 0;
      case VIRTIO_BLK_T_GET_ID:
        this.op = OP_GET_ID;
        this.firstSegment = chain.readableCount;
        this.endSegment = last + 1;
        return 0;
      case VIRTIO_BLK_T_DISCARD:
        if (!limits.discard && !limits.readOnly) return this.#finish(VIRTIO_BLK_S_UNSUPP);
        return this.#ranges(OP_DISCARD, 0, chain, memory, limits);
      case VIRTIO_BLK_T_WRITE_ZEROES:
        if (!limits.writeZeroes && !limits.readOnly) return this.#finish(VIRTIO_BLK_S_UNSUPP);
        return this.#ranges(
          OP_WRITE_ZEROES,
          VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
          chain,
          memory,
          limits,
        );
      default:
        return this.#finish(VIRTIO_BLK_S_UNSUPP);
    }
  }

  #finish(status: number): number {
    this.op = OP_NONE;
    this.status = status;
    return 0;
  }

  /**
   * Moves `count` bytes from the front of the readable part into the scratch bytes; segments shrink by
   * what was taken. False when the readable part is shorter.
   */
  #take(chain: DescriptorChain, memory: AddressTable, count: number): boolean {
    let taken = 0;
    for (let segment = 0; taken < count; segment++) {
      if (segment >= chain.readableCount) return false;
      const available = chain.lengthBytes[segment]!;
      const piece = Math.min(available, count - taken);
      const slot = chain.slot[segment]!;
      const at = chain.hostAddress[segment]! - memory.hostOfSlot[slot]!;
      const bytes = memory.bytesOfSlot[slot]!;
      for (let i = 0; i < piece; i++) this.#scratch[taken + i] = bytes[at + i]!;
      chain.hostAddress[segment] = chain.hostAddress[segment]! + piece;
      chain.lengthBytes[segment] = available - piece;
      taken += piece;
    }
    return true;
  }

  #transfer(
    op: number,
    sector: number,
    chain: DescriptorChain,
    first: number,
    end: number,
    limits: RequestLimits,
  ): number {
    let lengthBytes = 0;
    for (let segment = first; segment < end; segment++) lengthBytes += chain.lengthBytes[segment]!;
    // Checked in sectors before anything is multiplied: sector may be any 64-bit number.
    const offsetBytes = sector * SECTOR_SIZE;
    // `&` takes a number modulo 2^32 (ToInt32): as good as `%` by a power of two, which V8 calls fmod for.
    const unaligned = limits.blockSizeBytes - 1;
    if (
      (lengthBytes & unaligned) !== 0 ||
      sector > limits.capacitySectors ||
      (offsetBytes & unaligned) !== 0 ||
      lengthBytes / SECTOR_SIZE > limits.capacitySectors - sector
    ) {
      return this.#finish(VIRTIO_BLK_S_IOERR);
    }
    if (lengthBytes === 0) return this.#finish(VIRTIO_BLK_S_OK);
    this.op = op;
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.firstSegment = first;
    this.endSegment = end;
    return 0;
  }

  /** DISCARD and WRITE_ZEROES: every range is checked before the first is acted on (§5.2.6.2). */
  #ranges(
    op: number,
    allowedFlags: number,
    chain: DescriptorChain,
    memory: AddressTable,
    limits: RequestLimits,
  ): number {
    if (limits.readOnly) return this.#finish(VIRTIO_BLK_S_IOERR);
    let payloadBytes = 0;
    for (let s = 0; s < chain.readableCount; s++) payloadBytes += chain.lengthBytes[s]!;
    const count = payloadBytes / SEG_BYTES;
    if (count < 1 || !Number.isInteger(count)) return this.#finish(VIRTIO_BLK_S_IOERR);
    if (count > limits.rangesMax) return this.#finish(VIRTIO_BLK_S_UNSUPP);
    this.#take(chain, memory, payloadBytes);
    const view = this.#scratchView;
    // An unknown flag in any range answers UNSUPP, whatever else is wrong with the request.
    for (let range = 0; range < count; range++) {
      const flags = view.getUint32(range * SEG_BYTES + SEG_FLAGS, true);
      if ((flags & ~allowedFlags) !== 0) return this.#finish(VIRTIO_BLK_S_UNSUPP);
    }
    for (let range = 0; range < count; range++) {
      const at = range * SEG_BYTES;
      const sector =
        view.getUint32(at + SEG_SECTOR + 4, true) * TWO_TO_32 +
        view.getUint32(at + SEG_SECTOR, true);
      const sectors = view.getUint32(at + SEG_SECTORS, true);
      const flags = view.getUint32(at + SEG_FLAGS, true);
      if (
        sectors > RANGE_SECTORS_MAX ||
        sector > limits.capacitySectors ||
        sectors > limits.capacitySectors - sector ||
        (sector * SECTOR_SIZE) % limits.blockSizeBytes !== 0 ||
        (sectors * SECTOR_SIZE) % limits.blockSizeBytes !== 0
      ) {
        return this.#finish(VIRTIO_BLK_S_IOERR);
      }
      this.rangeOffsetBytes[range] = sector * SECTOR_SIZE;
      this.rangeLengthBytes[range] = sectors * SECTOR_SIZE;
      this.rangeUnmap[range] = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    }
    this.op = op;
    this.rangeCount = count;
    return 0;
  }
}
