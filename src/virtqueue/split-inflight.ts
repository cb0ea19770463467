/**
 * In-flight tracking of a split ring: which heads were taken and not answered, kept in memory that
 * outlives this process, and what a ring that starts on it has to repeat. Whoever is killed between any
 * two stores leaves a region from which every request is completed exactly once.
 * Source: vhost-user.rst, "Inflight I/O tracking" (split virtqueue).
 */
import { descStateSplit, queueRegionSplit } from '../../protocol/inflight.ts';
import {
  beginInflight,
  type InflightViews,
  inflightHeader,
  type QueueInflight,
} from './inflight-region.ts';
import { idxDistance } from './need-event.ts';

const LAST_BATCH_HEAD = queueRegionSplit.at.last_batch_head >> 1;
const USED_IDX = queueRegionSplit.at.used_idx >> 1;
const HEADER_BYTES = queueRegionSplit.sizeBytes;
const ENTRY_BYTES = descStateSplit.sizeBytes;

// Positions of the first entry's fields, and the distance to the next entry's, in units of each view.
const INFLIGHT = HEADER_BYTES + descStateSplit.at.inflight;
const NEXT = (HEADER_BYTES + descStateSplit.at.next) >> 1;
const NEXT_STEP = ENTRY_BYTES >> 1;
const COUNTER = (HEADER_BYTES + descStateSplit.at.counter) >> 2;
const COUNTER_STEP = ENTRY_BYTES >> 2;

/**
 * The stores below are plain. A process that is killed has carried out what stands before the point and
 * nothing after it; the successor reads them after the kernel has told of its end. Only used.idx is read
 * by somebody who runs, and that is stored with a barrier.
 */
export class SplitInflight {
  /** Heads that were in flight when the region was taken up, in the order in which they were taken. */
  readonly recorded: readonly number[];
  /** Whether the region had something to say; else the ring starts where the front-end says. */
  readonly recovered: boolean;

  readonly #bytes: Uint8Array;
  readonly #words16: Uint16Array;
  readonly #words32: Uint32Array;
  /** The counter of the next head: two words, low first, so that it stays a number that is not boxed. */
  readonly #counter = new Uint32Array(2);
  /** Heads answered since used.idx was published last. */
  readonly #batch: Uint16Array;
  #batchSize = 0;
  /** The region's last_batch_head, which is not read back. */
  #lastHead: number;

  private constructor(views: InflightViews, ringSize: number, found: Recorded | null) {
    this.#bytes = views.bytes;
    this.#words16 = views.words16;
    this.#words32 = views.words32;
    this.#batch = new Uint16Array(ringSize);
    this.#lastHead = found?.lastHead ?? 0;
    this.recovered = found !== null;
    this.recorded = found?.heads ?? [];
    if (found !== null) this.#counter.set(found.nextCounter);
  }

  /** Takes a region up, or makes it anew, for a ring whose used.idx is `usedIdx`. */
  static open(queue: QueueInflight, ringSize: number, usedIdx: number): SplitInflight | string {
    const { views, entryCount } = queue;
    const says = inflightHeader(queue, false, ringSize);
    if (typeof says === 'string') return says;
    if (!says) {
      // A fresh region stands where the ring stands, wherever that is (SPDK's issue 3766).
      beginInflight(queue, () => {
        for (let head = 0; head < entryCount; head++) {
          views.bytes[INFLIGHT + head * ENTRY_BYTES] = 0;
        }
        views.words16[LAST_BATCH_HEAD] = 0;
        views.words16[USED_IDX] = usedIdx;
      });
      return new SplitInflight(views, ringSize, null);
    }
    const found = readRecorded(views, entryCount, ringSize, usedIdx);
    return typeof found === 'string' ? found : new SplitInflight(views, ringSize, found);
  }

  /** A head has been taken. */
  take(head: number): void {
    const counter = this.#counter;
    const at = COUNTER + head * COUNTER_STEP;
    this.#words32[at] = counter[0]!;
    this.#words32[at + 1] = counter[1]!;
    counter[0]!++;
    if (counter[0] === 0) counter[1]!++;
    this.#bytes[INFLIGHT + head * ENTRY_BYTES] = 1;
  }

  /** The head counts as never taken. */
  untake(head: number): void {
    this.#bytes[INFLIGHT + head * ENTRY_BYTES] = 0;
  }

  /** A head is being answered: it joins the batch that the next used.idx publishes. */
  answer(head: number): void {
    this.#words16[NEXT + head * NEXT_STEP] = this.#lastHead;
    this.#words16[LAST_BATCH_HEAD] = head;
    this.#lastHead = head;
    this.#batch[this.#batchSize++] = head;
  }

  /** used.idx has been published: the batch is no longer in flight, and then it has never been. */
  settle(usedIdx: number): void {
    const batch = this.#batch;
    for (let i = 0; i < this.#batchSize; i++) {
      this.#bytes[INFLIGHT + batch[i]! * ENTRY_BYTES] = 0;
    }
    this.#batchSize = 0;
    this.#words16[USED_IDX] = usedIdx;
  }
}

interface Recorded {
  readonly heads: readonly number[];
  readonly lastHead: number;
  readonly nextCounter: readonly [low: number, high: number];
}

/**
 * Completes the batch that was being published, and reads which heads are left. Nothing is believed: what
 * does not fit the ring is refused, each entry is read once.
 */
function readRecorded(
  views: InflightViews,
  entryCount: number,
  ringSize: number,
  usedIdx: number,
): Recorded | string {
  const { bytes, words16, words32 } = views;
  const inflight = new Uint8Array(entryCount);
  for (let head = 0; head < entryCount; head++) {
    inflight[head] = bytes[INFLIGHT + head * ENTRY_BYTES]!;
    if (inflight[head] !== 0 && head >= ringSize) {
      return `in-flight region: head ${head} is in flight, the ring has ${ringSize} entries`;
    }
  }
  const lastHead = words16[LAST_BATCH_HEAD]!;
  const failure = clearBatch(views, inflight, lastHead, idxDistance(words16[USED_IDX]!, usedIdx));
  if (failure !== null) return failure;
  words16[USED_IDX] = usedIdx;

  const taken = [];
  for (let head = 0; head < ringSize; head++) {
    if (inflight[head] === 0) continue;
    const at = COUNTER + head * COUNTER_STEP;
    taken.push({ head, low: words32[at]!, high: words32[at + 1]! });
  }
  taken.sort((a, b) => a.high - b.high || a.low - b.low);
  const latest = taken.at(-1);
  const low = latest === undefined ? 0 : (latest.low + 1) >>> 0;
  const high = latest === undefined ? 0 : (latest.high + (low === 0 ? 1 : 0)) >>> 0;
  return {
    heads: taken.map(({ head }) => head),
    // Only a link for the next batch: any entry will do where the region's is none.
    lastHead: lastHead < entryCount ? lastHead : 0,
    nextCounter: [low, high],
  };
}

/** The last `count` answered heads were published, and perhaps not cleared. */
function clearBatch(
  { bytes, words16 }: InflightViews,
  inflight: Uint8Array,
  lastHead: number,
  count: number,
): string | null {
  // Nothing in flight: the ring may have been made anew meanwhile, and nothing is lost with the batch.
  if (count === 0 || inflight.every((value) => value === 0)) return null;
  if (count > inflight.length) {
    return `in-flight region: used_idx is ${count} behind the ring's, expected at most ${inflight.length}`;
  }
  const seen = new Uint8Array(inflight.length);
  let head = lastHead;
  for (let left = count; left > 0; left--) {
    if (head >= inflight.length) {
      return `in-flight region: the last batch names head ${head}, expected less than ${inflight.length}`;
    }
    if (seen[head] !== 0) return `in-flight region: the last batch names head ${head} twice`;
    seen[head] = 1;
    inflight[head] = 0;
    bytes[INFLIGHT + head * ENTRY_BYTES] = 0;
    head = words16[NEXT + head * NEXT_STEP]!;
  }
  return null;
}
