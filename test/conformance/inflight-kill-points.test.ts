/**
 * In-flight recovery, store by store (vhost-user.rst, "Inflight I/O tracking"): a device is killed between
 * every two stores of get → submit → complete → used → clear, the next one starts on the memory that is
 * left, is killed as well, and a third one ends the work. The driver sees every request answered exactly
 * once with the right data, wherever the two were killed.
 */
import { expect, test, vi } from 'vitest';
import {
  descStatePacked,
  descStateSplit,
  queueRegionPacked,
  queueRegionSplit,
} from '../../protocol/inflight.ts';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { KillableDevice, Killed } from '../support/killable-device.ts';
import type { RigRequest } from '../support/loop-rig.ts';
import { type BlkRequestText, blk } from '../support/mock-driver-blk.ts';

vi.mock(import('../../src/virtqueue/barrier.ts'), () => import('../support/plain-barrier.ts'));

const SECTOR = 512;
const REQUESTS = 14;
/** Two requests fit, and a bit: the indices wrap every few requests. */
const RING_SIZE = 8;
/** What a recovery and the batch after it take. */
const RECOVERY_STEPS = 40;
const DISK_BYTES = 16 * REQUESTS * SECTOR;

/** What the driver asks for, in order: each in sectors of its own, reads of what is there from the start. */
function script(): BlkRequestText[] {
  return Array.from({ length: REQUESTS }, (_, i) => {
    if (i % 5 === 3) return { type: VIRTIO_BLK_T_FLUSH };
    // Answered within the turn that takes it, beside others that wait for the file.
    if (i % 5 === 4) return i % 2 === 0 ? blk.getId() : { type: 99 };
    const sector = 16 * i;
    return i % 2 === 0 ? blk.write(sector, noise(2 * SECTOR, i)) : blk.read(sector, SECTOR);
  });
}

interface Variant {
  readonly packed: boolean;
  readonly eventIdx: boolean;
  /** Operations that were in the engine at the kill are carried out by the kernel all the same. */
  readonly carriedOut: boolean;
  /** The driver collects and offers while no process serves it. */
  readonly driverGoesOn: boolean;
}

/** A driver with a script, and the device that serves it, through any number of lives. */
class World {
  readonly device: KillableDevice;
  readonly #initial = noise(DISK_BYTES, 1);
  readonly #model = this.#initial.slice();
  readonly #script = script();
  readonly #asked: Array<{ text: BlkRequestText; request: RigRequest }> = [];
  readonly #variant: Variant;
  #turns = 0;

  constructor(variant: Variant) {
    this.#variant = variant;
    // Completions out of order: the newest first, then the oldest.
    let flip = 0;
    this.device = new KillableDevice({
      ringSize: variant.packed ? RING_SIZE - 1 : RING_SIZE,
      sizeBytes: DISK_BYTES,
      dataBytes: 2 ** 18,
      eventIdx: variant.eventIdx,
      packed: variant.packed,
      choose: (count) => (flip++ % 2 === 0 ? count - 1 : 0),
    });
    this.device.rig.backing.content.set(this.#initial);
  }

  #offer(): void {
    const { rig } = this.device;
    while (this.#script.length > 0 && rig.drivers[0]!.freeCount >= 3) {
      const text = this.#script.shift()!;
      this.#asked.push({ text, request: rig.offer(text) });
    }
  }

  /** One process's life: to its kill, or to the end of the work. Answers the steps that it made. */
  live(stepsMax: number): { killed: boolean; steps: number } {
    const { device } = this;
    try {
      device.start(stepsMax);
      while (this.#script.length > 0 || !this.#allAnswered) {
        if (++this.#turns > 200) throw new Error('the device does not come to an end');
        this.#offer();
        device.turn(1 + (this.#turns % 3));
        device.rig.collect();
      }
      return { killed: false, steps: device.steps };
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      device.bury(this.#variant.carriedOut);
      if (this.#variant.driverGoesOn) {
        device.rig.collect();
        this.#offer();
      }
      return { killed: true, steps: device.steps };
    }
  }

  get #allAnswered(): boolean {
    return this.#asked.every(({ request }) => request.answers.length > 0);
  }

  check(): void {
    const { rig, queue, region, regionViews } = this.device;
    for (const { text, request } of this.#asked) {
      expect(request.answers).toHaveLength(1);
      const at = Number(text.sector ?? 0) * SECTOR;
      if (text.type === 99) continue;
      expect(request.placed.status).toBe(VIRTIO_BLK_S_OK);
      if (text.dataOut) this.#model.set(text.dataOut, at);
      else if (text.sector !== undefined) {
        const expected = this.#initial.subarray(at, at + SECTOR);
        expect(Buffer.compare(request.placed.dataIn, expected)).toBe(0);
      }
    }
    expect(Buffer.compare(rig.backing.content, this.#model)).toBe(0);
    expect(rig.violations).toEqual([]);
    expect(queue.vring.inFlightCount).toBe(0);
    const { packed } = this.#variant;
    const [driver] = rig.drivers;
    if (packed) expect(queue.vring.base & 0xffff).toBe(queue.vring.base >>> 16);
    else expect(queue.vring.base).toBe(rig.splitDriver().availIdx);
    const [header, entry] = packed
      ? [queueRegionPacked, descStatePacked]
      : [queueRegionSplit, descStateSplit];
    const inFlight = Array.from({ length: RING_SIZE - 1 }, (_, head) => {
      return region[header.sizeBytes + head * entry.sizeBytes];
    });
    expect(inFlight).toEqual(new Array(RING_SIZE - 1).fill(0));
    expect(regionViews.words16[header.at.used_idx / 2]).toBe(driver!.usedIdx);
  }
}

const VARIANTS: readonly Variant[] = [false, true].flatMap((packed) =>
  [false, true].flatMap((eventIdx) =>
    [false, true].flatMap((carriedOut) =>
      [false, true].map((driverGoesOn) => ({ packed, eventIdx, carriedOut, driverGoesOn })),
    ),
  ),
);

test.each(VARIANTS)('killed at any store: %o', (variant) => {
  let first = 0;
  for (; ; first++) {
    const world = new World(variant);
    const { killed } = world.live(first);
    if (killed) expect(world.live(Number.POSITIVE_INFINITY).killed).toBe(false);
    world.check();
    if (!killed) break;
  }
  // The sequence has not shrunk to nothing: a store a head taken and one cleared, at the least.
  expect(first).toBeGreaterThan(10 * REQUESTS);
});

test.each(VARIANTS.filter(({ eventIdx }) => eventIdx))(
  'killed at any store, and again while it recovers: %o',
  (variant) => {
    // Every store of a recovery, after kills in each state that a turn has.
    for (let first = 1; ; first += 29) {
      for (let second = 0; second < RECOVERY_STEPS; second++) {
        const world = new World(variant);
        if (!world.live(first).killed) return;
        const { killed } = world.live(second);
        if (!killed) break;
        expect(world.live(Number.POSITIVE_INFINITY).killed).toBe(false);
        world.check();
      }
    }
  },
);
