/**
 * What a loop command goes through between its start and its status: one or more operations on the
 * backing file, continued when short, bounced when direct I/O cannot take the guest's buffers, with
 * fallbacks where the file system lacks one. The kernel's loop_handle_cmd, lo_rw_aio and lo_fallocate.
 * Engine-independent: submits through the backing port, is told results, never waits.
 */
import {
  EAGAIN,
  EINTR,
  EINVAL,
  EIO,
  EOPNOTSUPP,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
} from '../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { type BlkRequest, OP_DISCARD, OP_FLUSH, OP_READ, OP_WRITE } from '../blk/blk-request.ts';
import { statusOfResult } from '../blk/blk-status.ts';
import { RANGES_MAX } from '../blk/disk-shape.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import {
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
} from './backing-port.ts';
import { BOUNCE_BYTES } from './bounce-buffers.ts';
import { IOVECS_PER_COMMAND, type LoopCommands } from './loop-commands.ts';
import {
  type LoopState,
  SHARED_FLUSH_ERRNO,
  SHARED_NO_PUNCH_HOLE,
  SHARED_NO_ZERO_RANGE,
  ZERO_BYTES,
} from './loop-state.ts';

// What a command in flight waits for.
const STAGE_TRANSFER = 1;
const STAGE_BOUNCE = 2;
const STAGE_FLUSH = 3;
const STAGE_RANGE = 4;
const STAGE_ZEROES = 5;

const MODE_PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const MODE_ZERO_RANGE = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

/** Times that an operation is repeated after -EAGAIN, -EINTR or no progress before it is an error. */
const RETRIES_MAX = 100;
/** The kernel's MAX_RW_COUNT: it transfers no more in one call. */
const TRANSFER_BYTES_MAX = 0x7ffff000;

export interface CommandSink {
  /** The command in `slot` is done; `usedBytes` were written to its writable part. */
  finish(slot: number, status: number, usedBytes: number): void;
  /** A bounce buffer is free for the command of `tag`. */
  resume(tag: number): void;
}

export class CommandSteps {
  readonly #state: LoopState;
  readonly #commands: LoopCommands;
  readonly #tagBase: number;
  readonly #sink: CommandSink;

  constructor(state: LoopState, commands: LoopCommands, tagBase: number, sink: CommandSink) {
    this.#state = state;
    this.#commands = commands;
    this.#tagBase = tagBase;
    this.#sink = sink;
  }

  /** Starts the command that `request` describes: reads, writes, flushes, discards, write-zeroes. */
  start(slot: number, request: BlkRequest, chain: DescriptorChain): void {
    const commands = this.#commands;
    commands.op[slot] = request.op;
    commands.retries[slot] = 0;
    commands.lengthBytes[slot] = request.lengthBytes;
    if (request.op === OP_READ || request.op === OP_WRITE) {
      this.#startTransfer(slot, request, chain);
    } else if (request.op === OP_FLUSH) {
      this.#startFlush(slot);
    } else {
      commands.rangeNext[slot] = 0;
      commands.rangeCount[slot] = request.rangeCount;
      for (let range = 0; range < request.rangeCount; range++) {
        const at = slot * RANGES_MAX + range;
        commands.rangeOffsetBytes[at] = request.rangeOffsetBytes[range]!;
        commands.rangeLengthBytes[at] = request.rangeLengthBytes[range]!;
        commands.rangeUnmap[at] = request.rangeUnmap[range]!;
      }
      this.#nextRange(slot);
    }
  }

  /** The result of the operation in flight for `slot`. */
  onResult(slot: number, result: number): void {
    const commands = this.#commands;
    const stage = commands.stage[slot]!;
    if (stage === STAGE_FLUSH) {
      this.#onFlush(slot, result);
      return;
    }
    // A result that stands for "nothing happened yet": the same operation again.
    if (result === -EAGAIN || result === -EINTR) {
      this.#retry(slot, result);
      return;
    }
    if (stage === STAGE_TRANSFER) this.#onTransfer(slot, result);
    else if (stage === STAGE_BOUNCE) this.#onBounce(slot, result);
    else if (stage === STAGE_RANGE) this.#onRange(slot, result);
    else this.#onZeroes(slot, result);
  }

  /** A bounce buffer may be there now for a command that waited for one. */
  resumeBounce(slot: number): void {
    const buffer = this.#state.bounce.acquire(this.#tagBase + slot);
    this.#commands.bounce[slot] = buffer;
    if (buffer >= 0) this.#submitBounce(slot);
  }

  #retry(slot: number, result: number): void {
    const commands = this.#commands;
    if (++commands.retries[slot]! > RETRIES_MAX) {
      this.#fail(slot, result);
      return;
    }
    const stage = commands.stage[slot]!;
    if (stage === STAGE_TRANSFER) this.#submitTransfer(slot);
    else if (stage === STAGE_BOUNCE) this.#submitBounce(slot);
    else if (stage === STAGE_RANGE) this.#nextRange(slot);
    else this.#submitZeroes(slot);
  }

  #finish(slot: number, status: number, usedBytes: number): void {
    const buffer = this.#commands.bounce[slot]!;
    if (buffer >= 0) {
      this.#commands.bounce[slot] = -1;
      const waiting = this.#state.bounce.release(buffer);
      if (waiting >= 0) this.#sink.resume(waiting);
    }
    this.#sink.finish(slot, status, usedBytes);
  }

  #fail(slot: number, result: number): void {
    const commands = this.#commands;
    this.#state.events.onIoError(commands.op[slot]!, -result, commands.offsetBytes[slot]!);
    this.#finish(slot, statusOfResult(result), 1);
  }

  // ── reads and writes ─────────────────────────────────────────────────────────────────────────

  /** Turns the chain's data segments into iovecs; neighbours in host memory become one. */
  #startTransfer(slot: number, request: BlkRequest, chain: DescriptorChain): void {
    const commands = this.#commands;
    const { direct, memoryAlignBytes, offsetAlignBytes } = this.#state;
    let count = 0;
    let base = 0;
    let length = 0;
    let aligned = true;
    for (let segment = request.firstSegment; segment < request.endSegment; segment++) {
      const segmentLength = chain.lengthBytes[segment]!;
      if (segmentLength === 0) continue;
      const address = chain.hostAddress[segment]!;
      if (count > 0 && address === base + length) {
        length += segmentLength;
      } else {
        if (count === IOVECS_PER_COMMAND) {
          this.#finish(slot, VIRTIO_BLK_S_IOERR, 1);
          return;
        }
        if (count > 0) commands.setIovec(slot, count - 1, base, length);
        count++;
        base = address;
        length = segmentLength;
      }
      if (direct && (address % memoryAlignBytes !== 0 || segmentLength % offsetAlignBytes !== 0)) {
        aligned = false;
      }
    }
    commands.setIovec(slot, count - 1, base, length);
    commands.iovecFirst[slot] = 0;
    commands.iovecEnd[slot] = count;
    commands.offsetBytes[slot] = request.offsetBytes;
    commands.remainingBytes[slot] = request.lengthBytes;
    if (aligned) this.#submitTransfer(slot);
    else this.resumeBounce(slot);
  }

  #submitTransfer(slot: number): void {
    const commands = this.#commands;
    const state = this.#state;
    const first = commands.iovecFirst[slot]!;
    const count = commands.iovecEnd[slot]! - first;
    const isRead = commands.op[slot] === OP_READ;
    const flags = !isRead && state.writeThrough ? IO_FLAG_DSYNC : 0;
    const offset = state.fileOffsetBytes + commands.offsetBytes[slot]!;
    const tag = this.#tagBase + slot;
    commands.stage[slot] = STAGE_TRANSFER;
    if (count === 1) {
      const length = Math.min(commands.iovecLength(slot, first), TRANSFER_BYTES_MAX);
      const address = commands.iovecBase(slot, first);
      state.backing.submit(isRead ? IO_READ : IO_WRITE, tag, offset, address, length, flags);
    } else {
      const pointer = commands.iovecPointer(slot, first);
      state.backing.submit(isRead ? IO_READV : IO_WRITEV, tag, offset, pointer, count, flags);
    }
  }

  #onTransfer(slot: number, result: number): void {
    const commands = this.#commands;
    if (result < 0) {
      this.#fail(slot, result);
      return;
    }
    const isRead = commands.op[slot] === OP_READ;
    if (result < commands.remainingBytes[slot]!) {
      const whole = result - (result % this.#state.offsetAlignBytes);
      if (isRead && (result === 0 || whole !== result)) {
        // The file ends here, though the disk does not: what is not there reads as zeroes.
        commands.advance(slot, result);
        this.#zeroRemaining(slot);
      } else if (whole === 0) {
        this.#retry(slot, -EIO);
        return;
      } else {
        commands.advance(slot, whole);
        this.#submitTransfer(slot);
        return;
      }
    }
    this.#finish(slot, VIRTIO_BLK_S_OK, isRead ? commands.lengthBytes[slot]! + 1 : 1);
  }

  #zeroRemaining(slot: number): void {
    const commands = this.#commands;
    for (let i = commands.iovecFirst[slot]!; i < commands.iovecEnd[slot]!; i++) {
      this.#state.hostMemory.zero(commands.iovecBase(slot, i), commands.iovecLength(slot, i));
    }
  }

  // ── bounced reads and writes ─────────────────────────────────────────────────────────────────

  #submitBounce(slot: number): void {
    const commands = this.#commands;
    const state = this.#state;
    const isRead = commands.op[slot] === OP_READ;
    const length = Math.min(commands.remainingBytes[slot]!, BOUNCE_BYTES);
    const address = state.bounce.addressOf(commands.bounce[slot]!);
    commands.bounceBytes[slot] = length;
    commands.stage[slot] = STAGE_BOUNCE;
    if (!isRead) this.#copyBounced(slot, address, length, false);
    const flags = !isRead && state.writeThrough ? IO_FLAG_DSYNC : 0;
    const offset = state.fileOffsetBytes + commands.offsetBytes[slot]!;
    const operation = isRead ? IO_READ : IO_WRITE;
    state.backing.submit(operation, this.#tagBase + slot, offset, address, length, flags);
  }

  #onBounce(slot: number, result: number): void {
    const commands = this.#commands;
    if (result < 0) {
      this.#fail(slot, result);
      return;
    }
    const isRead = commands.op[slot] === OP_READ;
    const address = this.#state.bounce.addressOf(commands.bounce[slot]!);
    let done = Math.min(result, commands.bounceBytes[slot]!);
    if (isRead) {
      if (done === 0 || done % this.#state.offsetAlignBytes !== 0) {
        const missing = commands.bounceBytes[slot]! - done;
        this.#state.hostMemory.zero(address + done, missing);
        done += missing;
      }
      this.#copyBounced(slot, address, done, true);
    } else {
      done -= done % this.#state.offsetAlignBytes;
      if (done === 0) {
        this.#retry(slot, -EIO);
        return;
      }
    }
    commands.advance(slot, done);
    if (commands.remainingBytes[slot]! > 0) this.#submitBounce(slot);
    else this.#finish(slot, VIRTIO_BLK_S_OK, isRead ? commands.lengthBytes[slot]! + 1 : 1);
  }

  /** Moves the next `length` bytes between the guest's buffers and the bounce buffer. */
  #copyBounced(slot: number, bounceAddress: number, length: number, toGuest: boolean): void {
    const commands = this.#commands;
    let done = 0;
    for (let i = commands.iovecFirst[slot]!; done < length; i++) {
      const guest = commands.iovecBase(slot, i);
      const piece = Math.min(commands.iovecLength(slot, i), length - done);
      if (toGuest) this.#state.hostMemory.copy(guest, bounceAddress + done, piece);
      else this.#state.hostMemory.copy(bounceAddress + done, guest, piece);
      done += piece;
    }
  }

  // ── flush ────────────────────────────────────────────────────────────────────────────────────

  /**
   * After a failed fdatasync the page cache calls lost pages clean, so a later success would be a lie:
   * every later flush fails too. Direct I/O keeps no pages to lose.
   */
  #startFlush(slot: number): void {
    const { shared, direct } = this.#state;
    if (!direct && Atomics.load(shared, SHARED_FLUSH_ERRNO) !== 0) {
      this.#finish(slot, VIRTIO_BLK_S_IOERR, 1);
      return;
    }
    this.#submitFlush(slot);
  }

  #submitFlush(slot: number): void {
    this.#commands.stage[slot] = STAGE_FLUSH;
    this.#commands.offsetBytes[slot] = 0;
    this.#state.backing.submit(IO_FDATASYNC, this.#tagBase + slot, 0, 0, 0, 0);
  }

  /** Any failure counts, -EINTR too: what was not synced cannot be told from what was. */
  #onFlush(slot: number, result: number): void {
    if (result < 0) {
      const { shared, direct } = this.#state;
      if (!direct) Atomics.compareExchange(shared, SHARED_FLUSH_ERRNO, 0, -result);
      this.#state.events.onIoError(this.#commands.op[slot]!, -result, 0);
      this.#finish(slot, VIRTIO_BLK_S_IOERR, 1);
    } else {
      this.#finish(slot, VIRTIO_BLK_S_OK, 1);
    }
  }

  // ── discard and write zeroes ─────────────────────────────────────────────────────────────────

  /** Does the next range that is left, or ends the command. */
  #nextRange(slot: number): void {
    const commands = this.#commands;
    const { shared, backing, fileOffsetBytes } = this.#state;
    for (; commands.rangeNext[slot]! < commands.rangeCount[slot]!; commands.rangeNext[slot]!++) {
      const at = slot * RANGES_MAX + commands.rangeNext[slot]!;
      const length = commands.rangeLengthBytes[at]!;
      if (length === 0) continue;
      const discard = commands.op[slot] === OP_DISCARD;
      const canPunch = Atomics.load(shared, SHARED_NO_PUNCH_HOLE) === 0;
      // A discard is a hint: where no hole can be made, nothing has to be done (§5.2.6.2).
      if (discard && !canPunch) continue;
      commands.offsetBytes[slot] = commands.rangeOffsetBytes[at]!;
      const punch = canPunch && (discard || commands.rangeUnmap[at] !== 0);
      if (!punch && Atomics.load(shared, SHARED_NO_ZERO_RANGE) !== 0) {
        this.#startZeroes(slot, length);
        return;
      }
      commands.stage[slot] = STAGE_RANGE;
      commands.rangeUnmap[at] = punch ? 1 : 0;
      const mode = punch ? MODE_PUNCH_HOLE : MODE_ZERO_RANGE;
      const offset = fileOffsetBytes + commands.offsetBytes[slot]!;
      backing.submit(IO_FALLOCATE, this.#tagBase + slot, offset, 0, length, mode);
      return;
    }
    if (this.#state.writeThrough) this.#submitFlush(slot);
    else this.#finish(slot, VIRTIO_BLK_S_OK, 1);
  }

  #onRange(slot: number, result: number): void {
    const commands = this.#commands;
    const at = slot * RANGES_MAX + commands.rangeNext[slot]!;
    const punched = commands.rangeUnmap[at] !== 0;
    if (result === -EOPNOTSUPP) {
      // Found out once: this range again, by the next best means.
      const word = punched ? SHARED_NO_PUNCH_HOLE : SHARED_NO_ZERO_RANGE;
      Atomics.store(this.#state.shared, word, 1);
      this.#nextRange(slot);
    } else if (result === -EINVAL && commands.op[slot] !== OP_DISCARD) {
      // A range that the file system finds misaligned is written instead.
      this.#startZeroes(slot, commands.rangeLengthBytes[at]!);
    } else if (result < 0 && result !== -EINVAL) {
      this.#fail(slot, result);
    } else {
      commands.rangeNext[slot]!++;
      this.#nextRange(slot);
    }
  }

  #startZeroes(slot: number, lengthBytes: number): void {
    this.#commands.remainingBytes[slot] = lengthBytes;
    this.#submitZeroes(slot);
  }

  #submitZeroes(slot: number): void {
    const commands = this.#commands;
    const { backing, fileOffsetBytes, zeroAddress } = this.#state;
    const length = Math.min(commands.remainingBytes[slot]!, ZERO_BYTES);
    const offset = fileOffsetBytes + commands.offsetBytes[slot]!;
    commands.stage[slot] = STAGE_ZEROES;
    backing.submit(IO_WRITE, this.#tagBase + slot, offset, zeroAddress, length, 0);
  }

  #onZeroes(slot: number, result: number): void {
    const commands = this.#commands;
    if (result < 0) {
      this.#fail(slot, result);
      return;
    }
    const done = result - (result % this.#state.offsetAlignBytes);
    if (done === 0) {
      this.#retry(slot, -EIO);
      return;
    }
    commands.offsetBytes[slot]! += done;
    commands.remainingBytes[slot]! -= done;
    if (commands.remainingBytes[slot]! > 0) {
      this.#submitZeroes(slot);
    } else {
      commands.rangeNext[slot]!++;
      this.#nextRange(slot);
    }
  }
}
