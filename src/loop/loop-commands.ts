/**
 * The loop commands of one vring: a slot per head, in typed arrays that exist before the first request
 * (blk-mq's tags; the kernel's struct loop_cmd). A slot is the head of its descriptor chain, so the
 * number in flight is the ring's size and no free list is needed.
 */
import { iovec } from '../../protocol/linux.ts';
import type { BlkRequest } from '../blk/blk-request.ts';
import { RANGES_MAX } from '../blk/disk-shape.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import { CommandBoard } from './command-board.ts';
import type { HostMemory } from './host-memory.ts';
import type { TurnClock } from './turn-clock.ts';

/** The kernel takes no more iovecs in one call (UIO_MAXIOV). */
export const IOVECS_PER_COMMAND = 1024;

const IOVEC_WORDS = iovec.sizeBytes / 4;
const TWO_TO_32 = 2 ** 32;

/** A vring's number and a head make a tag; heads stay below the largest ring. */
export const TAG_SLOT_BITS = 15;
export const TAG_SLOT_MASK = (1 << TAG_SLOT_BITS) - 1;

export class LoopCommands extends CommandBoard {
  /** Where the status byte goes. */
  readonly statusSlot: Uint16Array;
  readonly statusOffset: Float64Array;
  /** Where what is still to do begins. */
  readonly offsetBytes: Float64Array;
  readonly iovecFirst: Uint16Array;
  readonly iovecEnd: Uint16Array;
  /** Of the bounce buffer, what the operation in flight covers. */
  readonly bounceBytes: Float64Array;
  /** 1 once the command has used a bounce buffer. */
  readonly bounced: Uint8Array;
  readonly rangeNext: Uint8Array;
  readonly rangeCount: Uint8Array;
  readonly rangeOffsetBytes: Float64Array;
  readonly rangeLengthBytes: Float64Array;
  readonly rangeUnmap: Uint8Array;

  readonly #hostMemory: HostMemory;
  readonly #iovecAddress: number;
  readonly #iovecBytes: number;
  readonly #iovecs: Uint32Array;

  constructor(size: number, hostMemory: HostMemory) {
    super(size);
    this.statusSlot = new Uint16Array(size);
    this.statusOffset = new Float64Array(size);
    this.offsetBytes = new Float64Array(size);
    this.iovecFirst = new Uint16Array(size);
    this.iovecEnd = new Uint16Array(size);
    this.bounce.fill(-1);
    this.bounceBytes = new Float64Array(size);
    this.bounced = new Uint8Array(size);
    this.rangeNext = new Uint8Array(size);
    this.rangeCount = new Uint8Array(size);
    this.rangeOffsetBytes = new Float64Array(size * RANGES_MAX);
    this.rangeLengthBytes = new Float64Array(size * RANGES_MAX);
    this.rangeUnmap = new Uint8Array(size * RANGES_MAX);
    this.#hostMemory = hostMemory;
    // Untouched pages of this cost nothing: a guest that sends one segment a request uses one iovec.
    this.#iovecBytes = size * IOVECS_PER_COMMAND * iovec.sizeBytes;
    const { address, buffer } = hostMemory.allocate(this.#iovecBytes);
    this.#iovecAddress = address;
    this.#iovecs = new Uint32Array(buffer, 0, this.#iovecBytes / 4);
  }

  /** Gives the iovec memory back; nothing may be in flight. */
  release(): void {
    this.#hostMemory.release(this.#iovecAddress, this.#iovecBytes);
  }

  /** The command in `slot` is what `request` says from now on, and begins at the time of the turn. */
  begin(slot: number, request: BlkRequest, clock: TurnClock): void {
    clock.look();
    this.startMs[slot] = clock.ms[0]!;
    this.op[slot] = request.op;
    this.retries[slot] = 0;
    this.bounce[slot] = -1;
    this.bounced[slot] = 0;
    this.statusSlot[slot] = request.statusSlot;
    this.statusOffset[slot] = request.statusOffset;
    this.lengthBytes[slot] = request.lengthBytes;
  }

  /**
   * Makes segments [first, end) of a chain the iovecs of a command; neighbours in host memory become one.
   * False: there are too many. In one function, so that no address is an argument, which may be boxed.
   */
  takeSegments(slot: number, chain: DescriptorChain, first: number, end: number): boolean {
    const { hostAddress, lengthBytes } = chain;
    const iovecs = this.#iovecs;
    const start = slot * IOVECS_PER_COMMAND * IOVEC_WORDS;
    const limit = start + IOVECS_PER_COMMAND * IOVEC_WORDS;
    let at = start;
    let length = 0;
    let neighbour = -1;
    for (let segment = first; segment < end; segment++) {
      const segmentLength = lengthBytes[segment]!;
      if (segmentLength === 0) continue;
      const address = hostAddress[segment]!;
      if (address === neighbour) {
        length += segmentLength;
      } else {
        if (at === limit) return false;
        at += IOVEC_WORDS;
        length = segmentLength;
        iovecs[at - IOVEC_WORDS] = address;
        iovecs[at - IOVEC_WORDS + 1] = address / TWO_TO_32;
      }
      iovecs[at - IOVEC_WORDS + 2] = length;
      iovecs[at - IOVEC_WORDS + 3] = length / TWO_TO_32;
      neighbour = address + segmentLength;
    }
    this.iovecFirst[slot] = 0;
    this.iovecEnd[slot] = (at - start) / IOVEC_WORDS;
    return true;
  }

  setIovec(slot: number, index: number, address: number, lengthBytes: number): void {
    const at = (slot * IOVECS_PER_COMMAND + index) * IOVEC_WORDS;
    // A store to a Uint32Array takes a number modulo 2^32, without its fraction (ToUint32).
    this.#iovecs[at] = address;
    this.#iovecs[at + 1] = address / TWO_TO_32;
    this.#iovecs[at + 2] = lengthBytes;
    this.#iovecs[at + 3] = lengthBytes / TWO_TO_32;
  }

  iovecBase(slot: number, index: number): number {
    const at = (slot * IOVECS_PER_COMMAND + index) * IOVEC_WORDS;
    return this.#iovecs[at + 1]! * TWO_TO_32 + this.#iovecs[at]!;
  }

  iovecLength(slot: number, index: number): number {
    const at = (slot * IOVECS_PER_COMMAND + index) * IOVEC_WORDS;
    return this.#iovecs[at + 3]! * TWO_TO_32 + this.#iovecs[at + 2]!;
  }

  /** The host address of an iovec itself, for readv and writev. */
  iovecPointer(slot: number, index: number): number {
    return this.#iovecAddress + (slot * IOVECS_PER_COMMAND + index) * iovec.sizeBytes;
  }

  /** Moves the start of what remains by `doneBytes`: whole iovecs are passed, a partial one shrinks. */
  advance(slot: number, doneBytes: number): void {
    this.offsetBytes[slot]! += doneBytes;
    this.remainingBytes[slot]! -= doneBytes;
    let index = this.iovecFirst[slot]!;
    const end = this.iovecEnd[slot]!;
    for (let left = doneBytes; left > 0 && index < end; ) {
      const length = this.iovecLength(slot, index);
      if (left < length) {
        this.setIovec(slot, index, this.iovecBase(slot, index) + left, length - left);
        break;
      }
      left -= length;
      index++;
    }
    this.iovecFirst[slot] = index;
  }
}
