/**
 * What the checker can play on: the loop device in one thread without a system call, where a seed repeats
 * everything, and a vhost-user back-end behind the mock front-end.
 */
import type { CheckedAnswer, CheckedDevice } from './checker-play.ts';
import { type LoopRig, RIG_DISK_BYTES, type RigRequest } from './loop-rig.ts';
import type { BlkRequestText } from './mock-driver-blk.ts';
import type { MockFrontEnd } from './mock-frontend.ts';
import { ANSWER_TIMEOUT_MS, type Pending } from './mock-frontend-queue.ts';
import { FRAMED_DESCRIPTORS_MAX } from './request-framing.ts';
import { eventually } from './waiting.ts';

const SECTOR = 512;
/** The largest request: 128 KiB of data, header, status, gaps. */
const PLACE_BYTES = 160 * 1024;
const PLACES_PER_QUEUE = 24;
/** Above 4 GiB, as most of a real guest's memory. */
const PLACES_AT = 0x1_4000_0000;

export class RigDevice implements CheckedDevice {
  readonly diskSectors = RIG_DISK_BYTES / SECTOR;
  readonly rig: LoopRig;
  #waiting: RigRequest[] = [];

  constructor(rig: LoopRig) {
    this.rig = rig;
  }

  hasRoom(queue: number): boolean {
    return this.rig.drivers[queue]!.freeCount >= FRAMED_DESCRIPTORS_MAX;
  }

  offer(queue: number, text: BlkRequestText, skewBytes: number): RigRequest {
    const request = this.rig.offer(text, { queue, skewBytes });
    this.#waiting.push(request);
    return request;
  }

  answers(): CheckedAnswer[] {
    for (;;) {
      const done = this.rig.turn();
      const answered = this.#waiting.filter(({ answers }) => answers.length > 0);
      if (answered.length > 0) {
        this.#waiting = this.#waiting.filter(({ answers }) => answers.length === 0);
        return answered.map((request) => ({
          handle: request,
          status: request.placed.status,
          usedBytes: request.answers[0]!,
          data: request.placed.dataIn,
        }));
      }
      if (done === 0) throw new Error('no answer, and nothing under way that could bring one');
    }
  }
}

/** The region of buffers that a front-end has to share to be checked. */
export function checkedRegion(queueCount: number): readonly [number, number] {
  return [PLACES_AT, queueCount * PLACES_PER_QUEUE * PLACE_BYTES];
}

export class FrontEndDevice implements CheckedDevice {
  readonly diskSectors: number;
  readonly #frontEnd: MockFrontEnd;
  readonly #freePlaces: number[][];
  readonly #placeOf = new Map<Pending, number>();

  /** The front-end shares `checkedRegion`. */
  constructor(frontEnd: MockFrontEnd, diskSectors: number) {
    this.#frontEnd = frontEnd;
    this.diskSectors = diskSectors;
    this.#freePlaces = frontEnd.queues.map(({ index }) =>
      Array.from(
        { length: PLACES_PER_QUEUE },
        (_, i) => PLACES_AT + (index * PLACES_PER_QUEUE + i) * PLACE_BYTES,
      ),
    );
  }

  hasRoom(queue: number): boolean {
    const { ring } = this.#frontEnd.queues[queue]!;
    return this.#freePlaces[queue]!.length > 0 && ring.freeCount >= FRAMED_DESCRIPTORS_MAX;
  }

  offer(queue: number, text: BlkRequestText, skewBytes: number): Pending {
    const place = this.#freePlaces[queue]!.pop()!;
    const pending = this.#frontEnd.queues[queue]!.offer(text, place + skewBytes);
    this.#placeOf.set(pending, place);
    return pending;
  }

  async answers(): Promise<CheckedAnswer[]> {
    const { queues } = this.#frontEnd;
    for (const queue of queues) queue.kick();
    const found = await eventually('answer on any queue', ANSWER_TIMEOUT_MS, () => {
      const all = queues.flatMap((queue) =>
        queue.collect().map((pending) => ({ pending, queue: queue.index })),
      );
      return all.length > 0 ? all : undefined;
    });
    return found.map(({ pending, queue }) => {
      this.#freePlaces[queue]!.push(this.#placeOf.get(pending)!);
      this.#placeOf.delete(pending);
      const { status, dataIn } = pending.request;
      return { handle: pending, status, usedBytes: pending.usedBytes, data: dataIn };
    });
  }
}
