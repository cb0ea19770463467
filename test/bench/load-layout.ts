/**
 * Where everything of the load generator lies in guest memory: regions from 4 GiB up, rings at the start of the
 * first, request headers in turn in all of them, buffers spread at random over all of them. Pure arithmetic.
 */
import { vringDesc } from '../../protocol/virtio-ring.ts';
import { ringPlace } from '../support/mock-driver-ring.ts';
import { EXTRA_DESCRIPTORS, PAGE_BYTES } from './load-options.ts';
import type { LoadRandom } from './load-random.ts';

/** Addresses above 4 GiB show a device that keeps 32 bits of one. */
const GUEST_AT = 2 ** 32;
/** Regions do not touch: a buffer that runs over its region's end is found. */
const GAP_BYTES = 16 * PAGE_BYTES;
const MEMORY_MIN_BYTES = 256 * 2 ** 20;

/** A control block: 16 bytes of header, the status byte, the indirect table from 32 on. */
export const CONTROL_STATUS_AT = 16;
export const CONTROL_TABLE_AT = 32;
const CACHE_LINE_BYTES = 64;

export type LayoutShape = {
  queueCount: number;
  ringSize: number;
  depth: number;
  segments: number;
  segmentBytes: number;
  regionCount: number;
  /** 0: what is needed. */
  memoryBytes: number;
  spareBuffers: number;
};

export type LoadLayout = {
  regions: ReadonlyArray<readonly [guestAddress: number, sizeBytes: number]>;
  /** By queue: the guest address of its ring. */
  rings: Float64Array;
  controlBytes: number;
  /** By slot (queue × depth + place): the guest address of its control block. */
  controls: Float64Array;
  /** Guest addresses of buffers, each of segmentBytes in one region; from a page on they are page-aligned. */
  buffers: Float64Array;
};

const pages = (bytes: number) => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;

export function layOut(shape: LayoutShape, random: LoadRandom): LoadLayout {
  const { queueCount, depth, segments, segmentBytes, regionCount } = shape;
  const slotCount = queueCount * depth;
  const controlBytes =
    Math.ceil((CONTROL_TABLE_AT + (segments + EXTRA_DESCRIPTORS) * vringDesc.sizeBytes) / 64) *
    CACHE_LINE_BYTES;
  const bufferCount = slotCount * segments + shape.spareBuffers;
  const ringBytes = pages(ringPlace(0, shape.ringSize).end);
  // Those below a page start anywhere in one: at page starts alone they would share few sets of a cache.
  const cellBytes = segmentBytes < PAGE_BYTES ? segmentBytes : pages(segmentBytes);
  const controlsInRegion = Math.ceil(slotCount / regionCount);
  const buffersInRegion = Math.ceil(bufferCount / regionCount);
  // The first region has the rings on top; all are as large as it.
  const ringsBytes = queueCount * ringBytes;
  // Side by side, as a driver's array of requests is; or as scattered as the buffers, a page each.
  const strideBytes = shape.spareBuffers === 0 ? controlBytes : pages(controlBytes);
  const controlsBytes = pages(controlsInRegion * strideBytes);
  const needed = ringsBytes + controlsBytes + buffersInRegion * cellBytes;
  const wanted = shape.memoryBytes || MEMORY_MIN_BYTES;
  const regionBytes = Math.max(pages(wanted / regionCount), shape.memoryBytes > 0 ? 0 : needed);
  if (regionBytes < needed)
    throw new Error(`a region of ${regionBytes} bytes does not hold ${needed} bytes of buffers`);

  const regions = Array.from({ length: regionCount }, (_, region) => {
    return [GUEST_AT + region * (regionBytes + GAP_BYTES), regionBytes] as const;
  });
  const start = (i: number) => regions[i % regionCount]![0];
  const turn = (i: number) => Math.floor(i / regionCount);
  const controlsAt = ringsBytes;
  const buffersAt = controlsAt + controlsBytes;
  // Each buffer has a stretch of its region to itself and lies somewhere in it.
  const stretch = Math.floor((regionBytes - buffersAt) / cellBytes / buffersInRegion);
  return {
    regions,
    rings: Float64Array.from({ length: queueCount }, (_, q) => start(0) + q * ringBytes),
    controlBytes,
    controls: Float64Array.from({ length: slotCount }, (_, i) => {
      // At different cache lines of their pages, or they would all contend for the same few.
      const line = (i * controlBytes) % (strideBytes - controlBytes + CACHE_LINE_BYTES);
      return start(i) + controlsAt + turn(i) * strideBytes + line;
    }),
    buffers: Float64Array.from({ length: bufferCount }, (_, i) => {
      const cell = turn(i) * stretch + random.below(stretch);
      return start(i) + buffersAt + cell * cellBytes;
    }),
  };
}
