/**
 * The thread of the null device: spins over its rings until told to stop. Its own mapping of the ring memory, so
 * that nothing but the rings is shared with the client, as with a back-end.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { errnoName } from '../../protocol/errno.ts';
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY } from '../../protocol/virtio-ring.ts';
import { signalEventfd } from '../../src/sys/eventfd.ts';
import { mapShared, unmap, viewMemory } from '../../src/sys/mmap.ts';
import { loadAcquire16, storeRelease16 } from '../../src/virtqueue/barrier.ts';
import { vringNeedEvent } from '../../src/virtqueue/need-event.ts';
import { ringPlace } from '../support/mock-driver-ring.ts';

export type NullDeviceRing = {
  fd: number;
  mmapOffset: number;
  mappedBytes: number;
  /** Offset of the ring in the mapping. */
  ringAt: number;
  ringSize: number;
  callFd: number;
};

export type NullDeviceRings = {
  stop: Int32Array;
  eventIdx: boolean;
  rings: readonly NullDeviceRing[];
};

const FLAGS = 0;
const IDX = 1;
const RING = 2;

class NullRing {
  readonly #avail: Uint16Array;
  readonly #used: Uint16Array;
  readonly #used32: Uint32Array;
  readonly #ringSize: number;
  readonly #callFd: number;
  readonly #eventIdx: boolean;
  readonly #address: number;
  readonly #mappedBytes: number;
  #idx = 0;

  constructor(ring: NullDeviceRing, eventIdx: boolean) {
    this.#address = mapShared(ring.fd, ring.mmapOffset, ring.mappedBytes);
    if (this.#address < 0) throw new Error(`mmap: ${errnoName(this.#address)}`);
    this.#mappedBytes = ring.mappedBytes;
    const buffer = viewMemory(this.#address, ring.mappedBytes);
    const { avail, used } = ringPlace(ring.ringAt, ring.ringSize);
    this.#avail = new Uint16Array(buffer, avail, ring.ringSize + 3);
    this.#used = new Uint16Array(buffer, used, 4 * ring.ringSize + 3);
    this.#used32 = new Uint32Array(buffer, used, 2 * ring.ringSize + 1);
    this.#ringSize = ring.ringSize;
    this.#callFd = ring.callFd;
    this.#eventIdx = eventIdx;
    if (!eventIdx) storeRelease16(this.#used, FLAGS, VRING_USED_F_NO_NOTIFY);
  }

  serve(): void {
    const end = loadAcquire16(this.#avail, IDX);
    const start = this.#idx;
    if (end === start) return;
    const mask = this.#ringSize - 1;
    let idx = start;
    for (; idx !== end; idx = (idx + 1) & 0xffff) {
      this.#used32[1 + 2 * (idx & mask)] = this.#avail[RING + (idx & mask)]!;
      this.#used32[2 + 2 * (idx & mask)] = 1;
    }
    this.#idx = idx;
    storeRelease16(this.#used, IDX, idx);
    const wanted = this.#eventIdx
      ? vringNeedEvent(loadAcquire16(this.#avail, RING + this.#ringSize), idx, start)
      : (loadAcquire16(this.#avail, FLAGS) & VRING_AVAIL_F_NO_INTERRUPT) === 0;
    if (wanted) signalEventfd(this.#callFd);
  }

  unmap(): void {
    unmap(this.#address, this.#mappedBytes);
  }
}

const { stop, eventIdx, rings } = workerData as NullDeviceRings;
const served = rings.map((ring) => new NullRing(ring, eventIdx));
parentPort?.postMessage('serving');
while (Atomics.load(stop, 0) === 0) for (const ring of served) ring.serve();
for (const ring of served) ring.unmap();
