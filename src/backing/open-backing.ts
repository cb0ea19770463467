/**
 * Opens the file or block device that backs a disk: explicitly raw (its content is never probed),
 * locked against a second writer, direct or buffered by the loop driver's rule, with the reason.
 */

import { errnoName } from '../../protocol/errno.ts';
import { EACCES, EAGAIN, EINVAL, TMPFS_MAGIC } from '../../protocol/linux.ts';
import { type DirectIoDecision, decideDirectIo } from '../loop/direct-io.ts';
import { type DiskSettings, diskSizeBytes } from '../loop/geometry.ts';
import {
  closeFile,
  type FileFacts,
  fileKind,
  inspectFile,
  lockFile,
  openFile,
  openFilePath,
} from '../sys/block-file.ts';

export interface BackingOptions {
  readonly path: string;
  readonly readOnly: boolean;
  readonly settings: DiskSettings;
  /** Locked from here on; else the lock is taken while a vring runs (running-lock.ts). */
  readonly lock: boolean;
  /** See DirectIoFacts. */
  readonly bufferedTransfer: string | null;
  /** How long a lock that another process has is waited for. */
  readonly lockWaitMs?: number;
}

export interface OpenBacking {
  readonly path: string;
  readonly fd: number;
  /** At the opening. */
  readonly fileSizeBytes: number;
  readonly kind: 'regular' | 'block';
  readonly readOnly: boolean;
  /** See DirectIoFacts. */
  readonly bufferedTransfer: string | null;
  /** As asked for; what follows is what came of it. */
  readonly settings: DiskSettings;
  readonly direct: boolean;
  readonly directReason: string;
  readonly memoryAlignBytes: number;
  readonly offsetAlignBytes: number;
  /** The file is in memory (tmpfs). */
  readonly inMemory: boolean;
  /** See FileFacts. */
  readonly readsWithoutWaiting: boolean;
  /** The host's block: what the guest is told as its physical block and discard granularity. */
  readonly hostBlockBytes: number;
}

/** A backing file that cannot be used as asked. `code` is stable; the message says what to do. */
export class BackingError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'EUNKNOWN';
}

function openOrExplain(path: string, open: () => number, readOnly = false): number {
  try {
    return open();
  } catch (error) {
    if (error instanceof BackingError) throw error;
    const code = errorCode(error);
    const advice =
      code === 'ENOENT'
        ? `no such file (make one with: truncate -s 10G ${path})`
        : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
          ? `not allowed to open it for ${readOnly ? 'reading' : 'writing'} (--read-only serves it without writing)`
          : code === 'EISDIR'
            ? 'it is a directory, expected a regular file or a block device'
            : `cannot open it (${code})`;
    throw new BackingError(code, `backing file ${path}: ${advice}`, { cause: error });
  }
}

/**
 * A process that was killed holds its lock until the kernel has ended the last operation that it had under
 * way. Whoever takes the file over has to wait for that: it repeats those operations, and an old one that
 * came after would undo what was written since.
 */
const LOCK_WAIT_MS = 2000;
const LOCK_RETRY_MS = 5;

function lockInTime(fd: number, exclusive: boolean, limitMs: number): number {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; ; waitedMs += LOCK_RETRY_MS) {
    const result = lockFile(fd, exclusive);
    if ((result !== -EAGAIN && result !== -EACCES) || waitedMs >= limitMs) return result;
    Atomics.wait(sleeper, 0, 0, LOCK_RETRY_MS);
  }
}

/** Throws BackingError when another process has the lock, by the end of the time. */
export function lockBacking(
  fd: number,
  {
    path,
    readOnly,
    lockWaitMs = LOCK_WAIT_MS,
  }: Pick<BackingOptions, 'path' | 'readOnly' | 'lockWaitMs'>,
): void {
  const result = lockInTime(fd, !readOnly, lockWaitMs);
  if (result === -EAGAIN || result === -EACCES) {
    const who = readOnly
      ? 'another process is writing it'
      : 'another process has it open as a disk';
    throw new BackingError('EBUSY', `backing file ${path}: locked, ${who}`);
  }
  if (result < 0) {
    throw new BackingError(
      errnoName(result),
      `backing file ${path}: cannot lock it (${errnoName(result)})`,
    );
  }
}

function requireDiskKind({ kind }: Pick<FileFacts, 'kind'>, path: string): 'regular' | 'block' {
  if (kind === 'regular' || kind === 'block') return kind;
  throw new BackingError(
    'EINVAL',
    `backing file ${path}: it is a ${kind === 'directory' ? 'directory' : 'special file'}, expected a regular file or a block device`,
  );
}

/**
 * What open(O_DIRECT) says of a file: an fd, or -errno. The file is opened a second time rather than
 * switched with fcntl so that the answer is the file system's own.
 */
function tryDirect(path: string, readOnly: boolean): number {
  try {
    return openFile(path, { readOnly, direct: true });
  } catch (error) {
    if (errorCode(error) === 'EINVAL') return -EINVAL;
    throw error;
  }
}

/** What another setting would make of a file that is open. Throws BackingError when it cannot be looked at. */
export function decideAgain(
  { fd, path, readOnly, inMemory, bufferedTransfer }: OpenBacking,
  settings: DiskSettings,
): DirectIoDecision {
  const wanted = settings.directIo !== 'off' && !inMemory && bufferedTransfer === null;
  const probeFd = wanted ? openOrExplain(path, () => tryDirect(openFilePath(fd), readOnly)) : -1;
  if (probeFd >= 0) closeFile(probeFd);
  const openResult = wanted ? Math.min(probeFd, 0) : -EINVAL;
  const facts = inspectFile(fd, openFilePath(fd));
  return decide(facts, { settings, bufferedTransfer }, inMemory, openResult);
}

function decide(
  facts: FileFacts,
  { settings, bufferedTransfer }: Pick<BackingOptions, 'settings' | 'bufferedTransfer'>,
  inMemory: boolean,
  openResult: number,
): DirectIoDecision {
  const { directIo: requested, blockSizeBytes, offsetBytes } = settings;
  return decideDirectIo({
    requested,
    blockSizeBytes,
    offsetBytes,
    directMemoryAlignBytes: facts.directMemoryAlignBytes,
    directOffsetAlignBytes: facts.directOffsetAlignBytes,
    logicalSectorBytes: facts.logicalSectorBytes,
    inMemory,
    bufferedTransfer,
    openResult,
  });
}

/** Opens what can back a disk. Throws BackingError. */
export function openBackingFile(path: string, readOnly: boolean): number {
  return openOrExplain(
    path,
    () => {
      // Opening a pipe would wait for its other end.
      requireDiskKind({ kind: fileKind(path) }, path);
      return openFile(path, { readOnly, direct: false });
    },
    readOnly,
  );
}

/** Opens, locks and inspects. Throws BackingError; closes everything it opened when it does. */
export function openBacking(options: BackingOptions): OpenBacking {
  const { path, readOnly, settings } = options;
  let fd = openBackingFile(path, readOnly);
  try {
    const facts = inspectFile(fd, path);
    const kind = requireDiskKind(facts, path);
    // A block device's node lies in devtmpfs, which says nothing of where its bytes are.
    const inMemory = kind === 'regular' && facts.fileSystemMagic === TMPFS_MAGIC;
    const { bufferedTransfer } = options;
    const wanted = settings.directIo !== 'off' && !inMemory && bufferedTransfer === null;
    const directFd = wanted ? tryDirect(path, readOnly) : -EINVAL;
    const decision = decide(facts, options, inMemory, Math.min(directFd, 0));
    if (directFd >= 0) {
      closeFile(decision.direct ? fd : directFd);
      if (decision.direct) fd = directFd;
    }
    if (settings.directIo === 'on' && !decision.direct) {
      throw new BackingError('EINVAL', `--direct-io=on: ${path}: ${decision.reason}`);
    }
    if (options.lock) lockBacking(fd, options);
    requireBlock(path, facts.sizeBytes, settings);
    return {
      path,
      fd,
      kind,
      readOnly,
      bufferedTransfer,
      settings,
      fileSizeBytes: facts.sizeBytes,
      direct: decision.direct,
      directReason: decision.reason,
      memoryAlignBytes: decision.memoryAlignBytes,
      offsetAlignBytes: decision.offsetAlignBytes,
      inMemory,
      readsWithoutWaiting: facts.readsWithoutWaiting,
      hostBlockBytes: hostBlock(facts, settings.blockSizeBytes),
    };
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/** Throws BackingError when the disk would have no block. */
export function requireBlock(path: string, fileSizeBytes: number, settings: DiskSettings): void {
  if (diskSizeBytes({ fileSizeBytes, ...settings }) > 0) return;
  const { offsetBytes, sizeLimitBytes, blockSizeBytes } = settings;
  const part = [
    offsetBytes === 0 ? '' : ` from offset=${offsetBytes} on`,
    sizeLimitBytes === 0 ? '' : ` within size_limit=${sizeLimitBytes}`,
  ].join('');
  throw new BackingError(
    'EINVAL',
    `backing file ${path}: size=${fileSizeBytes} bytes, expected at least one block of ${blockSizeBytes}${part} (truncate -s 10G ${path})`,
  );
}

/** A power of two between the disk's own block and 64 KiB: some file systems report their stripe. */
function hostBlock(facts: FileFacts, blockSizeBytes: number): number {
  const host =
    facts.kind === 'block' ? (facts.logicalSectorBytes ?? 512) : facts.preferredBlockBytes;
  const powerOfTwo = 2 ** Math.floor(Math.log2(Math.max(1, host)));
  return Math.min(Math.max(powerOfTwo, blockSizeBytes), 65536);
}
