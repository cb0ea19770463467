/**
 * Random requests of every kind on every queue, many in flight, in buffers of every shape, against a
 * model of the disk: each read is compared, each status and used length checked. Requests that touch
 * the same bytes are never in flight together, so that the model knows what has to come.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  virtioBlkStatus,
} from '../../protocol/virtio-blk.ts';
import { noise } from './image-content.ts';
import { type BlkRequestText, blk } from './mock-driver-blk.ts';
import type { MockFrontEnd } from './mock-frontend.ts';
import type { MockQueue, Pending } from './mock-frontend-queue.ts';
import { type RandomNumbers, randomNumbers } from './random-numbers.ts';
import { FRAMED_DESCRIPTORS_MAX, randomFraming, randomSkew } from './request-framing.ts';

const SECTOR = 512;
/** Requests in flight on a queue, each in a stripe of the disk of its own. */
const STRIPES = 24;
/** Guest memory of a request: its largest data, gaps, header and status. */
const PLACE_BYTES = 192 * 1024;
const TRANSFER_SECTORS_MAX = 256;

/** Where the buffers are: above 4 GiB, as most of a real guest's memory. */
const DATA_AT = 0x1_4000_0000;

/** The region of buffers that a front-end has to share for a load on `queueCount` queues. */
export function loadRegion(queueCount: number): readonly [number, number] {
  return [DATA_AT, queueCount * STRIPES * PLACE_BYTES];
}

interface UnderWay {
  readonly text: BlkRequestText;
  readonly stripe: number;
  readonly sector: number;
  readonly sectors: number;
}

interface LoadedQueue {
  readonly queue: MockQueue;
  readonly freeStripes: number[];
  readonly underWay: Map<Pending, UnderWay>;
}

export class VerifiedLoad {
  /** What the disk holds, by all that was answered. */
  readonly model: Uint8Array;
  answered = 0;
  /** False: the disk does not offer them. */
  discards = true;
  readonly #seed: number;
  readonly #random: RandomNumbers;
  readonly #queues: readonly LoadedQueue[];
  readonly #stripeSectors: number;

  /** `model` is the disk as it is now. The front-end shares `loadRegion`. SEED=n repeats a load. */
  constructor(frontEnd: MockFrontEnd, model: Uint8Array) {
    this.model = model;
    this.#seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);
    this.#random = randomNumbers(this.#seed);
    this.#queues = frontEnd.queues.map((queue) => ({
      queue,
      freeStripes: Array.from({ length: STRIPES }, (_, stripe) => stripe),
      underWay: new Map(),
    }));
    this.#stripeSectors = Math.floor(model.length / SECTOR / this.#queues.length / STRIPES);
  }

  /** Offers and checks `count` requests on each queue, to the last answer. */
  async run(count: number): Promise<void> {
    await Promise.all(
      this.#queues.map(async (loaded) => {
        let left = count;
        while (left > 0 || loaded.underWay.size > 0) {
          while (left > 0 && this.#hasRoom(loaded)) {
            this.#offer(loaded);
            left--;
          }
          loaded.queue.kick();
          for (const pending of await loaded.queue.answers()) this.#check(loaded, pending);
        }
      }),
    );
  }

  /** Keeps every queue full until `stopped`; then takes the answers that are there. */
  async runUntil(stopped: () => boolean): Promise<void> {
    for (const { queue } of this.#queues) queue.byCalls = false;
    while (!stopped()) {
      for (const loaded of this.#queues) {
        while (this.#hasRoom(loaded)) this.#offer(loaded);
        loaded.queue.kick();
        for (const pending of loaded.queue.collect()) this.#check(loaded, pending);
      }
      await nextTurn();
    }
    for (const loaded of this.#queues) {
      for (const pending of loaded.queue.collect()) this.#check(loaded, pending);
    }
  }

  /** Where an image is not what the model says, in words; null when it is. Unanswered may be either. */
  difference(image: Uint8Array): string | null {
    const unknown = new Uint8Array(this.model.length / SECTOR);
    for (const { underWay } of this.#queues) {
      for (const { text, sector, sectors } of underWay.values()) {
        if (text.type !== VIRTIO_BLK_T_IN) unknown.fill(1, sector, sector + sectors);
      }
    }
    for (let sector = 0; sector < unknown.length; sector++) {
      const [from, to] = [sector * SECTOR, (sector + 1) * SECTOR];
      if (unknown[sector] === 1) continue;
      if (Buffer.compare(image.subarray(from, to), this.model.subarray(from, to)) === 0) continue;
      return `sector ${sector} of the image is not what was written last (SEED=${this.#seed})`;
    }
    return null;
  }

  #hasRoom({ queue, freeStripes }: LoadedQueue): boolean {
    return freeStripes.length > 0 && queue.ring.freeCount >= FRAMED_DESCRIPTORS_MAX;
  }

  #offer({ queue, freeStripes, underWay }: LoadedQueue): void {
    const random = this.#random;
    const stripe = freeStripes.splice(random(freeStripes.length), 1)[0]!;
    const place = queue.index * STRIPES + stripe;
    // Small requests are the rule, as they are in life.
    const most = random(8) === 0 ? TRANSFER_SECTORS_MAX : 16;
    const sectors = 1 + random(Math.min(most, this.#stripeSectors));
    const sector = place * this.#stripeSectors + random(this.#stripeSectors - sectors + 1);
    // A third of all requests is as direct I/O wants it, the others are at odds with everything.
    const aligned = random(3) === 0;
    const plain = this.#anyRequest(sector, sectors);
    const text = { ...plain, ...randomFraming(random, plain, aligned) };
    const skew = randomSkew(random, aligned);
    const pending = queue.offer(text, DATA_AT + place * PLACE_BYTES + skew);
    underWay.set(pending, { text, stripe, sector, sectors });
  }

  #anyRequest(sector: number, sectors: number): BlkRequestText {
    const dice = this.#random(100);
    const range = { sector, sectors };
    if (dice < 40) return blk.write(sector, noise(sectors * SECTOR, this.#random(2 ** 31)));
    if (dice < 76) return blk.read(sector, sectors * SECTOR);
    if (dice < 84 && this.discards) return blk.discard(range);
    if (dice < 94) return blk.writeZeroes({ ...range, flags: this.#random(2) });
    if (dice < 97) return { type: VIRTIO_BLK_T_FLUSH };
    return blk.getId();
  }

  #check({ underWay, freeStripes, queue }: LoadedQueue, pending: Pending): void {
    const request = underWay.get(pending)!;
    underWay.delete(pending);
    freeStripes.push(request.stripe);
    this.answered++;
    const { text, sector, sectors } = request;
    const what = `queue ${queue.index}, type ${text.type}, sector ${sector}, ${sectors} sectors (SEED=${this.#seed})`;
    const { status, dataIn } = pending.request;
    if (status !== VIRTIO_BLK_S_OK) throw new Error(`${what}: ${virtioBlkStatus.nameOf(status)}`);
    const usedBytes = (text.dataInBytes ?? 0) + 1;
    if (pending.usedBytes !== usedBytes) {
      throw new Error(`${what}: used length ${pending.usedBytes}, expected ${usedBytes}`);
    }
    const [from, to] = [sector * SECTOR, (sector + sectors) * SECTOR];
    if (text.type === VIRTIO_BLK_T_IN) {
      const expected = this.model.subarray(from, to);
      if (Buffer.compare(dataIn, expected) === 0) return;
      const at = dataIn.findIndex((byte, i) => byte !== expected[i]);
      throw new Error(`${what}: byte ${at} read is ${dataIn[at]}, expected ${expected[at]}`);
    }
    if (text.type === VIRTIO_BLK_T_OUT) this.model.set(text.dataOut!, from);
    if (text.type === VIRTIO_BLK_T_DISCARD || text.type === VIRTIO_BLK_T_WRITE_ZEROES) {
      this.model.fill(0, from, to);
    }
    if (text.type === VIRTIO_BLK_T_GET_ID && dataIn[0] === 0) throw new Error(`${what}: no serial`);
  }
}
