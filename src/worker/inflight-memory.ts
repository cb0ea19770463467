/**
 * The in-flight region of a session: a sealed memfd that is made here and handed to the front-end, or one
 * that the front-end hands back. Mapped once; each vring is told where its part lies.
 * Source: vhost-user.rst, GET_INFLIGHT_FD and SET_INFLIGHT_FD.
 */
import { closeSync, fstatSync, ftruncateSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { queueRegionBytes, queueRegionStride } from '../../protocol/inflight.ts';
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK } from '../../protocol/linux.ts';
import { duplicateFd } from '../sys/descriptor.ts';
import { addSeals, createMemfd, sealsOf } from '../sys/memfd.ts';
import { mapShared, unmap } from '../sys/mmap.ts';

/** What a message says of a region; all Numbers below 2^53. */
export interface InflightDescription {
  readonly mmapBytes: number;
  readonly mmapOffset: number;
  readonly queueCount: number;
  readonly queueSize: number;
}

/** Where a vring's part of the region is mapped in this process. */
export interface InflightPlace {
  readonly address: number;
  readonly sizeBytes: number;
  readonly entryCount: number;
}

const PAGE_BYTES = 4096;
/**
 * Room for the largest ring that QEMU lets a driver choose (VIRTQUEUE_MAX_SIZE): it asks for a region of its
 * queue-size property, 128, and then SeaBIOS takes rings of 256 and Linux of 1024 (seen with QEMU 10).
 */
const ROOM_ENTRIES = 1024;
const ROOM_BYTES = queueRegionStride(true, ROOM_ENTRIES);

export class InflightMemory {
  /** For a successor of this process; the fd is a duplicate of the one that was mapped. */
  readonly state: { readonly description: InflightDescription; readonly fd: number };
  readonly #address: number;
  readonly #description: InflightDescription;

  private constructor(address: number, description: InflightDescription, fd: number) {
    this.#address = address;
    this.#description = description;
    this.state = { description, fd };
  }

  /**
   * Makes a region that no process can shrink. The fd is the caller's. `packed` null: no driver has said
   * yet which rings it uses, so either fit.
   */
  static create(
    queueCount: number,
    queueSize: number,
    packed: boolean | null,
  ): { fd: number; memory: InflightMemory; description: InflightDescription } | string {
    const stride = Math.max(
      ROOM_BYTES,
      packed === true ? 0 : queueRegionStride(false, queueSize),
      packed === false ? 0 : queueRegionStride(true, queueSize),
    );
    const description = { mmapBytes: stride * queueCount, mmapOffset: 0, queueCount, queueSize };
    const fd = createMemfd('vloop-inflight');
    if (fd < 0) return `cannot create a memfd (${errnoName(fd)})`;
    ftruncateSync(fd, description.mmapBytes);
    addSeals(fd, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    const memory = InflightMemory.map(description, fd);
    if (typeof memory !== 'string') return { fd, memory, description };
    closeSync(fd);
    return memory;
  }

  /** Maps a region that is as long as it says and cannot become shorter. The fd stays the caller's. */
  static map(description: InflightDescription, fd: number): InflightMemory | string {
    const { mmapBytes, mmapOffset } = description;
    if (mmapOffset % PAGE_BYTES !== 0) {
      return `mmap offset=${mmapOffset}, expected a multiple of ${PAGE_BYTES}`;
    }
    const seals = sealsOf(fd);
    if (seals < 0 || (seals & F_SEAL_SHRINK) === 0) {
      return 'its file is not sealed against shrinking, expected the memfd of GET_INFLIGHT_FD';
    }
    const { size } = fstatSync(fd);
    if (size < mmapOffset + mmapBytes) {
      return `mmap size=${mmapBytes} at offset=${mmapOffset} reaches past the end of its file (${size} bytes)`;
    }
    const address = mapShared(fd, mmapOffset, mmapBytes);
    if (address < 0) return `cannot map ${mmapBytes} bytes (${errnoName(address)})`;
    const kept = duplicateFd(fd);
    if (kept >= 0) return new InflightMemory(address, description, kept);
    unmap(address, mmapBytes);
    return `cannot keep its file open (${errnoName(kept)})`;
  }

  unmap(): void {
    unmap(this.#address, this.#description.mmapBytes);
    closeSync(this.state.fd);
  }

  /** The part of a vring, or a sentence: the region has none for it. */
  placeOf(index: number): InflightPlace | string {
    const { mmapBytes, queueCount, queueSize } = this.#description;
    if (index >= queueCount) {
      return `the in-flight region has ${queueCount} queues, expected more than ${index}`;
    }
    const sizeBytes = mmapBytes / queueCount;
    // By what every process sees alike, so that the next one finds the entries where this one put them.
    const entryCount = sizeBytes >= ROOM_BYTES ? Math.max(queueSize, ROOM_ENTRIES) : queueSize;
    return { address: this.#address + index * sizeBytes, sizeBytes, entryCount };
  }
}

/** Why a region cannot be one of `queueLimit` queues, or null. */
export function invalidInflight(
  { mmapBytes, mmapOffset, queueCount, queueSize }: InflightDescription,
  queueLimit: number,
): string | null {
  const invalid = invalidInflightShape(queueCount, queueSize, queueLimit);
  if (invalid !== null) return invalid;
  if (!Number.isSafeInteger(mmapOffset + mmapBytes)) {
    return `mmap size=${mmapBytes} at offset=${mmapOffset}, expected an end below 2^53`;
  }
  // The distance between queue regions is its maker's; it has to keep their counters aligned.
  const least = queueRegionBytes(false, queueSize);
  const stride = mmapBytes / queueCount;
  if (stride % 8 !== 0 || stride < least) {
    return `mmap size=${mmapBytes} for ${queueCount} queues, expected a multiple of 8 and at least ${least} bytes each`;
  }
  return null;
}

export function invalidInflightShape(
  queueCount: number,
  queueSize: number,
  queueLimit: number,
): string | null {
  if (queueCount < 1 || queueCount > queueLimit) {
    return `num_queues=${queueCount}, expected 1 to ${queueLimit}`;
  }
  if (queueSize < 1 || queueSize > 32768) return `queue_size=${queueSize}, expected 1 to 32768`;
  return null;
}
