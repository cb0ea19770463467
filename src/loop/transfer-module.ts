/**
 * A transfer module: what stands between a disk's data and its backing file, as the loop driver's
 * `struct loop_func_table` (drivers/block/loop.h up to 5.15) was: `number, transfer, init, release, ioctl, owner`.
 * A user's own module is one file that exports a TransferModule as its default. Pure: types, and the check of what
 * a file has exported.
 */

/** The loop driver's MAX_LO_CRYPT: numbers lie below. 0 and 1 are none and xor, 18 is cryptoloop. */
export const TRANSFER_NUMBERS = 20;
/** Used by `aes-xts-plain64`, which the loop driver never had. */
export const TRANSFER_NUMBER_XTS = 19;
export const TRANSFER_NUMBER_CRYPTOLOOP = 18;

/** Data comes and goes in units: at most the largest block that a disk can have. */
const UNIT_BYTES_MAX = 4096;
/** What `--key-file` may have when a module does not say. */
export const KEY_BYTES_MAX = 4096;

export interface TransferTraits {
  /** `transfer` gets whole units, at offsets that are multiples of one: 512 (default), 1024, 2048 or 4096. */
  readonly unitBytes?: number;
  /**
   * What sector numbers count from: `file` (default), as the loop driver had it, also when the disk starts at an
   * offset in its file; `disk`, as dm-crypt has it.
   */
  readonly sectorsOf?: 'file' | 'disk';
  /** Direct I/O through bounce buffers may be used (default: no, as the loop driver). */
  readonly directIo?: boolean;
  /** Discards make holes, which read as `transfer` makes of zeroes (default: discard is not offered). */
  readonly discard?: boolean;
}

/** The disk as a module sees it: one for each worker of each disk (the kernel's struct loop_device). */
export interface TransferDevice<KeyData = unknown> {
  /** From --key-file or --key-fd. It is wiped when `init` returns: copy what is needed later. */
  readonly key: Uint8Array;
  /** From --transfer-options, by name. */
  readonly options: Readonly<Record<string, string>>;
  readonly blockSizeBytes: number;
  /** The module's own, for as long as it is attached. */
  keyData: KeyData | undefined;
  /** The host address of the first byte of the buffers that `transfer` gets views of. */
  readonly bufferAddress: number;
}

/** The direction of a transfer: `read` turns what the file has into what the guest sees; `write` the other way. */
export type TransferCommand = 'read' | 'write';

export interface TransferModule<KeyData = unknown> {
  /** 2 to 17 are free for users' modules. */
  readonly number: number;
  readonly name: string;
  /** Who answers for it: shown in what is refused and in logs. */
  readonly owner?: string;
  /** Lengths that a key may have; `null`: it takes none. By default any, also none. */
  readonly keyBytes?: readonly number[] | { readonly min: number; readonly max: number } | null;
  /**
   * Transforms `bytes` where they are. `sector` is the number of the first 512 bytes. Answers nothing or 0, or
   * -errno; whatever it throws fails the request with an I/O error. Is never called with a part of a unit, nor with
   * bytes that the file does not have. Must not keep `bytes`, and not wait.
   */
  transfer(
    device: TransferDevice<KeyData>,
    command: TransferCommand,
    bytes: Uint8Array,
    sector: number,
  ): number | undefined;
  /** Takes the key and the options in; throws an Error that says what is wrong with them. */
  init?(device: TransferDevice<KeyData>): TransferTraits | undefined;
  /** Forgets the key. */
  release?(device: TransferDevice<KeyData>): void;
  /** A question or a command of the user's; JSON in and out. */
  ioctl?(device: TransferDevice<KeyData>, command: string, argument: unknown): unknown;
}

/** A module, a key or an option that cannot be used. `code` is stable. */
export class TransferError extends Error {
  readonly code = 'VLOOP_TRANSFER';
}

/** For a user's file: `export default defineTransfer({ … })` has its types checked. */
export function defineTransfer<KeyData>(module: TransferModule<KeyData>): TransferModule<KeyData> {
  return module;
}

const FUNCTIONS = ['transfer', 'init', 'release', 'ioctl'] as const;

/** What `value` lacks to be a module, in words; null when it is one. */
export function moduleDefect(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) {
    return 'it has no default export that is an object, expected a TransferModule';
  }
  const { number, name, owner, keyBytes } = value as Partial<TransferModule>;
  if (!Number.isInteger(number) || number! < 0 || number! >= TRANSFER_NUMBERS) {
    return `number is ${String(number)}, expected an integer from 2 to 17`;
  }
  if (typeof name !== 'string' || !/^[\w.-]{1,64}$/.test(name)) {
    return `name is ${JSON.stringify(name)}, expected letters, digits, "-", "." or "_"`;
  }
  if (owner !== undefined && typeof owner !== 'string') return 'owner is not a text';
  for (const key of FUNCTIONS) {
    const given = (value as Partial<TransferModule>)[key];
    if (typeof given === 'function' || (given === undefined && key !== 'transfer')) continue;
    return `${key} is ${given === undefined ? 'not there' : `a ${typeof given}`}, expected a function`;
  }
  return keyBytes === undefined ? null : keyLengthsDefect(keyBytes);
}

function keyLengthsDefect(keyBytes: unknown): string | null {
  const isLength = (length: unknown) =>
    Number.isInteger(length) && Number(length) >= 0 && Number(length) <= KEY_BYTES_MAX;
  if (keyBytes === null) return null;
  if (Array.isArray(keyBytes) && keyBytes.length > 0 && keyBytes.every(isLength)) return null;
  const { min, max } = keyBytes as { min?: unknown; max?: unknown };
  if (isLength(min) && isLength(max) && Number(min) <= Number(max)) return null;
  return `keyBytes is ${JSON.stringify(keyBytes)}, expected lengths up to ${KEY_BYTES_MAX}, { min, max } or null`;
}

/** Traits with their defaults; throws TransferError when they make no sense. */
export function checkedTraits(
  { name }: TransferModule,
  traits: TransferTraits | undefined,
): Required<TransferTraits> {
  const refuse = (what: string): never => {
    throw new TransferError(`transfer module ${name}: init answered ${what}`);
  };
  if (traits !== undefined && (typeof traits !== 'object' || traits === null)) {
    return refuse(`a ${typeof traits}, expected traits or nothing`);
  }
  const { unitBytes = 512, sectorsOf = 'file', directIo = false, discard = false } = traits ?? {};
  if (![512, 1024, 2048, UNIT_BYTES_MAX].includes(unitBytes)) {
    return refuse(`unitBytes=${unitBytes}, expected 512, 1024, 2048 or ${UNIT_BYTES_MAX}`);
  }
  if (sectorsOf !== 'file' && sectorsOf !== 'disk') {
    return refuse(`sectorsOf=${String(sectorsOf)}, expected file or disk`);
  }
  if (typeof directIo !== 'boolean' || typeof discard !== 'boolean') {
    return refuse('directIo or discard that is neither true nor false');
  }
  return { unitBytes, sectorsOf, directIo, discard };
}

/** Why a key of this length is none for the module, or null. */
export function keyDefect({ name, keyBytes }: TransferModule, lengthBytes: number): string | null {
  if (keyBytes === undefined) return null;
  if (keyBytes === null) return lengthBytes === 0 ? null : `${name} takes no key, got one`;
  const fits = Array.isArray(keyBytes)
    ? keyBytes.includes(lengthBytes)
    : lengthBytes >= keyRange(keyBytes).min && lengthBytes <= keyRange(keyBytes).max;
  if (fits) return null;
  const expected = Array.isArray(keyBytes)
    ? keyBytes.join(' or ')
    : `${keyRange(keyBytes).min} to ${keyRange(keyBytes).max}`;
  if (lengthBytes === 0) {
    return `${name} needs a key of ${expected} bytes (--key-file=PATH or --key-fd=N)`;
  }
  const got = lengthBytes > KEY_BYTES_MAX ? `more than ${KEY_BYTES_MAX}` : lengthBytes;
  return `the key has ${got} bytes, ${name} expects ${expected}`;
}

function keyRange(keyBytes: NonNullable<TransferModule['keyBytes']>): { min: number; max: number } {
  return keyBytes as { min: number; max: number };
}
