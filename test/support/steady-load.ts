/**
 * A front-end at full speed, as a process of its own: chains are written once and offered again and again,
 * so that it allocates nothing a request and its garbage collector is nobody's business. Says "warm" after
 * a warm-up, waits for SIGUSR2, and says "done" with the requests it counted. Every status is checked.
 * Arguments: socket, kind (read, write), warm-up requests, requests, and "split" or "packed" rings (whose mock
 * driver does allocate), with ", recorded" for an in-flight region. Half of the requests have their data in PIECES.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { signalEventfd } from '../../src/sys/eventfd.ts';
import type { RingDriver } from './mock-driver.ts';
import { blk, placeRequest } from './mock-driver-blk.ts';
import { MockFrontEnd } from './mock-frontend.ts';
import { PLACE_BYTES } from './mock-frontend-queue.ts';

const BLOCK_BYTES = 4096;
const DEPTH = 32;
const QUEUES = 2;
/** Every other request has its data in so many pieces: a vectored operation. */
const PIECES = 4;
const LOAD_AT = 0x1_0000_0000;
/** Rounds that wait for all answers, of that many: the back-end then polls, sleeps and is woken. */
const DRAINED_ROUNDS = 64;
const ROUNDS = 1024;
/** Longer than the back-end's poll, in a drained round out of PAUSE_EVERY. */
const PAUSE_MS = 0.1;
const PAUSE_EVERY = 8;
const ANSWER_TIMEOUT_MS = 10_000;

const [socket, kind, warmUp, count, layout] = process.argv.slice(2);
const frontEnd = await MockFrontEnd.start(socket!, {
  queueCount: QUEUES,
  placeCount: 0,
  queueSize: 256,
  packed: layout?.startsWith('packed') ?? false,
  inflight: layout?.endsWith('recorded') ?? false,
  moreRegions: [[LOAD_AT, QUEUES * DEPTH * PLACE_BYTES]],
});

/** A queue with all its requests in place, and where their statuses are by head. */
class LoadedQueue {
  readonly driver: RingDriver;
  readonly #kickFd: number;
  readonly #heads = new Uint16Array(DEPTH);
  readonly #statusAt: Uint32Array;
  readonly #bytes: Uint8Array;
  inFlight = 0;

  constructor(index: number) {
    const { ring: driver, kickFd } = frontEnd.queues[index]!;
    const { ram } = frontEnd.shared;
    this.driver = driver;
    this.#kickFd = kickFd;
    this.#statusAt = new Uint32Array(driver.size);
    this.#bytes = ram.place(LOAD_AT, 1).region.bytes;
    for (let i = 0; i < DEPTH; i++) {
      const place = index * DEPTH + i;
      const cuts = i % 2 === 0 ? 1 : PIECES;
      const at = Array.from({ length: cuts }, (_, cut) => ((cut + 1) * BLOCK_BYTES) / cuts);
      const sector = place * (BLOCK_BYTES / 512);
      const text =
        kind === 'write'
          ? blk.write(sector, new Uint8Array(BLOCK_BYTES).fill(place), {
              readableCuts: [16, ...at.slice(0, -1).map((cut) => cut + 16)],
              gapBytes: 16,
            })
          : blk.read(sector, BLOCK_BYTES, { writableCuts: at, gapBytes: 16 });
      const placed = placeRequest(ram, LOAD_AT + place * PLACE_BYTES, text);
      const head = driver.writeChain(placed.buffers);
      this.#heads[i] = head;
      this.#statusAt[head] = placed.statusAddress - LOAD_AT;
    }
  }

  offerAll(): void {
    for (const head of this.#heads) this.driver.offer(head);
    this.inFlight = DEPTH;
  }

  /** Takes what is answered, and offers it `again` or not. How many. */
  turn(again: boolean): number {
    const { driver } = this;
    let taken = 0;
    while (driver.nextUsed()) {
      const at = this.#statusAt[driver.usedHead]!;
      if (this.#bytes[at] !== VIRTIO_BLK_S_OK) throw new Error(`status ${this.#bytes[at]}`);
      this.#bytes[at] = 0xee;
      if (again) driver.offer(driver.usedHead);
      taken++;
    }
    if (driver.publish()) signalEventfd(this.#kickFd);
    this.inFlight -= again ? 0 : taken;
    return taken;
  }
}

const queues = frontEnd.queues.map(({ index }) => new LoadedQueue(index));

function pause(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

let lastAnswerMs = performance.now();
let looks = 0;

/** One look at every queue. How many answers there were; throws when none has come for too long. */
function look(again: boolean): number {
  let taken = 0;
  for (const queue of queues) taken += queue.turn(again);
  if (taken > 0) looks = 0;
  else if (looks++ === 0) lastAnswerMs = performance.now();
  else if (looks % 1024 === 0 && performance.now() - lastAnswerMs > ANSWER_TIMEOUT_MS)
    throw new Error(`no answer for ${ANSWER_TIMEOUT_MS} ms`);
  return taken;
}

/** At least `count` requests; nothing is in flight afterwards. How many there were. */
function run(count: number): number {
  let done = 0;
  let round = 0;
  for (const queue of queues) queue.offerAll();
  while (done < count) {
    const again = round % ROUNDS < ROUNDS - DRAINED_ROUNDS;
    const taken = look(again);
    done += taken;
    if (taken > 0) round++;
    if (queues.some(({ inFlight }) => inFlight > 0)) continue;
    if (round % PAUSE_EVERY === 0) pause(PAUSE_MS);
    for (const queue of queues) queue.offerAll();
  }
  while (queues.some(({ inFlight }) => inFlight > 0)) done += look(false);
  return done;
}

let told = false;
process.once('SIGUSR2', () => {
  told = true;
});
run(Number(warmUp));
process.stdout.write('warm\n');
while (!told) await sleep(5);
const start = performance.now();
const done = run(Number(count));
const seconds = (performance.now() - start) / 1000;
process.stdout.write(`done ${done} in ${seconds.toFixed(2)} s\n`);
frontEnd.close();
process.exit(0);
