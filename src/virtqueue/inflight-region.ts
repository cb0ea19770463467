/**
 * A queue's part of the in-flight region as typed arrays, and its header, which split and packed rings
 * share. The region is memory of the front-end as well: what is read from it is checked and copied before
 * it is used, what is written to it is never read back.
 * Source: vhost-user.rst, "Inflight I/O tracking".
 */
import { INFLIGHT_VERSION, queueRegionBytes, queueRegionSplit } from '../../protocol/inflight.ts';

/** The same memory, once for each width; tests put other things in their place that count what is stored. */
export interface InflightViews {
  readonly bytes: Uint8Array;
  readonly words16: Uint16Array;
  readonly words32: Uint32Array;
  /** For a single store of eight bytes. */
  readonly words64: Float64Array;
}

export interface QueueInflight {
  readonly views: InflightViews;
  /** Entries by the message that brought the region; the ring may be smaller. */
  readonly entryCount: number;
  /**
   * Whether what the region says is taken up. False: the ring was stopped with nothing in flight, and
   * whoever starts it says where it stands.
   */
  readonly recover: boolean;
}

export function viewInflight(buffer: ArrayBufferLike, at: number, sizeBytes: number) {
  return {
    bytes: new Uint8Array(buffer, at, sizeBytes),
    words16: new Uint16Array(buffer, at, sizeBytes >> 1),
    words32: new Uint32Array(buffer, at, sizeBytes >> 2),
    words64: new Float64Array(buffer, at, sizeBytes >> 3),
  };
}

const { at: HEADER } = queueRegionSplit;
const FEATURES_LOW = HEADER.features >> 2;
export const VERSION = HEADER.version >> 1;
export const DESC_NUM = HEADER.desc_num >> 1;

/**
 * Whether the region has something to say: false when it is not initialised, a sentence when it cannot be
 * taken up by a ring of `ringSize` entries.
 */
export function inflightHeader(
  { views, entryCount, recover }: QueueInflight,
  packed: boolean,
  ringSize: number,
): boolean | string {
  const needed = queueRegionBytes(packed, entryCount);
  if (views.bytes.length < needed) {
    return `in-flight region: ${views.bytes.length} bytes a queue, expected at least ${needed} for ${entryCount} entries`;
  }
  if (ringSize > entryCount) {
    return `in-flight region: it has ${entryCount} entries a queue, the ring ${ringSize}`;
  }
  const version = views.words16[VERSION]!;
  if (version === 0 || !recover) return false;
  if (version !== INFLIGHT_VERSION) {
    return `in-flight region: version=${version}, expected ${INFLIGHT_VERSION}`;
  }
  const [low, high] = [views.words32[FEATURES_LOW]!, views.words32[FEATURES_LOW + 1]!];
  if (low !== 0 || high !== 0) return 'in-flight region: it has features, expected none';
  const entries = views.words16[DESC_NUM]!;
  if (entries !== entryCount) {
    return `in-flight region: desc_num=${entries}, expected ${entryCount}`;
  }
  return true;
}

/** Makes an initialised queue region anew: `fill` writes all that is between the two versions. */
export function beginInflight({ views, entryCount }: QueueInflight, fill: () => void): void {
  const { words16, words32 } = views;
  // Killed in between, it counts as not initialised, and nothing is in flight.
  words16[VERSION] = 0;
  words32[FEATURES_LOW] = 0;
  words32[FEATURES_LOW + 1] = 0;
  words16[DESC_NUM] = entryCount;
  fill();
  words16[VERSION] = INFLIGHT_VERSION;
}
