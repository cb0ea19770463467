/**
 * What a loop command goes through between its start and its status: one or more operations on the
 * backing file, by kind and stage (the kernel's loop_handle_cmd and do_req_filebacked). Flushes are
 * here; transfers and ranges have files of their own. Never waits.
 */
import { EAGAIN, EINTR } from '../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import {
  type BlkRequest,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../blk/blk-request.ts';
import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import { IO_FDATASYNC, NO_PLACE } from './backing-port.ts';
import { STAGE_BOUNCE, STAGE_FLUSH, STAGE_RANGE, STAGE_TRANSFER } from './command-board.ts';
import { CommandContext, type CommandSink } from './command-context.ts';
import type { LoopCommands } from './loop-commands.ts';
import type { LoopState } from './loop-state.ts';
import { RangeSteps } from './range-steps.ts';
import { TransferSteps } from './transfer-steps.ts';

export class CommandSteps {
  readonly #context: CommandContext;
  readonly #transfers: TransferSteps;
  readonly #ranges: RangeSteps;

  constructor(state: LoopState, commands: LoopCommands, tagBase: number, sink: CommandSink) {
    this.#context = new CommandContext(state, commands, tagBase, sink);
    this.#transfers = new TransferSteps(this.#context);
    this.#ranges = new RangeSteps(this.#context, (slot) => this.#submitFlush(slot));
  }

  /** Starts the command that `request` describes: reads, writes, flushes, discards, write-zeroes. */
  start(slot: number, request: BlkRequest, chain: DescriptorChain): void {
    if (request.op === OP_READ || request.op === OP_WRITE) {
      this.#transfers.start(slot, request, chain);
    } else if (request.op === OP_FLUSH) {
      this.#startFlush(slot);
    } else {
      this.#ranges.start(slot, request);
    }
  }

  /** The result of the operation in flight for `slot`. */
  onResult(slot: number, result: number): void {
    const stage = this.#context.commands.stage[slot]!;
    if (stage === STAGE_FLUSH) this.#onFlush(slot, result);
    else if (result === -EAGAIN || result === -EINTR) this.#again(slot, stage, result);
    else if (stage === STAGE_TRANSFER) this.#transfers.onTransfer(slot, result);
    else if (stage === STAGE_BOUNCE) this.#transfers.onBounce(slot, result);
    else if (stage === STAGE_RANGE) this.#ranges.onRange(slot, result);
    else this.#ranges.onZeroes(slot, result);
  }

  /** The command ends without an answer; what it holds is given back. `result` is its last. */
  drop(slot: number, result: number): void {
    // A sync is told once of lost pages: the next one must not take its silence for success.
    if (result < 0) this.#context.noteLoss(slot, result);
    this.#context.releaseBounce(slot);
  }

  /** A bounce buffer may be there now for a command that waited for one. */
  resumeBounce(slot: number): void {
    const { op } = this.#context.commands;
    if (op[slot] === OP_WRITE_ZEROES) this.#ranges.resumeZeroes(slot);
    else this.#transfers.resumeBounce(slot);
  }

  /** Nothing has happened yet: the same operation once more. */
  #again(slot: number, stage: number, result: number): void {
    if (!this.#context.mayRetry(slot, result)) return;
    if (stage === STAGE_TRANSFER) this.#transfers.submitTransfer(slot);
    else if (stage === STAGE_BOUNCE) this.#transfers.submitBounce(slot);
    else if (stage === STAGE_RANGE) this.#ranges.next(slot);
    else this.#ranges.submitZeroes(slot);
  }

  /** After a failed data sync every later flush fails, too. */
  #startFlush(slot: number): void {
    this.#context.commands.firstBytes[slot] = 0;
    if (this.#context.pagesAreLost) this.#context.finish(slot, VIRTIO_BLK_S_IOERR, 1);
    else this.#submitFlush(slot);
  }

  #submitFlush(slot: number): void {
    const { commands, state, tagBase } = this.#context;
    commands.stage[slot] = STAGE_FLUSH;
    commands.offsetBytes[slot] = 0;
    state.backing.submit(IO_FDATASYNC, tagBase + slot, NO_PLACE, 0, 0);
  }

  /**
   * Any failure counts, -EINTR too: what was not synced cannot be told from what was. The kernel reports
   * lost pages to one sync of several under way: a success beside a failure is none.
   */
  #onFlush(slot: number, result: number): void {
    const context = this.#context;
    if (result < 0) {
      context.noteLoss(slot, result);
      context.reportFailure(slot, result, 0);
    }
    const failed = result < 0 || context.pagesAreLost;
    context.finish(slot, failed ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK, 1);
  }
}
