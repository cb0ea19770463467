/**
 * A transfer module at work on a device: the data of one operation in a bounce buffer, and their sector, go to the
 * module; what it throws or answers amiss becomes an I/O error (the kernel's lo_do_transfer). A module that errs
 * ends a request, never the worker.
 */
import { EIO } from '../../protocol/linux.ts';
import { type IoPlace, PLACE_OFFSET_BYTES } from './backing-port.ts';
import type { BounceBuffers } from './bounce-buffers.ts';
import type {
  TransferCommand,
  TransferDevice,
  TransferModule,
  TransferTraits,
} from './transfer-module.ts';

const SECTOR_BYTES = 512;
/** Errors are 1 to 4095 in the kernel (MAX_ERRNO). */
const ERRNO_MAX = 4095;
/** A reason is a line for people. */
const REASON_CHARACTERS_MAX = 200;

export class AttachedTransfer {
  readonly module: TransferModule;
  readonly unitBytes: number;
  readonly discard: boolean;
  readonly traits: Required<TransferTraits>;
  readonly #device: TransferDevice;
  readonly #bounce: BounceBuffers | null;
  readonly #ofDisk: boolean;
  readonly #onFailure: (reason: string) => void;
  #released = false;
  #told = false;

  constructor(
    module: TransferModule,
    device: TransferDevice,
    traits: Required<TransferTraits>,
    bounce: BounceBuffers | null,
    onFailure: (reason: string) => void,
  ) {
    this.module = module;
    this.#device = device;
    this.traits = traits;
    this.unitBytes = traits.unitBytes;
    this.discard = traits.discard;
    this.#ofDisk = traits.sectorsOf === 'disk';
    this.#bounce = bounce;
    this.#onFailure = onFailure;
  }

  /**
   * Transforms the first `lengthBytes` of a bounce buffer, whole units, whose place in the file is `place`'s offset;
   * the disk starts there at `fileOffsetBytes`. 0, or -errno.
   */
  run(
    command: TransferCommand,
    buffer: number,
    place: IoPlace,
    lengthBytes: number,
    fileOffsetBytes: number,
  ): number {
    if (this.#released || this.#bounce === null) return this.#failed('it has been released', -EIO);
    const at = place[PLACE_OFFSET_BYTES]! - (this.#ofDisk ? fileOffsetBytes : 0);
    // Block size and offset may be changed while the disk runs: a module must never see a part of a unit.
    if (at % this.unitBytes !== 0 || lengthBytes % this.unitBytes !== 0) {
      return this.#failed(`a request is no whole units of ${this.unitBytes} bytes`, -EIO);
    }
    const sector = at / SECTOR_BYTES;
    const bytes = this.#bounce.bytesOf(buffer, lengthBytes);
    try {
      const answer: unknown = this.module.transfer(this.#device, command, bytes, sector);
      if (answer === undefined || answer === 0) return 0;
      return this.#refused(answer);
    } catch (error) {
      return this.#failed(error instanceof Error ? error.message : String(error), -EIO);
    }
  }

  #refused(answer: unknown): number {
    const isErrno = typeof answer === 'number' && Number.isInteger(answer) && answer < 0;
    if (isErrno && answer >= -ERRNO_MAX) return this.#failed(`it answered ${answer}`, answer);
    const what = typeof answer === 'number' ? String(answer) : `a ${typeof answer}`;
    return this.#failed(`it answered ${what}, expected nothing, 0 or -errno`, -EIO);
  }

  #failed(reason: string, result: number): number {
    if (!this.#told) this.#onFailure(reason.split('\n')[0]!.slice(0, REASON_CHARACTERS_MAX));
    this.#told = true;
    return result;
  }

  /** Asks the module; throws what it throws. */
  ioctl(command: string, argument: unknown): unknown {
    if (this.#released || this.module.ioctl === undefined) return undefined;
    return this.module.ioctl(this.#device, command, argument);
  }

  /** Once; the module forgets the key. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    try {
      this.module.release?.(this.#device);
    } catch (error) {
      this.#failed(`release: ${error instanceof Error ? error.message : String(error)}`, -EIO);
    }
    this.#device.keyData = undefined;
  }
}
