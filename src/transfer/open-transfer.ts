/**
 * Finds the transfer module that a disk is to have, by its name or in a user's file, tries it with its key, and
 * attaches it in a worker. The main thread and every worker have a registry and an instance of their own.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AttachedTransfer } from '../loop/attached-transfer.ts';
import type { BounceBuffers } from '../loop/bounce-buffers.ts';
import {
  moduleDefect,
  TransferError,
  type TransferModule,
  type TransferTraits,
} from '../loop/transfer-module.ts';
import { TransferRegistry } from '../loop/transfer-registry.ts';
import { noneTransfer, xorTransfer } from '../loop/xor-transfer.ts';
import { aesXtsTransfer, cryptoloopTransfer } from './aes-transfers.ts';
import { type KeySource, keepKey, keptKey, readKey } from './transfer-key.ts';

/** What the user has asked for. */
export interface TransferRequest extends KeySource {
  /** A name, or the path of a file. */
  readonly module: string;
  readonly options: Readonly<Record<string, string>>;
}

/** What a worker needs to attach the same module. */
export interface TransferBirth {
  readonly module: string;
  readonly options: Readonly<Record<string, string>>;
  readonly blockSizeBytes: number;
  /** The memfd of the key. */
  readonly keyFd: number;
}

export interface PreparedTransfer {
  readonly name: string;
  readonly number: number;
  readonly owner: string | null;
  readonly traits: Required<TransferTraits>;
  readonly birth: TransferBirth;
}

const BUILT_IN = [noneTransfer, xorTransfer, cryptoloopTransfer, aesXtsTransfer] as const;

function newRegistry(): TransferRegistry {
  const registry = new TransferRegistry();
  for (const module of BUILT_IN) registry.register(module as TransferModule);
  return registry;
}

/** Whether `--transfer` names a file and not a module. */
function isFile(module: string): boolean {
  return module.includes('/') || /\.[cm]?[jt]s$/.test(module);
}

async function imported(path: string): Promise<unknown> {
  if (!existsSync(path)) throw new TransferError(`--transfer=${path}: no such file`);
  try {
    return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (error) {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const line = reason.split('\n').find((text) => text.trim() !== '') ?? reason;
    throw new TransferError(`--transfer=${path}: cannot load it: ${line}`, { cause: error });
  }
}

/** Finds a module, and registers it when it is a user's. Throws TransferError. */
async function findModule(registry: TransferRegistry, module: string): Promise<TransferModule> {
  if (!isFile(module)) {
    const found = registry.find(module);
    if (found !== undefined) return found;
    const names = registry.names.join(', ');
    throw new TransferError(
      `--transfer=${module}: expected ${names}, or a file (./my-transfer.ts)`,
    );
  }
  const loaded = await imported(module);
  const defect = moduleDefect(loaded);
  if (defect !== null)
    throw new TransferError(`--transfer=${module}: no transfer module: ${defect}`);
  const own = loaded as TransferModule;
  if (registry.register(own) < 0) {
    const { name, owner = 'vloop' } = registry.at(own.number)!;
    throw new TransferError(
      `--transfer=${module}: number ${own.number} is taken by ${name} (${owner}), expected one from 2 to 17`,
    );
  }
  return own;
}

/**
 * Loads and tries a module before anything is opened for it. `keptKeyFd`: the key that another process has handed
 * over, or -1. Null: the module is none. Throws TransferError.
 */
export async function prepareTransfer(
  request: TransferRequest,
  blockSizeBytes: number,
  keptKeyFd = -1,
): Promise<PreparedTransfer | null> {
  const registry = newRegistry();
  const module = isFile(request.module) ? resolve(request.module) : request.module;
  const { number, name, owner = null } = await findModule(registry, module);
  const key = keptKeyFd >= 0 ? keptKey(keptKeyFd) : readKey(request);
  try {
    const { options } = request;
    // What is tried wipes its key.
    const setup = { options, blockSizeBytes, bounce: null, onFailure: () => {} };
    const attached = registry.attach(number, { ...setup, key: Uint8Array.from(key) });
    const { traits } = attached;
    registry.detach(attached);
    if (number === noneTransfer.number) return null;
    const keyFd = keptKeyFd >= 0 ? keptKeyFd : keepKey(key);
    return { name, number, owner, traits, birth: { module, options, blockSizeBytes, keyFd } };
  } finally {
    key.fill(0);
  }
}

/** Makes a worker's data go through the module. Throws TransferError. */
export async function attachTransfer(
  { module, options, blockSizeBytes, keyFd }: TransferBirth,
  bounce: BounceBuffers,
  onFailure: (reason: string) => void,
): Promise<AttachedTransfer> {
  const registry = newRegistry();
  const { number } = await findModule(registry, module);
  const key = keptKey(keyFd);
  return registry.attach(number, { key, options, blockSizeBytes, bounce, onFailure });
}
