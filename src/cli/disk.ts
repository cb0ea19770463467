/**
 * Opens a disk as the options ask for it: the backing file, the shape that the guest sees, the workers.
 */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { chooseEngine, type EngineChoice } from '../backing/choose-engine.ts';
import { BackingError, type OpenBacking, openBacking } from '../backing/open-backing.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { diskSizeBytes } from '../loop/geometry.ts';
import { probeRing } from '../sys/io-uring.ts';
import { errnoName } from '../sys/libc.ts';
import { LoopDisk } from '../worker/loop-disk.ts';
import { LoopWorkers, type WorkerEvents } from '../worker/loop-workers.ts';
import type { ServeOptions } from './options.ts';

export interface OpenDisk {
  readonly backing: OpenBacking;
  readonly choice: EngineChoice;
  readonly shape: DiskShape;
  readonly disk: LoopDisk;
  readonly workers: LoopWorkers;
}

/** The same file gets the same serial wherever it is served from. */
function defaultSerial(path: string): string {
  const hash = createHash('sha256').update(realpathSync(path)).digest('hex');
  return `vloop-${hash.slice(0, 12)}`;
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

function engineFor(options: ServeOptions, backing: OpenBacking): EngineChoice {
  const choice = chooseEngine({
    requested: options.aio,
    requestedPath: options.ioPath,
    uringRefusal: uringRefusal(),
    direct: backing.direct,
    inMemory: backing.inMemory,
  });
  if (typeof choice === 'string') throw new BackingError('EINVAL', choice);
  return choice;
}

/** Throws BackingError or the worker's own reason; nothing is left open then but by the process. */
export async function openDisk(options: ServeOptions, events: WorkerEvents): Promise<OpenDisk> {
  const { blkFile, readOnly, directIo, blockSizeBytes, queueCount } = options;
  const backing = openBacking({ path: blkFile, readOnly, directIo, blockSizeBytes });
  const choice = engineFor(options, backing);
  const sizeBytes = diskSizeBytes({
    fileSizeBytes: backing.fileSizeBytes,
    offsetBytes: 0,
    sizeLimitBytes: 0,
    blockSizeBytes,
  });
  const shape: DiskShape = {
    capacitySectors: sizeBytes / SECTOR_SIZE,
    blockSizeBytes,
    physicalBlockBytes: backing.hostBlockBytes,
    discardGranularityBytes: backing.hostBlockBytes,
    readOnly,
    queueCount,
    serial: options.serial ?? defaultSerial(blkFile),
  };
  const workers = await LoopWorkers.start(
    options.workerCount,
    {
      queueCount,
      memorySlotCount: VHOST_USER_MAX_RAM_SLOTS,
      backing: {
        fd: backing.fd,
        engine: choice.engine,
        path: choice.path,
        direct: backing.direct,
        memoryAlignBytes: backing.memoryAlignBytes,
        offsetAlignBytes: backing.offsetAlignBytes,
      },
      limits: {
        capacitySectors: shape.capacitySectors,
        blockSizeBytes,
        readOnly,
        discard: false,
        writeZeroes: false,
      },
      serial: shape.serial,
      pollUs: options.pollUs,
    },
    events,
  );
  return { backing, choice, shape, disk: new LoopDisk(shape, workers), workers };
}
