/**
 * Discards and write-zeroes of loop commands: range after range by fallocate, with a fallback where
 * the file system lacks a mode, written zeroes at the last; with a transfer module zeroes are always written, as it makes them.
 * The kernel's lo_fallocate.
 * Engine-independent; never waits.
 */
import {
  EINVAL,
  EIO,
  EOPNOTSUPP,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
} from '../../protocol/linux.ts';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { type BlkRequest, OP_DISCARD } from '../blk/blk-request.ts';
import { RANGES_MAX } from '../blk/disk-shape.ts';
import { IO_FALLOCATE, IO_WRITE, PLACE_ADDRESS, PLACE_OFFSET_BYTES } from './backing-port.ts';
import { STAGE_RANGE, STAGE_ZEROES } from './command-board.ts';
import type { CommandContext } from './command-context.ts';
import { SHARED_NO_PUNCH_HOLE, SHARED_NO_ZERO_RANGE, ZERO_BYTES } from './loop-state.ts';

const MODE_PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const MODE_ZERO_RANGE = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

export class RangeSteps {
  readonly #context: CommandContext;
  /** Makes a command durable before it completes: the last step in write-through mode. */
  readonly #flush: (slot: number) => void;

  constructor(context: CommandContext, flush: (slot: number) => void) {
    this.#context = context;
    this.#flush = flush;
  }

  start(slot: number, request: BlkRequest): void {
    const { commands } = this.#context;
    this.#context.state.figures.map.countRanges(request);
    commands.firstBytes[slot] = request.rangeOffsetBytes[0]!;
    commands.rangeNext[slot] = 0;
    commands.rangeCount[slot] = request.rangeCount;
    for (let range = 0; range < request.rangeCount; range++) {
      const at = slot * RANGES_MAX + range;
      commands.rangeOffsetBytes[at] = request.rangeOffsetBytes[range]!;
      commands.rangeLengthBytes[at] = request.rangeLengthBytes[range]!;
      commands.lengthBytes[slot]! += request.rangeLengthBytes[range]!;
      commands.rangeUnmap[at] = request.rangeUnmap[range]!;
    }
    this.next(slot);
  }

  /** Does the next range that is left, or ends the command. */
  next(slot: number): void {
    const commands = this.#context.commands;
    const { shared, backing, fileOffsetBytes, transfer } = this.#context.state;
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
      if (transfer !== null && !discard) {
        // A hole is not what the module makes of zeroes.
        commands.remainingBytes[slot] = length;
        this.resumeZeroes(slot);
        return;
      }
      if (!punch && Atomics.load(shared, SHARED_NO_ZERO_RANGE) !== 0) {
        this.#startZeroes(slot, length);
        return;
      }
      commands.stage[slot] = STAGE_RANGE;
      commands.rangeUnmap[at] = punch ? 1 : 0;
      const mode = punch ? MODE_PUNCH_HOLE : MODE_ZERO_RANGE;
      const { place, tagBase } = this.#context;
      place[PLACE_OFFSET_BYTES] = fileOffsetBytes + commands.offsetBytes[slot]!;
      place[PLACE_ADDRESS] = 0;
      backing.submit(IO_FALLOCATE, tagBase + slot, place, length, mode);
      return;
    }
    if (this.#context.state.writeThrough) this.#flush(slot);
    else this.#context.finish(slot, VIRTIO_BLK_S_OK, 1);
  }

  onRange(slot: number, result: number): void {
    const commands = this.#context.commands;
    const at = slot * RANGES_MAX + commands.rangeNext[slot]!;
    const punched = commands.rangeUnmap[at] !== 0;
    if (result === -EOPNOTSUPP) {
      // Found out once: this range again, by the next best means.
      const word = punched ? SHARED_NO_PUNCH_HOLE : SHARED_NO_ZERO_RANGE;
      Atomics.store(this.#context.state.shared, word, 1);
      this.next(slot);
    } else if (result === -EINVAL && commands.op[slot] !== OP_DISCARD) {
      // A range that the file system finds misaligned is written instead.
      this.#startZeroes(slot, commands.rangeLengthBytes[at]!);
    } else if (result < 0 && result !== -EINVAL) {
      this.#context.fail(slot, result);
    } else {
      commands.rangeNext[slot]!++;
      this.next(slot);
    }
  }

  #startZeroes(slot: number, lengthBytes: number): void {
    this.#context.commands.remainingBytes[slot] = lengthBytes;
    this.submitZeroes(slot);
  }

  /** Takes a bounce buffer for transformed zeroes, or waits for one: then this is called again. */
  resumeZeroes(slot: number): void {
    const { commands, state, tagBase } = this.#context;
    if (commands.bounce[slot]! < 0) {
      commands.bounce[slot] = state.bounce.acquire(tagBase + slot);
      commands.bounced[slot] = 1;
    }
    if (commands.bounce[slot]! >= 0) this.submitZeroes(slot);
  }

  submitZeroes(slot: number): void {
    const { commands, place, tagBase } = this.#context;
    const { backing, fileOffsetBytes, zeroAddress, transfer } = this.#context.state;
    const length = Math.min(commands.remainingBytes[slot]!, ZERO_BYTES);
    let address = zeroAddress;
    if (transfer !== null) {
      address = this.#context.state.bounce.addressOf(commands.bounce[slot]!);
      this.#context.state.hostMemory.zero(address, length);
      if (!this.#context.transform('write', slot, length)) return;
    }
    place[PLACE_OFFSET_BYTES] = fileOffsetBytes + commands.offsetBytes[slot]!;
    place[PLACE_ADDRESS] = address;
    commands.stage[slot] = STAGE_ZEROES;
    backing.submit(IO_WRITE, tagBase + slot, place, length, 0);
  }

  onZeroes(slot: number, result: number): void {
    const commands = this.#context.commands;
    if (result < 0) {
      this.#context.fail(slot, result);
      return;
    }
    const { transfer, offsetAlignBytes } = this.#context.state;
    const done =
      transfer === null
        ? result - (result % offsetAlignBytes)
        : this.#context.wholeUnits(result, false);
    if (done === 0) {
      if (this.#context.mayRetry(slot, -EIO)) this.submitZeroes(slot);
      return;
    }
    commands.offsetBytes[slot]! += done;
    commands.remainingBytes[slot]! -= done;
    if (commands.remainingBytes[slot]! > 0) {
      this.submitZeroes(slot);
    } else {
      commands.rangeNext[slot]!++;
      this.next(slot);
    }
  }
}
