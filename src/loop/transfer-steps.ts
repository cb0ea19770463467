/**
 * Reads and writes of loop commands: what a chain's segments name is transferred, short transfers go on where they stopped,
 * the end of the file reads as zeroes, and buffers that direct I/O cannot take are bounced in pieces.
 * The kernel's lo_rw_aio. Engine-independent; never waits.
 */
import { EIO } from '../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { type BlkRequest, OP_READ } from '../blk/blk-request.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import {
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
} from './backing-port.ts';
import { BOUNCE_BYTES } from './bounce-buffers.ts';
import { STAGE_BOUNCE, STAGE_TRANSFER } from './command-board.ts';
import type { CommandContext } from './command-context.ts';

/** The kernel's MAX_RW_COUNT: it transfers no more in one call. */
const TRANSFER_BYTES_MAX = 0x7ffff000;

export class TransferSteps {
  readonly #context: CommandContext;

  constructor(context: CommandContext) {
    this.#context = context;
  }

  start(slot: number, request: BlkRequest, chain: DescriptorChain): void {
    const commands = this.#context.commands;
    commands.firstBytes[slot] = request.offsetBytes;
    this.#context.state.figures.map.countTransfer(request);
    if (!commands.takeSegments(slot, chain, request.firstSegment, request.endSegment)) {
      commands.remainingBytes[slot] = 0;
      this.#context.finish(slot, VIRTIO_BLK_S_IOERR, 1);
      return;
    }
    commands.offsetBytes[slot] = request.offsetBytes;
    commands.remainingBytes[slot] = request.lengthBytes;
    const { direct, transfer } = this.#context.state;
    if (transfer === null && (!direct || this.#isAligned(request, chain))) {
      this.submitTransfer(slot);
    } else this.resumeBounce(slot);
  }

  /** Whether direct I/O takes the guest's buffers as they are. */
  #isAligned(request: BlkRequest, chain: DescriptorChain): boolean {
    const { memoryAlignBytes, offsetAlignBytes } = this.#context.state;
    for (let segment = request.firstSegment; segment < request.endSegment; segment++) {
      const length = chain.lengthBytes[segment]!;
      if (length === 0) continue;
      if (length % offsetAlignBytes !== 0) return false;
      if (chain.hostAddress[segment]! % memoryAlignBytes !== 0) return false;
    }
    return true;
  }

  submitTransfer(slot: number): void {
    const commands = this.#context.commands;
    const state = this.#context.state;
    const first = commands.iovecFirst[slot]!;
    const count = commands.iovecEnd[slot]! - first;
    const isRead = commands.op[slot] === OP_READ;
    const flags = !isRead && state.writeThrough ? IO_FLAG_DSYNC : 0;
    const { place, tagBase } = this.#context;
    commands.stage[slot] = STAGE_TRANSFER;
    place[PLACE_OFFSET_BYTES] = state.fileOffsetBytes + commands.offsetBytes[slot]!;
    if (count === 1) {
      const length = Math.min(commands.iovecLength(slot, first), TRANSFER_BYTES_MAX);
      place[PLACE_ADDRESS] = commands.iovecBase(slot, first);
      state.backing.submit(isRead ? IO_READ : IO_WRITE, tagBase + slot, place, length, flags);
    } else {
      place[PLACE_ADDRESS] = commands.iovecPointer(slot, first);
      state.backing.submit(isRead ? IO_READV : IO_WRITEV, tagBase + slot, place, count, flags);
    }
  }

  onTransfer(slot: number, result: number): void {
    const commands = this.#context.commands;
    if (result < 0) {
      this.#context.fail(slot, result);
      return;
    }
    const isRead = commands.op[slot] === OP_READ;
    if (result < commands.remainingBytes[slot]!) {
      const whole = result - (result % this.#context.state.offsetAlignBytes);
      if (isRead && (result === 0 || whole !== result)) {
        // The file ends here, though the disk does not: what is not there reads as zeroes.
        this.#context.advance(slot, result);
        this.#zeroRemaining(slot);
      } else if (whole === 0) {
        if (this.#context.mayRetry(slot, -EIO)) this.submitTransfer(slot);
        return;
      } else {
        this.#context.advance(slot, whole);
        this.submitTransfer(slot);
        return;
      }
    }
    this.#context.finish(slot, VIRTIO_BLK_S_OK, isRead ? commands.lengthBytes[slot]! + 1 : 1);
  }

  #zeroRemaining(slot: number): void {
    const commands = this.#context.commands;
    for (let i = commands.iovecFirst[slot]!; i < commands.iovecEnd[slot]!; i++) {
      this.#context.state.hostMemory.zero(
        commands.iovecBase(slot, i),
        commands.iovecLength(slot, i),
      );
    }
  }

  /** Takes a bounce buffer, or waits for one: then this is called again. */
  resumeBounce(slot: number): void {
    const { commands, state, tagBase } = this.#context;
    const buffer = state.bounce.acquire(tagBase + slot);
    commands.bounce[slot] = buffer;
    commands.bounced[slot] = 1;
    commands.stage[slot] = STAGE_BOUNCE;
    if (buffer >= 0) this.submitBounce(slot);
  }

  submitBounce(slot: number): void {
    const commands = this.#context.commands;
    const state = this.#context.state;
    const isRead = commands.op[slot] === OP_READ;
    const length = Math.min(commands.remainingBytes[slot]!, BOUNCE_BYTES);
    const address = state.bounce.addressOf(commands.bounce[slot]!);
    commands.bounceBytes[slot] = length;
    const flags = !isRead && state.writeThrough ? IO_FLAG_DSYNC : 0;
    const { place, tagBase } = this.#context;
    place[PLACE_OFFSET_BYTES] = state.fileOffsetBytes + commands.offsetBytes[slot]!;
    place[PLACE_ADDRESS] = address;
    if (!isRead) {
      // Also when an operation is repeated: what is in the buffer has been transformed already.
      this.#copyBounced(slot, address, length, false);
      if (state.transfer !== null && !this.#context.transform('write', slot, length)) return;
    }
    state.backing.submit(isRead ? IO_READ : IO_WRITE, tagBase + slot, place, length, flags);
  }

  onBounce(slot: number, result: number): void {
    const commands = this.#context.commands;
    if (result < 0) {
      this.#context.fail(slot, result);
      return;
    }
    if (this.#context.state.transfer !== null) {
      this.#onTransformed(slot, Math.min(result, commands.bounceBytes[slot]!));
      return;
    }
    const isRead = commands.op[slot] === OP_READ;
    const address = this.#context.state.bounce.addressOf(commands.bounce[slot]!);
    let done = Math.min(result, commands.bounceBytes[slot]!);
    if (isRead) {
      if (done === 0 || done % this.#context.state.offsetAlignBytes !== 0) {
        const missing = commands.bounceBytes[slot]! - done;
        this.#context.state.hostMemory.zero(address + done, missing);
        done += missing;
      }
      this.#copyBounced(slot, address, done, true);
    } else {
      done -= done % this.#context.state.offsetAlignBytes;
      if (done === 0) {
        if (this.#context.mayRetry(slot, -EIO)) this.submitBounce(slot);
        return;
      }
    }
    this.#bounced(slot, done);
  }

  /** `done` bytes of the operation are where they belong. */
  #bounced(slot: number, done: number): void {
    const commands = this.#context.commands;
    const isRead = commands.op[slot] === OP_READ;
    this.#context.advance(slot, done);
    if (commands.remainingBytes[slot]! > 0) this.submitBounce(slot);
    else this.#context.finish(slot, VIRTIO_BLK_S_OK, isRead ? commands.lengthBytes[slot]! + 1 : 1);
  }

  /**
   * The same with a transfer module, which takes whole units: a part of one is transferred again. A unit of which
   * the file has a part only cannot be read; where the file has ended, zeroes are what the guest sees.
   */
  #onTransformed(slot: number, transferred: number): void {
    const { commands, state } = this.#context;
    const isRead = commands.op[slot] === OP_READ;
    const address = state.bounce.addressOf(commands.bounce[slot]!);
    const whole = this.#context.wholeUnits(transferred, isRead);
    let done = whole;
    if (isRead && transferred === whole && (whole === 0 || whole % state.offsetAlignBytes !== 0)) {
      done = commands.bounceBytes[slot]!;
      state.hostMemory.zero(address + whole, done - whole);
    }
    if (done === 0) {
      if (this.#context.mayRetry(slot, -EIO)) this.submitBounce(slot);
      return;
    }
    if (isRead) {
      if (whole > 0 && !this.#context.transform('read', slot, whole)) return;
      this.#copyBounced(slot, address, done, true);
    }
    this.#bounced(slot, done);
  }

  /** Moves the next `length` bytes between the guest's buffers and the bounce buffer. */
  #copyBounced(slot: number, bounceAddress: number, length: number, toGuest: boolean): void {
    const commands = this.#context.commands;
    let done = 0;
    for (let i = commands.iovecFirst[slot]!; done < length; i++) {
      const guest = commands.iovecBase(slot, i);
      const piece = Math.min(commands.iovecLength(slot, i), length - done);
      if (toGuest) this.#context.state.hostMemory.copy(guest, bounceAddress + done, piece);
      else this.#context.state.hostMemory.copy(bounceAddress + done, guest, piece);
      done += piece;
    }
  }
}
