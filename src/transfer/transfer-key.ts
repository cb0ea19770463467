/**
 * The key of a transfer module on its way: read from a file or a descriptor, kept in a sealed memfd of this process,
 * from where each worker reads it, and which a successor is handed (SIGUSR2). It is in JavaScript's memory for as
 * long as a module takes to take it in, and wiped there. It is never in argv, in a log, or in a message.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE } from '../../protocol/linux.ts';
import { KEY_BYTES_MAX, TransferError } from '../loop/transfer-module.ts';
import { addSeals, createMemfd } from '../sys/memfd.ts';

/** Of the standard streams none is closed. */
const FIRST_OWN_FD = 3;

/** Where a key comes from; neither: there is none. */
export interface KeySource {
  readonly keyFile: string | null;
  /** Read to its end, and closed. */
  readonly keyFd: number | null;
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** All there is to be read, up to one byte more than any key has. The buffer is the caller's to wipe. */
function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(KEY_BYTES_MAX + 1);
  let done = 0;
  try {
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, null);
      if (count === 0) break;
      done += count;
    }
  } catch (error) {
    bytes.fill(0);
    throw error;
  }
  return bytes.subarray(0, done);
}

/** Reads a key as it is, no byte added or left out. Throws TransferError. The bytes are the caller's to wipe. */
export function readKey({ keyFile, keyFd }: KeySource): Uint8Array {
  if (keyFile === null && keyFd === null) return new Uint8Array(0);
  const name = keyFile === null ? `--key-fd=${keyFd}` : `--key-file=${keyFile}`;
  try {
    const fd = keyFile === null ? keyFd! : openSync(keyFile, 'r');
    try {
      return readAll(fd);
    } finally {
      if (keyFile !== null || fd >= FIRST_OWN_FD) closeSync(fd);
    }
  } catch (error) {
    throw new TransferError(`${name}: cannot read the key (${reasonOf(error)})`, { cause: error });
  }
}

/** A memfd that holds the key and cannot be changed. Throws TransferError. */
export function keepKey(key: Uint8Array): number {
  const fd = createMemfd('vloop-key');
  if (fd < 0) throw new TransferError(`cannot keep the key in memory (${errnoName(fd)})`);
  writeSync(fd, key, 0, key.length, 0);
  const sealed = addSeals(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  if (sealed >= 0) return fd;
  closeSync(fd);
  throw new TransferError(`cannot seal the key's memory (${errnoName(sealed)})`);
}

/** What `keepKey` keeps. The bytes are the caller's to wipe. */
export function keptKey(fd: number): Uint8Array {
  const bytes = Buffer.alloc(KEY_BYTES_MAX + 1);
  const count = readSync(fd, bytes, 0, bytes.length, 0);
  return bytes.subarray(0, count);
}
