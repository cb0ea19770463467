/**
 * Opens a disk as the options ask for it: the backing file, the shape that the guest sees, the workers.
 */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { chooseEngine, choosePath, type EngineChoice } from '../backing/choose-engine.ts';
import { imageNotes } from '../backing/image-notes.ts';
import { BackingError, type OpenBacking, openBacking } from '../backing/open-backing.ts';
import type { LockEvents, RunningLock } from '../backing/running-lock.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { type DiskSettings, diskSizeBytes } from '../loop/geometry.ts';
import { probeAio } from '../sys/aio.ts';
import { openFilePath } from '../sys/block-file.ts';
import { probeRing } from '../sys/io-uring.ts';
import { adviseHugePages, mapAnonymous } from '../sys/mmap.ts';
import type { PreparedTransfer } from '../transfer/open-transfer.ts';
import { LoopDisk } from '../worker/loop-disk.ts';
import { LoopWorkers, type WorkerEvents, type WorkerSettings } from '../worker/loop-workers.ts';
import { leaseOf } from './disk-lease.ts';
import type { DiskOptions } from './options.ts';
import { Turn } from './turn.ts';

export interface DiskEvents extends Omit<WorkerEvents, 'onMiss'>, LockEvents {
  /** The front-end could truncate memory that it has shared. */
  onShrinkable(): void;
}

export interface OpenDisk {
  readonly name: string;
  /** Null: the disk is in memory. Another one when settings or the file have changed; its fd is always the same. */
  backing: OpenBacking | null;
  choice: EngineChoice;
  /** Null: the file is locked from start to end. */
  readonly lease: RunningLock | null;
  /** End it when its front-end has gone: at the start. */
  readonly autoclear: boolean;
  /** What changes the disk: one at a time. */
  readonly turn: Turn;
  readonly disk: LoopDisk;
  readonly workers: LoopWorkers;
  /** What data go through on their way; null: they stay as they are. */
  readonly transfer: PreparedTransfer | null;
  /** What a person should know of the image. */
  readonly notes: readonly string[];
  readonly options: DiskOptions;
}

/** A file that another process has opened, and what the guest knows of the disk. */
export interface AdoptedFile {
  readonly backing: OpenBacking;
  readonly shape: DiskShape;
  /** The transfer module, with the memfd of its key. */
  readonly transfer: { readonly name: string; readonly keyFd: number } | null;
}

/** The same file gets the same serial wherever it is served from. */
function defaultSerial(path: string | null): string {
  const name = path === null ? 'memory' : realpathSync(path);
  return `vloop-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
}

/** Why io_uring cannot be used here, in words, or null. */
function uringRefusal(): string | null {
  const errno = probeRing();
  if (errno >= 0) return null;
  const name = errnoName(errno);
  return name === 'EPERM' || name === 'ENOSYS' || name === 'EACCES'
    ? `io_uring is forbidden here (${name}: seccomp, as container runtimes do, or kernel.io_uring_disabled)`
    : `io_uring cannot be set up (${name})`;
}

/** The same of Linux AIO. */
function aioRefusal(): string | null {
  const errno = probeAio();
  return errno >= 0 ? null : `Linux AIO is not to be had either (${errnoName(errno)})`;
}

/** What the command line asks for. */
function settingsOf(options: DiskOptions): DiskSettings {
  const { offsetBytes, sizeLimitBytes, blockSizeBytes, directIo } = options;
  return { offsetBytes, sizeLimitBytes, blockSizeBytes, directIo };
}

/** The path that another use of the file takes; the engine stays. Or why that cannot be. */
export function chooseAgain(
  { choice }: Pick<OpenDisk, 'choice'>,
  { direct, inMemory, readsWithoutWaiting }: OpenBacking,
): EngineChoice | string {
  const { engine, engineReason } = choice;
  if (engine === 'native' && !direct) {
    return 'the engine is Linux AIO (--aio=native), which is asynchronous for direct I/O only: this would be buffered';
  }
  const pathAsked = choice.pathReason.startsWith('asked for');
  const path = choosePath({
    requestedPath: !pathAsked ? 'auto' : choice.path === 'engine' ? 'engine' : 'calls',
    engine,
    direct,
    inMemory,
    readsWithoutWaiting,
  });
  return { engine, engineReason, ...path };
}

/** What the guest is told as its physical block: at least its logical one. */
export function physicalBlockBytes(hostBlockBytes: number, blockSizeBytes: number): number {
  return Math.max(hostBlockBytes, blockSizeBytes);
}

function engineFor(options: DiskOptions, backing: OpenBacking | null): EngineChoice {
  const refusal = uringRefusal();
  const choice = chooseEngine({
    requested: options.aio,
    requestedPath: options.ioPath,
    uringRefusal: refusal,
    aioRefusal: refusal === null ? null : aioRefusal(),
    // A disk in memory never waits: any engine's reactor serves it.
    direct: backing?.direct ?? true,
    inMemory: backing?.inMemory ?? true,
    readsWithoutWaiting: backing?.readsWithoutWaiting ?? true,
  });
  if (typeof choice === 'string') throw new BackingError('EINVAL', choice);
  if (backing !== null) return choice;
  return { ...choice, path: 'memory', pathReason: 'the disk is in memory: requests are copied' };
}

function mapDiskMemory(sizeBytes: number): number {
  const address = mapAnonymous(sizeBytes);
  if (address < 0) {
    const reason = errnoName(address);
    throw new BackingError(reason, `--memory: cannot map ${sizeBytes} bytes (${reason})`);
  }
  adviseHugePages(address, sizeBytes);
  return address;
}

function shapeOf(
  options: DiskOptions,
  backing: OpenBacking | null,
  transfer: PreparedTransfer | null,
): DiskShape {
  const { readOnly, queueCount, rangesMax, blkFile } = options;
  const { blockSizeBytes } = backing?.settings ?? options;
  const sizeBytes = diskSizeBytes({
    fileSizeBytes: backing?.fileSizeBytes ?? options.memoryBytes,
    ...(backing?.settings ?? settingsOf(options)),
  });
  const physical = physicalBlockBytes(
    backing?.hostBlockBytes ?? MEMORY_BLOCK_BYTES,
    blockSizeBytes,
  );
  return {
    capacitySectors: sizeBytes / SECTOR_SIZE,
    blockSizeBytes,
    physicalBlockBytes: physical,
    discardGranularityBytes: physical,
    readOnly,
    discard: transfer?.traits.discard ?? true,
    zeroesUnmap: transfer === null,
    queueCount,
    rangesMax,
    serial: options.serial ?? defaultSerial(blkFile),
  };
}

/** A guest that runs must not see its disk become another one. */
function sameShape(ours: DiskShape, { backing, shape }: AdoptedFile): DiskShape {
  for (const key of Object.keys(shape) as Array<keyof DiskShape>) {
    // The size is the old process's: it may have been changed while that ran.
    if (key === 'capacitySectors' || ours[key] === shape[key]) continue;
    throw new BackingError(
      'EINVAL',
      `backing file ${backing.path}: ${key}=${ours[key]}, and the guest knows ${shape[key]}`,
    );
  }
  return shape;
}

/** A disk in memory gives whole pages back. */
const MEMORY_BLOCK_BYTES = 4096;

function workerSettings(
  options: DiskOptions,
  { backing, choice, transfer }: Pick<OpenDisk, 'backing' | 'choice' | 'transfer'>,
  shape: DiskShape,
): WorkerSettings {
  const { capacitySectors, blockSizeBytes, readOnly, rangesMax, serial } = shape;
  return {
    queueCount: options.queueCount,
    memorySlotCount: VHOST_USER_MAX_RAM_SLOTS,
    backing: {
      fd: backing?.fd ?? -1,
      memoryAddress: backing === null ? mapDiskMemory(options.memoryBytes) : 0,
      sizeBytes: capacitySectors * SECTOR_SIZE,
      engine: choice.engine,
      path: choice.path,
      fileOffsetBytes: backing?.settings.offsetBytes ?? 0,
      direct: backing?.direct ?? false,
      memoryAlignBytes: backing?.memoryAlignBytes ?? 1,
      offsetAlignBytes: backing?.offsetAlignBytes ?? 1,
    },
    transfer: transfer?.birth ?? null,
    limits: {
      capacitySectors,
      blockSizeBytes,
      readOnly,
      rangesMax,
      discard: false,
      writeZeroes: false,
    },
    serial,
    cpus: options.cpus,
    pollUs: options.pollUs,
  };
}

/** Disks with the place in their file that `--partition` means. Throws BackingError. */
export async function placedDisks(
  options: readonly DiskOptions[],
): Promise<readonly DiskOptions[]> {
  if (options.every(({ partition }) => partition === null)) return options;
  const { placePartitions } = await import('./disk-partitions.ts');
  return await placePartitions(options);
}

/**
 * Opens the file and starts the workers, whose `ready` is still to be awaited. Throws BackingError or
 * WorkerError; nothing is left open then but by the process.
 */
export function openDisk(
  options: DiskOptions,
  events: DiskEvents,
  adopted: AdoptedFile | null = null,
  transfer: PreparedTransfer | null = null,
): OpenDisk {
  const { blkFile, readOnly, lock } = options;
  const backing =
    adopted?.backing ??
    (blkFile === null
      ? null
      : openBacking({
          path: blkFile,
          readOnly,
          settings: settingsOf(options),
          lock: lock === 'always',
          bufferedTransfer: transfer === null || transfer.traits.directIo ? null : transfer.name,
        }));
  const choice = engineFor(options, backing);
  const own = shapeOf(options, backing, transfer);
  const shape = adopted === null ? own : sameShape(own, adopted);
  const settings = workerSettings(options, { backing, choice, transfer }, shape);
  const workers = LoopWorkers.start(options.workerCount, settings, {
    ...events,
    onMiss: (vring, pages) => disk.onMiss(vring, pages),
  });
  const lease =
    lock === 'running' && backing !== null
      ? leaseOf(backing, () => open.backing!, workers, events)
      : null;
  const disk = new LoopDisk(shape, workers, { onShrinkable: events.onShrinkable, lease });
  const name = blkFile ?? 'memory';
  const notes =
    backing === null || adopted !== null || transfer !== null
      ? []
      : imageNotes(openFilePath(backing.fd), backing.settings);
  const { autoclear } = options;
  const turn = new Turn();
  const open: OpenDisk = {
    name,
    backing,
    choice,
    disk,
    workers,
    transfer,
    lease,
    autoclear,
    notes,
    turn,
    options,
  };
  return open;
}
