/**
 * One vring of the loop device in plain memory, as the micro-benchmark drives it: the real modules from the avail
 * ring to the SQE and back, without a system call. Requests are written once and offered again and again, so
 * that the driver's side is two stores a request.
 */
import { UringFile } from '../../src/backing/uring-file.ts';
import { BounceBuffers } from '../../src/loop/bounce-buffers.ts';
import { COUNTERS_PER_VRING } from '../../src/loop/counters.ts';
import { DiskFigures } from '../../src/loop/disk-figures.ts';
import { LATENCIES_PER_VRING } from '../../src/loop/latencies.ts';
import { LoopCommands } from '../../src/loop/loop-commands.ts';
import { LoopDevice } from '../../src/loop/loop-device.ts';
import { LoopQueue } from '../../src/loop/loop-queue.ts';
import { type LoopState, SHARED_WORDS } from '../../src/loop/loop-state.ts';
import type { ReactorSink } from '../../src/worker/reactor.ts';
import { UringReactor } from '../../src/worker/uring-reactor.ts';
import { HostSpace } from '../support/host-space.ts';
import type { RingDriver } from '../support/mock-driver.ts';
import { blk, placeRequest } from '../support/mock-driver-blk.ts';
import { LIMITS } from '../support/mock-driver-decode.ts';
import { DATA_AT, packedSetup, type RingSetup, ringSetup } from '../support/mock-driver-setup.ts';
import { MicroKernel } from './micro-kernel.ts';

const RING_SIZE = 256;
/** What a request has beside its data: a header and a status. */
const FRAME_DESCRIPTORS = 2;
const DESCRIPTOR_BYTES = 16;
/** Requests of a wave: all that they touch stays in the first-level cache, so that only work is measured. */
const WAVE_MAX = 64;
const SEGMENT_BYTES = 512;
const DATA_BYTES = 2 ** 20;

/** How a request is laid out: so many data segments, apart from each other in memory. */
export interface RequestShape {
  readonly segments: number;
  readonly indirect: boolean;
  readonly packed: boolean;
}

export class MicroRig implements ReactorSink {
  readonly setup: RingSetup<RingDriver>;
  readonly requestCount: number;
  readonly requestBytes: number;
  readonly kernel: MicroKernel;
  readonly #heads: readonly number[];
  readonly #figures = new DiskFigures((ms) => {
    ms[0] = performance.now();
  }, DATA_BYTES);
  readonly #device = new LoopDevice(1, this.#figures.clock);
  readonly #reactor: UringReactor;

  constructor({ segments, indirect, packed }: RequestShape) {
    const descriptors = segments + FRAME_DESCRIPTORS;
    this.requestCount = Math.min(WAVE_MAX, Math.floor(RING_SIZE / descriptors));
    this.requestBytes = segments * SEGMENT_BYTES;
    const setupOf = packed ? packedSetup : ringSetup;
    this.setup = setupOf({ size: RING_SIZE, eventIdx: true, regions: [[DATA_AT, DATA_BYTES]] });
    const { ram, driver } = this.setup;
    const cuts = Array.from({ length: segments }, (_, i) => (i + 1) * SEGMENT_BYTES);
    let at = DATA_AT;
    this.#heads = Array.from({ length: this.requestCount }, (_, request) => {
      const framing = { writableCuts: cuts, gapBytes: SEGMENT_BYTES };
      const placed = placeRequest(ram, at, blk.read(request, this.requestBytes, framing));
      const table = Math.ceil(placed.end / DESCRIPTOR_BYTES) * DESCRIPTOR_BYTES;
      at = table + descriptors * DESCRIPTOR_BYTES;
      return driver.writeChain(placed.buffers, indirect ? { indirectAt: table } : {});
    });
    this.kernel = new MicroKernel(RING_SIZE, this.requestBytes);
    this.#reactor = new UringReactor(this.kernel.queue, { address: 0 });
    this.#attach();
  }

  #attach(): void {
    const space = new HostSpace();
    const state: LoopState = {
      backing: new UringFile(this.kernel.queue, 0),
      hostMemory: space,
      transfer: null,
      bounce: new BounceBuffers(space),
      figures: this.#figures,
      events: {
        call: () => {},
        onViolation: (_vring, violation) => {
          throw new Error(`violation ${violation}`);
        },
        onMiss: () => {
          throw new Error('a miss without an IOTLB');
        },
        onIoError: (_op, errno) => {
          throw new Error(`I/O error ${errno}`);
        },
      },
      shared: new Int32Array(SHARED_WORDS),
      zeroAddress: 0,
      serialAddress: 0,
      fileOffsetBytes: 0,
      direct: false,
      memoryAlignBytes: 1,
      offsetAlignBytes: 1,
      writeThrough: false,
      limits: LIMITS,
    };
    const options = {
      index: 0,
      vring: this.setup.vring,
      memory: this.setup.memory,
      commands: new LoopCommands(RING_SIZE, space),
      counters: new Float64Array(COUNTERS_PER_VRING),
      latencies: new Float64Array(LATENCIES_PER_VRING),
      enabled: true,
      callFd: 0,
      resume: () => {},
    };
    this.#device.attach(new LoopQueue(state, options));
  }

  /** The driver: a wave of requests becomes visible. */
  offer(): void {
    const { driver } = this.setup;
    for (const head of this.#heads) driver.offer(head);
    driver.publish();
  }

  /** The driver: takes the answers. Throws unless the whole wave was answered. */
  collect(): void {
    const { driver } = this.setup;
    let count = 0;
    while (driver.nextUsed()) count++;
    driver.armCalls();
    if (count !== this.requestCount) throw new Error(`${count} of ${this.requestCount} answered`);
  }

  /** The device: all that is available becomes SQEs. */
  serve(): void {
    while (this.#device.serve());
  }

  /** The device: SQEs go to the kernel, whose answers wait in the ring then. */
  enter(): void {
    this.#reactor.turn(false, false);
  }

  /** The device: completions become statuses and used elements, which are published. */
  complete(): void {
    while (this.#reactor.reap(this)) this.#device.publish();
    this.#device.publish();
  }

  /** Turns as a loop worker makes them, until nothing is left. */
  turns(): void {
    while (this.#device.hasWork()) {
      this.#device.serve();
      this.#device.publish();
      this.enter();
      this.complete();
    }
  }

  onResult(tag: number, result: number): void {
    this.#device.onResult(tag, result);
  }

  onSignal(): void {}
}
