/**
 * The transfer modules of a thread, by number, and the devices that use them: the loop driver's xfer_funcs with
 * loop_register_transfer and loop_unregister_transfer, and their rules. Pure; cold path.
 */
import { EINVAL } from '../../protocol/linux.ts';
import { AttachedTransfer } from './attached-transfer.ts';
import type { BounceBuffers } from './bounce-buffers.ts';
import {
  checkedTraits,
  keyDefect,
  moduleDefect,
  TRANSFER_NUMBERS,
  type TransferDevice,
  TransferError,
  type TransferModule,
} from './transfer-module.ts';

export interface TransferSetup {
  /** Wiped here, whatever comes of it. */
  readonly key: Uint8Array;
  readonly options: Readonly<Record<string, string>>;
  readonly blockSizeBytes: number;
  /** What data pass through; null: the module is only tried. */
  readonly bounce: BounceBuffers | null;
  /** A transfer has failed; told once. */
  readonly onFailure: (reason: string) => void;
}

export class TransferRegistry {
  readonly #modules = new Array<TransferModule | undefined>(TRANSFER_NUMBERS);
  readonly #attached = new Set<AttachedTransfer>();

  /** 0, or -EINVAL: the number is taken or none, or this is no module. */
  register(module: TransferModule): number {
    if (moduleDefect(module) !== null || this.#modules[module.number] !== undefined) return -EINVAL;
    this.#modules[module.number] = module;
    return 0;
  }

  /** Releases the module from every device that uses it. 0, or -EINVAL: nobody has it, or it is number 0. */
  unregister(number: number): number {
    const module = this.#modules[number];
    if (number === 0 || module === undefined) return -EINVAL;
    this.#modules[number] = undefined;
    for (const transfer of this.#attached) {
      if (transfer.module === module) this.detach(transfer);
    }
    return 0;
  }

  find(name: string): TransferModule | undefined {
    return this.#modules.find((module) => module?.name === name);
  }

  at(number: number): TransferModule | undefined {
    return this.#modules[number];
  }

  get names(): string[] {
    return this.#modules.flatMap((module) => (module === undefined ? [] : [module.name]));
  }

  /** Makes a device use a module. Throws TransferError; the module is released again then. */
  attach(number: number, setup: TransferSetup): AttachedTransfer {
    const { key, options, blockSizeBytes, bounce, onFailure } = setup;
    const module = this.#modules[number];
    if (module === undefined) throw new TransferError(`no transfer module has number ${number}`);
    const device: TransferDevice = {
      key,
      options,
      blockSizeBytes,
      keyData: undefined,
      bufferAddress: bounce?.address ?? 0,
    };
    try {
      const defect = keyDefect(module, key.length);
      if (defect !== null) throw new TransferError(defect);
      const traits = initialized(module, device);
      if (traits.unitBytes > blockSizeBytes) {
        throw new TransferError(
          `transfer module ${module.name}: its units are ${traits.unitBytes} bytes and the disk has ${blockSizeBytes}-byte blocks (see --block-size)`,
        );
      }
      const transfer = new AttachedTransfer(module, device, traits, bounce, onFailure);
      this.#attached.add(transfer);
      return transfer;
    } catch (error) {
      try {
        module.release?.(device);
      } catch {
        // What went wrong first is what is told.
      }
      throw error;
    } finally {
      key.fill(0);
    }
  }

  /** The device uses it no more (the kernel's loop_release_xfer): what still comes fails. */
  detach(transfer: AttachedTransfer): void {
    this.#attached.delete(transfer);
    transfer.release();
  }
}

function initialized(module: TransferModule, device: TransferDevice) {
  let traits: ReturnType<NonNullable<TransferModule['init']>>;
  try {
    traits = module.init?.(device);
  } catch (error) {
    if (error instanceof TransferError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TransferError(`transfer module ${module.name}: init failed: ${reason}`, {
      cause: error,
    });
  }
  return checkedTraits(module, traits);
}
