/**
 * A loop device that can be killed between any two stores: to the rings, to guest memory, to the in-flight
 * region, and at every submission and completion. A store that comes after the last permitted one throws
 * instead, so that memory is exactly what a killed process leaves behind. `restart` is the next process.
 * The file that uses it replaces src/virtqueue/barrier.ts (see plain-barrier.ts): Atomics take no proxy.
 */

import { queueRegionStride } from '../../protocol/inflight.ts';
import {
  vringAvailBytes,
  vringDescTableBytes,
  vringPackedDescEvent,
  vringPackedRingBytes,
  vringUsed,
  vringUsedBytes,
} from '../../protocol/virtio-ring.ts';
import type { BackingPort } from '../../src/loop/backing-port.ts';
import { LoopDevice } from '../../src/loop/loop-device.ts';
import type { LoopQueue } from '../../src/loop/loop-queue.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import {
  type InflightViews,
  type QueueInflight,
  viewInflight,
} from '../../src/virtqueue/inflight-region.ts';
import { openPackedInflight } from '../../src/virtqueue/packed-recovery.ts';
import { PackedVring } from '../../src/virtqueue/packed-vring.ts';
import { SplitInflight } from '../../src/virtqueue/split-inflight.ts';
import { SplitVring } from '../../src/virtqueue/split-vring.ts';
import type { Vring } from '../../src/virtqueue/vring.ts';
import { LoopRig, type LoopRigOptions } from './loop-rig.ts';
import { PACKED_BASE } from './mock-driver-packed.ts';

/** The process has been killed. */
export class Killed extends Error {}

export interface KillableOptions extends LoopRigOptions {
  readonly ringSize: number;
  readonly eventIdx: boolean;
  readonly packed: boolean;
}

export class KillableDevice {
  readonly rig: LoopRig;
  /** The whole region; one queue. */
  readonly region: Uint8Array;
  /** Stores and steps that the process has made, and how many it may make. */
  steps = 0;
  stepsMax = Number.POSITIVE_INFINITY;
  queue!: LoopQueue;
  readonly #ringSize: number;
  readonly #eventIdx: boolean;
  readonly #packed: boolean;

  constructor(options: KillableOptions) {
    this.rig = new LoopRig(options);
    this.#ringSize = options.ringSize;
    this.#eventIdx = options.eventIdx;
    this.#packed = options.packed;
    this.region = new Uint8Array(queueRegionStride(options.packed, options.ringSize));
  }

  /** A process starts and takes the ring up; killed after `stepsMax` steps of its own. */
  start(stepsMax: number): void {
    this.steps = 0;
    this.stepsMax = stepsMax;
    const { rig } = this;
    rig.device = new LoopDevice(1, rig.state.figures.clock);
    const memory = rig.ram.deviceMemory();
    const counted = memory.bytesOfSlot.map((bytes) =>
      bytes === null ? null : this.#counted(bytes),
    );
    memory.bytesOfSlot.splice(0, counted.length, ...counted);
    const state = { ...rig.state, backing: this.#countedBacking(rig.backing) };
    this.queue = rig.attachVring(0, this.#vring(memory), memory, state);
    this.queue.takeUp();
  }

  /** The process is gone; its operations are carried out or not. */
  bury(carriedOut: boolean): void {
    this.rig.backing.orphan(carriedOut);
  }

  get regionViews(): InflightViews {
    return viewInflight(this.region.buffer, 0, this.region.length);
  }

  /** One turn of a worker, which completes up to `limit` operations. Throws Killed. */
  turn(limit: number): void {
    const { device, backing } = this.rig;
    while (device.serve()) device.publish();
    device.publish();
    backing.reap(
      {
        onResult: (tag, result) => {
          this.#step();
          device.onResult(tag, result);
        },
      },
      limit,
    );
    device.publish();
  }

  #step(): void {
    if (++this.steps > this.stepsMax) throw new Killed();
  }

  #counted<T extends object>(view: T): T {
    const step = () => this.#step();
    return new Proxy(view, {
      get: (target, key) => Reflect.get(target, key, target),
      set(target, key, value) {
        step();
        return Reflect.set(target, key, value, target);
      },
    });
  }

  #countedBacking(backing: BackingPort): BackingPort {
    return {
      submit: (...operation) => {
        this.#step();
        backing.submit(...operation);
      },
      reap: (sink) => backing.reap(sink),
    };
  }

  #part(address: number, sizeBytes: number) {
    const { region, at } = this.rig.ram.place(address, sizeBytes);
    return [region.bytes.buffer, region.bytes.byteOffset + at] as const;
  }

  /** What a process that starts is given of the region: it recovers. */
  get #queueInflight(): QueueInflight {
    const { bytes, words16, words32, words64 } = this.regionViews;
    const views = {
      bytes: this.#counted(bytes),
      words16: this.#counted(words16),
      words32: this.#counted(words32),
      words64: this.#counted(words64),
    };
    return { views, entryCount: this.#ringSize, recover: true };
  }

  #vring(memory: GuestMemory): Vring {
    return this.#packed ? this.#packedVring(memory) : this.#splitVring(memory);
  }

  #packedVring(memory: GuestMemory): PackedVring {
    const size = this.#ringSize;
    const { place } = this.rig.drivers[0]!;
    const ringBytes = vringPackedRingBytes(size);
    const eventBytes = vringPackedDescEvent.sizeBytes;
    const ring = this.#part(place.desc, ringBytes);
    const ring16 = this.#counted(new Uint16Array(...ring, ringBytes / 2));
    const inflight = openPackedInflight(this.#queueInflight, size, ring16, PACKED_BASE);
    if (typeof inflight === 'string') throw new Error(inflight);
    const parts = {
      size,
      ring16,
      ring32: this.#counted(new Int32Array(...ring, ringBytes / 4)),
      driverEvent: new Int32Array(...this.#part(place.avail, eventBytes), 1),
      deviceEvent: this.#counted(new Int32Array(...this.#part(place.used, eventBytes), 1)),
    };
    const start = { avail: PACKED_BASE & 0xffff, used: PACKED_BASE & 0xffff };
    const options = { eventIdx: this.#eventIdx, indirect: true, ...start, inflight };
    return new PackedVring(memory, parts, options);
  }

  #splitVring(memory: GuestMemory): SplitVring {
    const size = this.#ringSize;
    const { place } = this.rig.drivers[0]!;
    const part = this.#part.bind(this);
    const used = new Uint16Array(
      ...part(place.used, vringUsedBytes(size)),
      vringUsedBytes(size) / 2,
    );
    const usedIdx = used[vringUsed.at.idx / 2]!;
    const inflight = SplitInflight.open(this.#queueInflight, size, usedIdx);
    if (typeof inflight === 'string') throw new Error(inflight);
    const parts = {
      size,
      desc: new DataView(...part(place.desc, vringDescTableBytes(size)), vringDescTableBytes(size)),
      avail: new Uint16Array(
        ...part(place.avail, vringAvailBytes(size)),
        vringAvailBytes(size) / 2,
      ),
      used: this.#counted(used),
      used32: this.#counted(new Uint32Array(used.buffer, used.byteOffset, 1 + 2 * size)),
    };
    const options = { eventIdx: this.#eventIdx, indirect: true, base: 0, inflight };
    return new SplitVring(memory, parts, options);
  }
}
