/**
 * What one vring tells of its requests as it serves them: counters, latencies, the trace. A few plain
 * stores a request, no lock, no message, no allocation; who reads them is not waited for.
 */
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP } from '../../protocol/virtio-blk.ts';
import {
  OP_DISCARD,
  OP_FLUSH,
  OP_GET_ID,
  OP_NONE,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../blk/blk-request.ts';
import { STAGE_NONE } from './command-board.ts';
import {
  COUNT_BOUNCED,
  COUNT_BUSY_MS,
  COUNT_BUSY_SINCE_MS,
  COUNT_CALLS,
  COUNT_DISCARDED_BYTES,
  COUNT_DISCARDS,
  COUNT_DURABLE_WRITES,
  COUNT_ERRORS,
  COUNT_FLUSHES,
  COUNT_OTHERS,
  COUNT_READ_BYTES,
  COUNT_READS,
  COUNT_REFUSED,
  COUNT_TAKEN,
  COUNT_TRANSFER_ERRORS,
  COUNT_UNSUPPORTED,
  COUNT_VIOLATIONS,
  COUNT_WRITE_ZEROES,
  COUNT_WRITES,
  COUNT_WRITTEN_BYTES,
  COUNT_ZEROED_BYTES,
} from './counters.ts';
import type { DiskFigures } from './disk-figures.ts';
import { recordLatency } from './latencies.ts';
import type { LoopCommands } from './loop-commands.ts';
import type { TurnClock } from './turn-clock.ts';

const COUNTER_OF_OP = new Uint8Array(8);
COUNTER_OF_OP[OP_NONE] = COUNT_OTHERS;
COUNTER_OF_OP[OP_READ] = COUNT_READS;
COUNTER_OF_OP[OP_WRITE] = COUNT_WRITES;
COUNTER_OF_OP[OP_FLUSH] = COUNT_FLUSHES;
COUNTER_OF_OP[OP_DISCARD] = COUNT_DISCARDS;
COUNTER_OF_OP[OP_WRITE_ZEROES] = COUNT_WRITE_ZEROES;
COUNTER_OF_OP[OP_GET_ID] = COUNT_OTHERS;

/** Where the bytes of an operation are summed up. The others have none to add. */
const BYTES_OF_OP = new Uint8Array(8).fill(COUNT_READ_BYTES);
BYTES_OF_OP[OP_WRITE] = COUNT_WRITTEN_BYTES;
BYTES_OF_OP[OP_DISCARD] = COUNT_DISCARDED_BYTES;
BYTES_OF_OP[OP_WRITE_ZEROES] = COUNT_ZEROED_BYTES;

export interface QueueFiguresOptions {
  readonly index: number;
  readonly commands: LoopCommands;
  /** COUNTERS_PER_VRING and LATENCIES_PER_VRING numbers of this vring. */
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
}

export class QueueFigures {
  readonly #disk: DiskFigures;
  readonly #index: number;
  readonly #clock: TurnClock;
  readonly #commands: LoopCommands;
  readonly #counters: Float64Array;
  readonly #latencies: Float64Array;

  constructor(disk: DiskFigures, options: QueueFiguresOptions) {
    this.#disk = disk;
    this.#clock = disk.clock;
    this.#index = options.index;
    this.#commands = options.commands;
    this.#counters = options.counters;
    this.#latencies = options.latencies;
  }

  /** So many requests were taken from the ring and started. */
  took(count: number): void {
    const counters = this.#counters;
    counters[COUNT_TAKEN]! += count;
    if (counters[COUNT_BUSY_SINCE_MS] !== 0) return;
    this.#clock.look();
    counters[COUNT_BUSY_SINCE_MS] = this.#clock.ms[0]!;
  }

  /** The command in `slot` is answered; `durable`: a write would be durable by now. */
  answered(slot: number, status: number, durable: boolean): void {
    const commands = this.#commands;
    const counters = this.#counters;
    const clock = this.#clock;
    const op = commands.op[slot]!;
    clock.look();
    recordLatency(this.#latencies, op, commands.startMs, slot, clock);
    if (status === VIRTIO_BLK_S_OK) {
      counters[COUNTER_OF_OP[op]!]!++;
      counters[BYTES_OF_OP[op]!]! += commands.lengthBytes[slot]!;
      if (durable && op === OP_WRITE) counters[COUNT_DURABLE_WRITES]!++;
    } else {
      counters[status === VIRTIO_BLK_S_UNSUPP ? COUNT_UNSUPPORTED : COUNT_ERRORS]!++;
      if (op === OP_NONE && status !== VIRTIO_BLK_S_UNSUPP) counters[COUNT_REFUSED]!++;
    }
    counters[COUNT_BOUNCED]! += commands.bounced[slot]!;
    const { trace } = this.#disk;
    if (trace !== null) trace.record(this.#index, slot, commands, status, clock);
    commands.stage[slot] = STAGE_NONE;
  }

  /** The command in `slot` ends without an answer: the in-flight region has it. */
  dropped(slot: number): void {
    this.#counters[COUNT_TAKEN]!--;
    this.#commands.stage[slot] = STAGE_NONE;
  }

  /** Answers are published; so many requests are in flight still. */
  published(inFlight: number): void {
    const counters = this.#counters;
    const sinceMs = counters[COUNT_BUSY_SINCE_MS]!;
    if (inFlight > 0 || sinceMs === 0) return;
    this.#clock.look();
    // The sum first: a reader in between counts some time twice for a moment, and never loses any.
    counters[COUNT_BUSY_MS]! += this.#clock.ms[0]! - sinceMs;
    counters[COUNT_BUSY_SINCE_MS] = 0;
  }

  /** The transfer module has failed a command, which is answered with an error. */
  transferFailed(): void {
    this.#counters[COUNT_TRANSFER_ERRORS]!++;
  }

  called(): void {
    this.#counters[COUNT_CALLS]!++;
  }

  violated(violation: number): void {
    this.#counters[COUNT_VIOLATIONS]!++;
    this.#disk.countViolation(violation);
  }
}
