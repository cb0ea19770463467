/**
 * What the steps of a vring's loop commands share: the worker's state, the command slots, and how a
 * command ends, fails or is tried again.
 */
import { EIO } from '../../protocol/linux.ts';
import { OP_WRITE } from '../blk/blk-request.ts';
import { statusOfResult } from '../blk/blk-status.ts';
import { ioPlace, PLACE_OFFSET_BYTES } from './backing-port.ts';
import { STAGE_FLUSH } from './command-board.ts';
import type { LoopCommands } from './loop-commands.ts';
import { type LoopState, SHARED_FLUSH_ERRNO } from './loop-state.ts';
import type { TransferCommand } from './transfer-module.ts';

/** Times that an operation is repeated after -EAGAIN, -EINTR or no progress before it is an error. */
const RETRIES_MAX = 100;

export interface CommandSink {
  /** The command in `slot` is done; `usedBytes` were written to its writable part. */
  finish(slot: number, status: number, usedBytes: number): void;
  /** A part of the data of the command in `slot` has been transferred. */
  transferred(slot: number, doneBytes: number): void;
  /** The transfer module has failed a command. */
  transferFailed(): void;
  /** A bounce buffer is free for the command of `tag`. */
  resume(tag: number): void;
}

export class CommandContext {
  readonly state: LoopState;
  readonly commands: LoopCommands;
  /** Added to a slot, this makes the tag under which the backing file answers. */
  readonly tagBase: number;
  /** The place of the operation that is being submitted. */
  readonly place = ioPlace(0, 0);
  readonly #sink: CommandSink;

  constructor(state: LoopState, commands: LoopCommands, tagBase: number, sink: CommandSink) {
    this.state = state;
    this.commands = commands;
    this.tagBase = tagBase;
    this.#sink = sink;
  }

  finish(slot: number, status: number, usedBytes: number): void {
    if (this.commands.bounce[slot]! >= 0) this.releaseBounce(slot);
    this.#sink.finish(slot, status, usedBytes);
  }

  /**
   * Gives the command's bounce buffer to the next that waits for one. A command that was waiting itself
   * is told that one is there, and passes it on.
   */
  releaseBounce(slot: number): void {
    const { commands, state } = this;
    if (commands.bounced[slot] === 0) return;
    const held = commands.bounce[slot]!;
    const buffer = held >= 0 ? held : state.bounce.acquire(this.tagBase + slot);
    commands.bounce[slot] = -1;
    const waiting = state.bounce.release(buffer);
    if (waiting >= 0) this.#sink.resume(waiting);
  }

  /** The next `doneBytes` of a command's data are done, and more is to come. */
  advance(slot: number, doneBytes: number): void {
    this.#sink.transferred(slot, doneBytes);
    this.commands.advance(slot, doneBytes);
  }

  /** Ends a command with the status for -errno. */
  fail(slot: number, result: number): void {
    this.noteLoss(slot, result);
    this.reportFailure(slot, result, this.commands.offsetBytes[slot]!);
    this.finish(slot, statusOfResult(result), 1);
  }

  /** The backing file has failed an operation of the command. */
  reportFailure(slot: number, result: number, offsetBytes: number): void {
    const op = this.commands.op[slot]!;
    this.state.figures.countFailure(op, -result);
    this.state.events.onIoError(op, -result, offsetBytes);
  }

  /**
   * Has the first `lengthBytes` of the command's bounce buffer transformed where they are. False: the module could
   * not, and the command has failed. Nothing of the file is lost then, whatever the errno.
   */
  transform(command: TransferCommand, slot: number, lengthBytes: number): boolean {
    const { commands, state, place } = this;
    const { fileOffsetBytes } = state;
    place[PLACE_OFFSET_BYTES] = fileOffsetBytes + commands.offsetBytes[slot]!;
    const buffer = commands.bounce[slot]!;
    const result = state.transfer!.run(command, buffer, place, lengthBytes, fileOffsetBytes);
    if (result === 0) return true;
    this.#sink.transferFailed();
    this.finish(slot, statusOfResult(result), 1);
    return false;
  }

  /** What of a result can be gone on from: whole units of the transfer module; written ones aligned as well. */
  wholeUnits(resultBytes: number, isRead: boolean): number {
    const { transfer, offsetAlignBytes } = this.state;
    const unit = transfer!.unitBytes;
    return resultBytes - (resultBytes % (isRead ? unit : Math.max(unit, offsetAlignBytes)));
  }

  /**
   * Whether the page cache has lost something: a sync failed, and since then it calls the lost pages
   * clean, so that a later success would be a lie. Direct I/O keeps no pages to lose.
   */
  get pagesAreLost(): boolean {
    const { direct, shared } = this.state;
    return !direct && Atomics.load(shared, SHARED_FLUSH_ERRNO) !== 0;
  }

  /** Remembers a failure that says that pages are lost, of which no later flush will hear. */
  noteLoss(slot: number, result: number): void {
    const { direct, shared, writeThrough } = this.state;
    const { stage, op } = this.commands;
    // A durable write syncs as well.
    const isLoss =
      stage[slot] === STAGE_FLUSH || (result === -EIO && writeThrough && op[slot] === OP_WRITE);
    if (isLoss && !direct) Atomics.compareExchange(shared, SHARED_FLUSH_ERRNO, 0, -result);
  }

  /** Whether an operation may be repeated; when not, the command has failed with `result`. */
  mayRetry(slot: number, result: number): boolean {
    if (++this.commands.retries[slot]! <= RETRIES_MAX) return true;
    this.fail(slot, result);
    return false;
  }
}
