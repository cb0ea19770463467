/**
 * Random requests through every engine: four queues at depth, reads and writes in odd pieces at odd
 * addresses, discards, zeroes and flushes, against a plain array; then the file on the host is compared.
 * SEED=n repeats a run.
 */
import { afterEach, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { type BlkRequestText, blk, HEADER_BYTES } from '../support/mock-driver-blk.ts';
import { type MockQueue, type Pending, PLACE_BYTES } from '../support/mock-frontend-queue.ts';
import { ServedDisk } from '../support/served-disk.ts';

const SECTOR = 512;
const QUEUES = 4;
/** Each queue has a part of the disk to itself. */
const PART_SECTORS = 4096;
const SECTORS_MAX = 128;
const REQUESTS_PER_QUEUE = 600;

const seed = Number(process.env['SEED'] ?? (Date.now() ^ (process.pid << 8)) >>> 0);

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** Numbers below `limit`, the same for the same seed (mulberry32). */
function randomNumbers(start: number): (limit: number) => number {
  let state = start;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

class Worker {
  readonly #queue: MockQueue;
  readonly #model: Buffer;
  readonly #random: (limit: number) => number;
  readonly #first: number;
  readonly #busy = new Uint8Array(PART_SECTORS);
  readonly #expected = new Map<Pending, { from: number; count: number; data: Buffer | null }>();

  constructor(queue: MockQueue, model: Buffer) {
    this.#queue = queue;
    this.#model = model;
    this.#first = queue.index * PART_SECTORS;
    this.#random = randomNumbers(seed + queue.index);
  }

  async work(): Promise<void> {
    for (let offered = 0; offered < REQUESTS_PER_QUEUE; ) {
      while (this.#queue.hasRoom && offered < REQUESTS_PER_QUEUE && this.#offer()) offered++;
      this.#queue.kick();
      for (const answer of await this.#queue.answers()) this.#check(answer);
    }
    for (const answer of await this.#queue.drained()) this.#check(answer);
  }

  /** Offers one request; false when the sectors it drew are in use by another. */
  #offer(): boolean {
    const count = 1 + this.#random(SECTORS_MAX);
    const from = this.#random(PART_SECTORS - count);
    const touched = this.#busy.subarray(from, from + count);
    if (touched.some((busy) => busy !== 0)) return false;
    const at = (this.#first + from) * SECTOR;
    const inModel = this.#model.subarray(at, at + count * SECTOR);
    const kind = this.#random(10);
    const data = kind < 4 ? Buffer.from(inModel) : null;
    const pending = this.#queue.offer(this.#textOf(kind, this.#first + from, inModel));
    touched.fill(1);
    this.#expected.set(pending, { from, count, data });
    return true;
  }

  #textOf(kind: number, sector: number, inModel: Buffer): BlkRequestText {
    const sectors = inModel.length / SECTOR;
    const cut = this.#random(inModel.length + 1);
    // Half of the requests are laid out so that direct I/O takes them as they are.
    const gapBytes = this.#random(2) === 0 ? SECTOR - HEADER_BYTES : this.#random(64);
    if (kind < 4) {
      return blk.read(sector, inModel.length, { writableCuts: [cut, inModel.length], gapBytes });
    }
    if (kind < 7) {
      inModel.set(noise(inModel.length, 1 + this.#random(2 ** 30)));
      const readableCuts = [HEADER_BYTES, HEADER_BYTES + cut];
      return blk.write(sector, Uint8Array.from(inModel), { readableCuts, gapBytes });
    }
    if (kind === 9) return { type: VIRTIO_BLK_T_FLUSH };
    inModel.fill(0);
    const range = { sector, sectors };
    return kind === 7 ? blk.discard(range) : blk.writeZeroes({ ...range, flags: this.#random(2) });
  }

  #check(pending: Pending): void {
    const { from, count, data } = this.#expected.get(pending)!;
    this.#expected.delete(pending);
    this.#busy.fill(0, from, from + count);
    expect(pending.request.status).toBe(VIRTIO_BLK_S_OK);
    expect(pending.usedBytes).toBe(data === null ? 1 : data.length + 1);
    if (data !== null && Buffer.compare(pending.request.dataIn, data) !== 0) {
      throw new Error(`seed=${seed}: queue ${this.#queue.index} reads another ${from}+${count}`);
    }
  }
}

test.each([
  [['--aio=io_uring', '--direct-io=on']],
  [['--aio=io_uring', '--direct-io=off', '--io-path=engine']],
  [['--aio=io_uring', '--direct-io=off', '--io-path=calls']],
  [['--aio=native', '--direct-io=on']],
  [['--aio=threads', '--direct-io=on']],
  [['--aio=threads', '--direct-io=off']],
  [['--block-size=512', '--workers=2']],
])(`%j holds what it was given (SEED=${seed})`, async (args) => {
  expect(HEADER_BYTES + SECTORS_MAX * SECTOR + 3 * SECTOR).toBeLessThan(PLACE_BYTES);
  const content = noise(QUEUES * PART_SECTORS * SECTOR, seed % 1000);
  disk = await ServedDisk.serve({ args, content });
  const { queues } = await disk.connect({ queueCount: QUEUES });
  const model = Buffer.from(content);
  await Promise.all(queues.map((queue) => new Worker(queue, model).work()));
  expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, unsupported: 0 });
  expect(Buffer.compare(disk.imageBytes(), model), `seed=${seed}`).toBe(0);
});
