/**
 * One virtqueue of the mock front-end: the mock driver over shared memory, its three eventfds, and
 * virtio-blk requests from placing them to reading their status. Answers are waited for at the used
 * ring or at the call eventfd, always with a bound.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { VIRTIO_BLK_S_OK, virtioBlkStatus } from '../../protocol/virtio-blk.ts';
import { createEventfd, drainEventfd, signalEventfd } from '../../src/sys/eventfd.ts';
import { type ChainOptions, MockDriver, type RingDriver } from './mock-driver.ts';
import { type BlkRequestText, type PlacedRequest, placeRequest } from './mock-driver-blk.ts';
import type { GuestRam } from './mock-driver-memory.ts';
import { PackedMockDriver, packedRingPlace } from './mock-driver-packed.ts';
import { ringPlace } from './mock-driver-ring.ts';
import { eventually } from './waiting.ts';

export const ANSWER_TIMEOUT_MS = 10_000;

/** The largest request (header, data, status) that fits a place of its own. */
export const PLACE_BYTES = 128 * 1024;

export interface QueueOptions {
  readonly index: number;
  readonly size: number;
  readonly eventIdx: boolean;
  readonly packed: boolean;
  readonly base: number;
  /** Guest address of the rings; they end before `placesAt`. */
  readonly ringAt: number;
  /** Guest memory for requests, in places of PLACE_BYTES. */
  readonly placesAt: number;
  readonly placeCount: number;
  /** Learn of answers by the call eventfd only, as a driver that sleeps; else by the used ring. */
  readonly byCalls?: boolean;
}

/** A request under way. */
export interface Pending {
  readonly head: number;
  readonly request: PlacedRequest;
  /** The used element's length; -1 before the answer. */
  usedBytes: number;
}

export interface Answer {
  readonly status: number;
  readonly usedBytes: number;
  readonly data: Uint8Array;
}

function newEventfd(): number {
  const fd = createEventfd();
  if (fd < 0) throw new Error(`eventfd: ${errnoName(fd)}`);
  return fd;
}

export class MockQueue {
  readonly index: number;
  ring: RingDriver;
  readonly kickFd = newEventfd();
  readonly callFd = newEventfd();
  readonly errFd = newEventfd();
  byCalls: boolean;
  callCount = 0;
  readonly #ram: GuestRam;
  readonly #options: QueueOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #freePlaces: number[];
  readonly #placeOfHead = new Map<number, number>();
  /** An answer was there when calls were armed: the device owes no call for it. */
  #answeredUncalled = false;

  constructor(ram: GuestRam, options: QueueOptions) {
    const { index, placesAt, placeCount } = options;
    this.index = index;
    this.#ram = ram;
    this.#options = options;
    this.byCalls = options.byCalls ?? false;
    this.ring = this.#newRing(options);
    this.#freePlaces = Array.from({ length: placeCount }, (_, i) => placesAt + i * PLACE_BYTES);
  }

  #newRing({ size, eventIdx, packed, base, ringAt }: QueueOptions): RingDriver {
    const place = (packed ? packedRingPlace : ringPlace)(ringAt, size);
    const Driver = packed ? PackedMockDriver : MockDriver;
    return new Driver(this.#ram, { size, place, eventIdx, base });
  }

  /** A new ring where the old one was. Nothing may be pending. */
  reset(size: number, base: number): void {
    if (this.inFlight > 0) throw new Error(`queue ${this.index}: ${this.inFlight} pending`);
    this.ring = this.#newRing({ ...this.#options, size, base });
  }

  /** The driver of a split ring, which can do wrong. */
  get driver(): MockDriver {
    if (this.ring instanceof MockDriver) return this.ring;
    throw new Error(`queue ${this.index} is packed`);
  }

  /** The same of a packed ring. */
  get packedDriver(): PackedMockDriver {
    if (this.ring instanceof PackedMockDriver) return this.ring;
    throw new Error(`queue ${this.index} is split`);
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** Whether one more request of a few descriptors fits. */
  get hasRoom(): boolean {
    return this.#freePlaces.length > 0 && this.ring.freeCount >= 4;
  }

  /** Offers a request without making it visible: `kick` does. At a place of its own, or at `at`. */
  offer(text: BlkRequestText, at?: number): Pending {
    const place = at ?? this.#freePlaces.pop();
    if (place === undefined) throw new Error(`queue ${this.index}: no place is free`);
    const request = placeRequest(this.#ram, place, text);
    if (at === undefined && request.end > place + PLACE_BYTES) {
      throw new Error(`the request has ${request.end - place} bytes, expected ${PLACE_BYTES}`);
    }
    return this.offerPlaced(request, at === undefined ? place : undefined);
  }

  offerPlaced(request: PlacedRequest, place?: number, options?: ChainOptions): Pending {
    const head = this.ring.addChain(request.buffers, options);
    const pending: Pending = { head, request, usedBytes: -1 };
    this.#pending.set(head, pending);
    if (place !== undefined) this.#placeOfHead.set(head, place);
    return pending;
  }

  /** Makes offered requests visible, and kicks when the device wants that. */
  kick(): void {
    if (this.byCalls && this.ring.armCalls()) this.#answeredUncalled = true;
    if (this.ring.publish()) this.kickAnyway();
  }

  kickAnyway(): void {
    signalEventfd(this.kickFd);
  }

  /** Takes the answers that are there; those that were pending. Throws for an answer to nothing. */
  collect(): Pending[] {
    return this.ring.collect().map(({ head, lengthBytes }) => {
      const pending = this.#pending.get(head);
      if (pending === undefined)
        throw new Error(`queue ${this.index}: head ${head} answered twice`);
      this.#pending.delete(head);
      const place = this.#placeOfHead.get(head);
      this.#placeOfHead.delete(head);
      if (place !== undefined) this.#freePlaces.push(place);
      pending.usedBytes = lengthBytes;
      return pending;
    });
  }

  /** Waits for at least one answer: by looking, or by a call. */
  async answers(timeoutMs = ANSWER_TIMEOUT_MS): Promise<Pending[]> {
    const what = () =>
      `answer on queue ${this.index} (${this.inFlight} pending, used idx ${this.ring.usedIdx})`;
    return await eventually(what, timeoutMs, () => {
      if (this.byCalls && !this.#wasCalled()) return undefined;
      const found = this.collect();
      // Arm before the next look, look after arming, until nothing came in between.
      while (this.byCalls && this.ring.armCalls()) found.push(...this.collect());
      return found.length > 0 ? found : undefined;
    });
  }

  /** Waits until nothing is pending. */
  async drained(timeoutMs = ANSWER_TIMEOUT_MS): Promise<Pending[]> {
    const all: Pending[] = [];
    while (this.inFlight > 0) all.push(...(await this.answers(timeoutMs)));
    return all;
  }

  /** One request alone, from start to end. */
  async run(text: BlkRequestText, at?: number): Promise<Answer> {
    const pending = this.offer(text, at);
    this.kick();
    await this.#answered(pending);
    const { request, usedBytes } = pending;
    return { status: request.status, usedBytes, data: request.dataIn };
  }

  /** The same; throws unless the status is OK. Answers what was read. */
  async mustRun(text: BlkRequestText, at?: number): Promise<Uint8Array> {
    const { status, data } = await this.run(text, at);
    if (status !== VIRTIO_BLK_S_OK) {
      throw new Error(`request type ${text.type}: ${virtioBlkStatus.nameOf(status)}`);
    }
    return data;
  }

  async #answered(pending: Pending): Promise<void> {
    while (pending.usedBytes < 0) await this.answers();
  }

  #wasCalled(): boolean {
    const calls = drainEventfd(this.callFd);
    if (calls > 0) this.callCount += calls;
    const uncalled = this.#answeredUncalled;
    this.#answeredUncalled = false;
    return calls > 0 || uncalled;
  }

  close(): void {
    for (const fd of [this.kickFd, this.callFd, this.errFd]) closeSync(fd);
  }
}
