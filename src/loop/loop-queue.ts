/**
 * One running vring of the loop device: chains in, loop commands out, statuses and used elements back
 * (the kernel's loop_queue_rq and lo_complete_rq). Single-threaded: one worker owns it.
 */
import {
  VIRTIO_BLK_ID_BYTES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
} from '../../protocol/virtio-blk.ts';
import { BlkRequest, OP_GET_ID, OP_NONE, OP_READ } from '../blk/blk-request.ts';
import type { AddressTable } from '../memory/guest-memory.ts';
import { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import { CHAIN_MISS } from '../virtqueue/ring-violation.ts';
import type { Vring } from '../virtqueue/vring.ts';
import { CommandSteps } from './command-steps.ts';
import { type LoopCommands, TAG_SLOT_BITS } from './loop-commands.ts';
import type { LoopState } from './loop-state.ts';
import { QueueFigures } from './queue-figures.ts';
import type { QueueLog } from './queue-log.ts';
import { SERVE_BYTES_MAX, ServeBatch } from './serve-batch.ts';

export interface LoopQueueOptions {
  readonly index: number;
  readonly vring: Vring;
  readonly memory: AddressTable;
  /** Where chains are walked into; one of its own unless addresses go through an IOTLB. */
  readonly chain?: DescriptorChain;
  readonly commands: LoopCommands;
  /** COUNTERS_PER_VRING and LATENCIES_PER_VRING numbers of this vring. */
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
  readonly enabled: boolean;
  /** Call eventfd, or -1: the front-end polls the used ring. */
  readonly callFd: number;
  /** Hands a freed bounce buffer to a command of any vring. */
  readonly resume: (tag: number) => void;
}

export class LoopQueue {
  readonly index: number;
  readonly vring: Vring;
  readonly commands: LoopCommands;
  /** A disabled vring is running but not popped (SET_VRING_ENABLE). */
  enabled: boolean;
  /** Set by GET_VRING_BASE: nothing new is popped while what is in flight ends. */
  stopping = false;
  /** Results are dropped: what they answer stays recorded in the in-flight region. */
  #suspended = false;
  /** Commands whose last result was dropped. */
  #dropped = 0;
  /** Set while the front-end is asked for translations of the next chain. */
  waiting = false;
  callFd: number;
  /** Null unless a migration wants to know what is written. */
  log: QueueLog | null = null;

  readonly #state: LoopState;
  readonly #memory: AddressTable;
  readonly #figures: QueueFigures;
  readonly #chain: DescriptorChain;
  readonly #request = new BlkRequest();
  readonly #steps: CommandSteps;
  readonly #batch = new ServeBatch();
  /** Requests answered since the last batch was taken: the driver may not have replaced them yet. */
  #answered = 0;
  readonly #resume: (tag: number) => void;

  constructor(state: LoopState, options: LoopQueueOptions) {
    this.index = options.index;
    this.vring = options.vring;
    this.commands = options.commands;
    this.enabled = options.enabled;
    this.callFd = options.callFd;
    this.#state = state;
    this.#memory = options.memory;
    this.#figures = new QueueFigures(state.figures, options);
    this.#resume = options.resume;
    this.#chain = options.chain ?? new DescriptorChain(options.vring.size);
    this.#steps = new CommandSteps(state, this.commands, this.index << TAG_SLOT_BITS, this);
  }

  get #canPop(): boolean {
    return this.enabled && !this.stopping && !this.waiting;
  }

  /** Whether no operation is under way that could touch guest memory. */
  get quiet(): boolean {
    return this.vring.inFlightCount === this.#dropped;
  }

  /**
   * Starts what an earlier process or an earlier start of the ring had taken and not answered, whether
   * the ring is enabled or not: it was when they were taken. How many there were.
   */
  takeUp(): number {
    let count = 0;
    let popped = this.vring.popRecorded(this.#chain);
    for (; popped > 0; popped = this.vring.popRecorded(this.#chain)) {
      if (!this.#startDecoded()) break;
      count++;
    }
    if (count > 0) this.#figures.took(count);
    if (popped < 0) this.#violated(popped);
    return count;
  }

  /**
   * Stops at once, without answering what is in flight: a result that comes in is dropped, and no further
   * operation follows it. The engine cannot take back what it has; whoever stops the ring waits until it
   * is `quiet`.
   */
  suspend(): void {
    this.publish();
    this.stopping = true;
    this.#suspended = true;
  }

  /** Whether there is something to serve right now. */
  hasWork(): boolean {
    return this.#canPop && this.vring.availableCount() !== 0;
  }

  /** Asks for kicks again. True: a chain is there already. */
  armKicks(): boolean {
    const work = this.#canPop && this.vring.armKicks();
    if (this.log !== null) this.log.wroteRing();
    return work;
  }

  suppressKicks(): void {
    this.vring.suppressKicks();
    if (this.log !== null) this.log.wroteRing();
  }

  /** Starts a batch of requests. True: there may be more. */
  serve(): boolean {
    if (!this.#canPop) return false;
    const available = this.vring.availableCount();
    if (available === 0) return false;
    const limit = this.#batch.limit(this.vring.inFlightCount + available + this.#answered);
    this.#answered = 0;
    let taken = 0;
    let takenBytes = 0;
    while (taken < limit && takenBytes < SERVE_BYTES_MAX) {
      const popped = this.vring.pop(this.#chain);
      if (popped < 0) this.#violated(popped);
      if (popped <= 0 || !this.#startDecoded()) break;
      taken++;
      takenBytes += this.#request.lengthBytes;
    }
    if (taken > 0) this.#figures.took(taken);
    return taken === limit || takenBytes >= SERVE_BYTES_MAX;
  }

  /** Starts the request of the chain that was popped. False: it is none, and the ring is broken. */
  #startDecoded(): boolean {
    const failure = this.#request.decode(this.#chain, this.#memory, this.#state.limits);
    if (failure < 0) {
      this.vring.refuse(this.#chain.head, failure);
      this.#violated(failure);
      return false;
    }
    this.#start(this.#chain.head);
    return true;
  }

  /** Also when it is none: a chain that lacks translations is taken when they are there. */
  #violated(violation: number): void {
    if (violation === CHAIN_MISS) {
      this.waiting = true;
      this.#state.events.onMiss(this.index, this.#chain);
      return;
    }
    this.#figures.violated(violation);
    this.#state.events.onViolation(this.index, violation);
  }

  /** Publishes what has completed and calls the driver if it wants that. */
  publish(): void {
    const wantsCall = this.log === null ? this.vring.publish() : this.log.publish(this.vring);
    this.#figures.published(this.vring.inFlightCount - this.#dropped);
    if (wantsCall && this.callFd >= 0) {
      this.#figures.called();
      this.#state.events.call(this.callFd);
    }
  }

  onResult(slot: number, result: number): void {
    if (this.#suspended) this.#drop(slot, result);
    else this.#steps.onResult(slot, result);
  }

  resumeBounce(slot: number): void {
    if (this.#suspended) this.#drop(slot, 0);
    else this.#steps.resumeBounce(slot);
  }

  #drop(slot: number, result: number): void {
    // What is not answered was written all the same.
    if (this.log !== null) this.#logData(this.log, slot, this.commands.remainingBytes[slot]!);
    this.#dropped++;
    this.#figures.dropped(slot);
    this.#steps.drop(slot, result);
  }

  resume(tag: number): void {
    this.#resume(tag);
  }

  /** A part of a command's data is there; the rest of it is still to come. */
  transferred(slot: number, doneBytes: number): void {
    if (this.log !== null) this.#logData(this.log, slot, doneBytes);
  }

  transferFailed(): void {
    this.#figures.transferFailed();
  }

  finish(slot: number, status: number, usedBytes: number): void {
    const commands = this.commands;
    // The status byte before the used element, both before the index that `publish` releases.
    const bytes = this.#memory.bytesOfSlot[commands.statusSlot[slot]!]!;
    bytes[commands.statusOffset[slot]!] = status;
    if (this.log !== null) this.#logAnswer(this.log, slot);
    this.vring.push(slot, usedBytes);
    this.#answered++;
    this.#figures.answered(slot, status, this.#state.writeThrough);
  }

  /** All buffers of a read that were not logged yet, whatever came of it: a failed one may have filled some. */
  #logAnswer(log: QueueLog, slot: number): void {
    const commands = this.commands;
    this.#logData(log, slot, commands.remainingBytes[slot]!);
    const status = this.#memory.hostOfSlot[commands.statusSlot[slot]!]!;
    log.wrote(status + commands.statusOffset[slot]!, 1);
    log.pushed();
  }

  /** The next `doneBytes` of a read's buffers. */
  #logData(log: QueueLog, slot: number, doneBytes: number): void {
    const commands = this.commands;
    if (commands.op[slot] !== OP_READ) return;
    const end = commands.iovecEnd[slot]!;
    let left = doneBytes;
    for (let i = commands.iovecFirst[slot]!; i < end && left > 0; i++) {
      const length = Math.min(left, commands.iovecLength(slot, i));
      log.wrote(commands.iovecBase(slot, i), length);
      left -= length;
    }
  }

  #start(slot: number): void {
    const request = this.#request;
    this.commands.begin(slot, request, this.#state.figures.clock);
    if (request.op === OP_NONE) this.finish(slot, request.status, 1);
    else if (request.op === OP_GET_ID) this.#getId(slot);
    else this.#steps.start(slot, request, this.#chain);
  }

  /** §5.2.6.2: the serial, NUL padded; shorter buffers get its beginning. */
  #getId(slot: number): void {
    const chain = this.#chain;
    let done = 0;
    for (let s = this.#request.firstSegment; s < this.#request.endSegment; s++) {
      const piece = Math.min(chain.lengthBytes[s]!, VIRTIO_BLK_ID_BYTES - done);
      if (piece > 0) {
        const from = this.#state.serialAddress + done;
        this.#state.hostMemory.copy(chain.hostAddress[s]!, from, piece);
        if (this.log !== null) this.log.wrote(chain.hostAddress[s]!, piece);
      }
      done += piece;
    }
    this.finish(slot, done > 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, done + 1);
  }
}
