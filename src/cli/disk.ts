/**
 * Opens a disk as the options ask for it: the backing file, the shape that the guest sees, the workers.
 */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { VHOST_USER_MAX_RAM_SLOTS } from '../../protocol/vhost-user.ts';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { type OpenBacking, openBacking } from '../backing/open-backing.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { diskSizeBytes } from '../loop/geometry.ts';
import { LoopDisk } from '../worker/loop-disk.ts';
import { LoopWorkers, type WorkerEvents } from '../worker/loop-workers.ts';
import type { ServeOptions } from './options.ts';

export interface OpenDisk {
  readonly backing: OpenBacking;
  readonly shape: DiskShape;
  readonly disk: LoopDisk;
  readonly workers: LoopWorkers;
}

/** The same file gets the same serial wherever it is served from. */
function defaultSerial(path: string): string {
  const hash = createHash('sha256').update(realpathSync(path)).digest('hex');
  return `vloop-${hash.slice(0, 12)}`;
}

/** Throws BackingError or the worker's own reason; nothing is left open then but by the process. */
export async function openDisk(options: ServeOptions, events: WorkerEvents): Promise<OpenDisk> {
  const { blkFile, readOnly, directIo, blockSizeBytes, queueCount } = options;
  const backing = openBacking({ path: blkFile, readOnly, directIo, blockSizeBytes });
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
      backing,
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
  return { backing, shape, disk: new LoopDisk(shape, workers), workers };
}
