/**
 * The whole loop device in one thread and without a system call: mock drivers on rings in plain buffers,
 * loop queues, a memory backing file. A test offers requests, turns the device, and looks at the rings,
 * the bytes and what is durable.
 */
import type { RequestLimits } from '../../src/blk/blk-request.ts';
import type { AttachedTransfer } from '../../src/loop/attached-transfer.ts';
import { BounceBuffers } from '../../src/loop/bounce-buffers.ts';
import { COUNTERS_PER_VRING, counterNames } from '../../src/loop/counters.ts';
import { DiskFigures } from '../../src/loop/disk-figures.ts';
import { LATENCIES_PER_VRING } from '../../src/loop/latencies.ts';
import { LoopCommands } from '../../src/loop/loop-commands.ts';
import { LoopDevice } from '../../src/loop/loop-device.ts';
import { LoopQueue } from '../../src/loop/loop-queue.ts';
import { type LoopState, SHARED_WORDS, ZERO_BYTES } from '../../src/loop/loop-state.ts';
import { QueueLog } from '../../src/loop/queue-log.ts';
import { DirtyLog } from '../../src/memory/dirty-log.ts';
import type { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { Vring } from '../../src/virtqueue/vring.ts';
import { activateVring, writtenParts } from '../../src/virtqueue/vring-config.ts';
import { HostSpace } from './host-space.ts';
import { MemoryBackingFile, type MemoryBackingOptions } from './memory-backing-file.ts';
import { MockDriver, type RingDriver } from './mock-driver.ts';
import { type BlkRequestText, type PlacedRequest, placeRequest } from './mock-driver-blk.ts';
import { type GuestRam, plainRam } from './mock-driver-memory.ts';
import { PACKED_BASE, PackedMockDriver, packedRingPlace } from './mock-driver-packed.ts';
import { ringPlace } from './mock-driver-ring.ts';
import { realMemory } from './real-bounce.ts';

export const RIG_DISK_BYTES = 1024 * 1024;
const RINGS_AT = 0x10_0000;
const RING_STRIDE = 0x1_0000;
export const RIG_DATA_AT = 0x1000_0000;
const DATA_BYTES = 8 * 1024 * 1024;
const SERIAL = 'rig-serial';
/** Turns after which a rig that is still busy is stuck. */
const TURNS_MAX = 100_000;

export interface LoopRigOptions extends Partial<MemoryBackingOptions> {
  readonly queueCount?: number;
  readonly ringSize?: number;
  readonly direct?: boolean;
  readonly writeThrough?: boolean;
  readonly fileOffsetBytes?: number;
  readonly limits?: Partial<RequestLimits>;
  readonly eventIdx?: boolean;
  readonly packed?: boolean;
  readonly inOrder?: boolean;
  /** Guest memory for requests. */
  readonly dataBytes?: number;
  /** The dirty log: a bit for each page of guest memory. */
  readonly log?: Uint8Array;
  /** Shared with another rig: two workers of one disk. */
  readonly shared?: Int32Array;
  /** A transfer module on the bounce buffers, which are at true addresses then. */
  readonly transfer?: (bounce: BounceBuffers) => AttachedTransfer;
}

/** A request under way or answered. */
export interface RigRequest {
  readonly queue: number;
  readonly head: number;
  readonly placed: PlacedRequest;
  /** Used elements that named it, their lengths. */
  readonly answers: number[];
}

export class LoopRig {
  readonly ram: GuestRam;
  readonly space = new HostSpace();
  readonly backing: MemoryBackingFile;
  readonly state: LoopState;
  device: LoopDevice;
  readonly drivers: readonly RingDriver[];
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
  /** The clock of its figures: stands still until a test moves it. */
  nowMs = 1000;
  readonly calls: number[] = [];
  readonly violations: Array<{ vring: number; violation: number }> = [];
  readonly ioErrors: Array<{ op: number; errno: number; offsetBytes: number }> = [];
  readonly #inFlight: Array<Map<number, RigRequest>>;
  readonly #log: Uint8Array | undefined;
  #nextPlace = RIG_DATA_AT;
  readonly #dataBytes: number;

  constructor(options: LoopRigOptions = {}) {
    const { queueCount = 1, ringSize = 16, direct = false, writeThrough = false } = options;
    const { sizeBytes = RIG_DISK_BYTES, memoryAlignBytes, offsetAlignBytes } = options;
    const align = direct ? 512 : 1;
    this.#dataBytes = options.dataBytes ?? DATA_BYTES;
    this.ram = plainRam([RINGS_AT, RING_STRIDE * queueCount], [RIG_DATA_AT, this.#dataBytes]);
    for (const { hostAddress, bytes } of this.ram.regions) {
      this.space.map(hostAddress, bytes as Uint8Array<ArrayBuffer>);
    }
    const alignment = {
      memoryAlignBytes: memoryAlignBytes ?? align,
      offsetAlignBytes: offsetAlignBytes ?? align,
    };
    this.backing = new MemoryBackingFile(this.space, { ...options, ...alignment, sizeBytes });
    const serial = this.space.allocate(20);
    new Uint8Array(serial.buffer).set(new TextEncoder().encode(SERIAL));
    const { transfer } = options;
    const bounce = new BounceBuffers(transfer === undefined ? this.space : realMemory(this.space));
    this.state = {
      backing: this.backing,
      hostMemory: this.space,
      bounce,
      transfer: transfer?.(bounce) ?? null,
      figures: new DiskFigures((ms) => {
        ms[0] = this.nowMs;
      }, sizeBytes),
      events: {
        call: (fd) => this.calls.push(fd),
        onViolation: (vring, violation) => this.violations.push({ vring, violation }),
        onMiss: () => {
          throw new Error('a miss without an IOTLB');
        },
        onIoError: (op, errno, offsetBytes) => this.ioErrors.push({ op, errno, offsetBytes }),
      },
      shared: options.shared ?? new Int32Array(SHARED_WORDS),
      zeroAddress: this.space.allocate(ZERO_BYTES).address,
      serialAddress: serial.address,
      fileOffsetBytes: options.fileOffsetBytes ?? 0,
      direct,
      ...alignment,
      writeThrough,
      limits: {
        capacitySectors: RIG_DISK_BYTES / 512,
        blockSizeBytes: 512,
        readOnly: false,
        rangesMax: 16,
        discard: true,
        writeZeroes: true,
        ...options.limits,
      },
    };
    this.device = new LoopDevice(queueCount, this.state.figures.clock);
    this.counters = new Float64Array(COUNTERS_PER_VRING * queueCount);
    this.latencies = new Float64Array(LATENCIES_PER_VRING * queueCount);
    this.#inFlight = Array.from({ length: queueCount }, () => new Map<number, RigRequest>());
    this.#log = options.log;
    this.drivers = Array.from({ length: queueCount }, (_, index) =>
      this.#attach(index, ringSize, options),
    );
  }

  #attach(index: number, size: number, options: LoopRigOptions): RingDriver {
    const { packed = false, inOrder = false, eventIdx = false } = options;
    const base = packed ? PACKED_BASE : 0;
    const place = (packed ? packedRingPlace : ringPlace)(RINGS_AT + index * RING_STRIDE, size);
    const driver = new (packed ? PackedMockDriver : MockDriver)(this.ram, {
      size,
      place,
      eventIdx,
    });
    const memory = this.ram.deviceMemory();
    const geometry = { size, addresses: driver.userPlace };
    const agreed = { packed, inOrder, eventIdx, indirect: true, base };
    const vring = activateVring(memory, geometry, agreed);
    if (typeof vring === 'string') throw new Error(vring);
    const queue = this.attachVring(index, vring, memory);
    if (this.#log !== undefined) {
      const onOutside = (guestAddress: number) => {
        throw new Error(`0x${guestAddress.toString(16)} is outside of the log`);
      };
      const log = new DirtyLog(this.#log, memory, { onMarked() {}, onOutside });
      queue.log = new QueueLog(log, true, writtenParts(memory, geometry, packed, place.used));
      queue.log.wroteRing();
    }
    return driver;
  }

  /** The driver of a split ring, which can do wrong. */
  splitDriver(queue = 0): MockDriver {
    const driver = this.drivers[queue];
    if (driver instanceof MockDriver) return driver;
    throw new Error(`queue ${queue} is packed`);
  }

  /** Runs a vring in place of the one that ran; also in a device made anew, with another state. */
  attachVring(index: number, vring: Vring, memory: GuestMemory, state = this.state): LoopQueue {
    const first = index * COUNTERS_PER_VRING;
    const queue = new LoopQueue(state, {
      index,
      vring,
      memory,
      commands: new LoopCommands(vring.size, this.space),
      counters: this.counters.subarray(first, first + COUNTERS_PER_VRING),
      latencies: this.latencies.subarray(
        index * LATENCIES_PER_VRING,
        (index + 1) * LATENCIES_PER_VRING,
      ),
      enabled: true,
      callFd: index,
      resume: (tag) => this.device.resumeBounce(tag),
    });
    this.device.attach(queue);
    return queue;
  }

  /** Guest memory for a request: fresh, aligned to a page and then shifted by `skewBytes`. */
  #placeFor(text: BlkRequestText, skewBytes: number): number {
    const bytes = 4096 + (text.dataOut?.length ?? 0) + (text.dataInBytes ?? 0);
    const pieces = 2 + (text.readableCuts?.length ?? 0) + (text.writableCuts?.length ?? 0);
    const needed = Math.ceil((bytes + pieces * (text.gapBytes ?? 0)) / 4096) * 4096 + 4096;
    if (this.#nextPlace + needed > RIG_DATA_AT + this.#dataBytes) this.#nextPlace = RIG_DATA_AT;
    const place = this.#nextPlace;
    this.#nextPlace += needed;
    return place + skewBytes;
  }

  /** Offers a request, visible at once. */
  offer(text: BlkRequestText, { queue = 0, skewBytes = 0 } = {}): RigRequest {
    const placed = placeRequest(this.ram, this.#placeFor(text, skewBytes), text);
    const driver = this.drivers[queue]!;
    const head = driver.addChain(placed.buffers);
    driver.publish();
    const request: RigRequest = { queue, head, placed, answers: [] };
    this.#inFlight[queue]!.set(head, request);
    return request;
  }

  /** Takes requests and makes answers visible, without completing any operation. */
  serve(): void {
    while (this.device.serve()) this.device.publish();
    this.device.publish();
    this.collect();
  }

  /** One turn of a worker: serve, complete up to `limit` operations, publish. */
  turn(limit = 1): number {
    this.serve();
    const done = this.backing.reap(this.device, limit);
    this.device.publish();
    this.collect();
    return done;
  }

  /** Turns until nothing moves any more. */
  settle(): void {
    for (let turns = 0; this.turn() > 0; turns++) {
      if (turns === TURNS_MAX) throw new Error(`still busy after ${TURNS_MAX} turns`);
    }
  }

  /** A request from offer to answer; its status. */
  run(text: BlkRequestText, options?: { queue?: number; skewBytes?: number }): number {
    const request = this.offer(text, options);
    this.settle();
    if (request.answers.length !== 1) throw new Error(`${request.answers.length} answers`);
    return request.placed.status;
  }

  counter(name: string): number {
    const values: Readonly<Record<string, number>> = counterNames.values;
    const index = values[name];
    if (index === undefined) throw new Error(`no counter ${name}`);
    let sum = 0;
    for (let at = index; at < this.counters.length; at += COUNTERS_PER_VRING) {
      sum += this.counters[at]!;
    }
    return sum;
  }

  /** What drivers do: take the answers that are there. */
  collect(): void {
    this.drivers.forEach((driver, queue) => {
      for (const { head, lengthBytes } of driver.collect()) {
        const request = this.#inFlight[queue]!.get(head);
        if (request === undefined) throw new Error(`queue ${queue}: head ${head} was not offered`);
        this.#inFlight[queue]!.delete(head);
        request.answers.push(lengthBytes);
      }
    });
  }
}
