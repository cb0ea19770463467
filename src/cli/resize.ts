/**
 * SIGHUP: a disk takes the size that its backing file has now, as `losetup -c` makes a loop device do.
 * A smaller size is taken too: requests past the new end fail, those in flight go on. A disk in memory
 * keeps its size.
 */
import { isatty } from 'node:tty';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { GuestLines } from '../log/guest-lines.ts';
import type { Log } from '../log.ts';
import { diskSizeBytes } from '../loop/geometry.ts';
import { fileSizeBytes } from '../sys/block-file.ts';
import type { Server } from '../vhost-user/server.ts';
import type { OpenDisk } from './disk.ts';
import type { EmitEvent } from './served-disk.ts';

interface ResizableDisk {
  readonly open: OpenDisk;
  readonly server: Server;
  readonly log: Log;
  readonly guestLines: GuestLines;
  readonly emit: EmitEvent;
}

/**
 * Does so with every SIGHUP, for the disks that are served by then. A terminal that has gone sends the same
 * signal: then `end` is called, because a program on a terminal ends with it.
 */
export function resizeOnHangUp(disks: readonly ResizableDisk[], end: () => void): void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  process.on('SIGHUP', () => {
    const gone = terminals.length > 0 && terminals.every((fd) => !isatty(fd));
    if (gone) end();
    else for (const disk of disks) void takeNewSize(disk);
  });
}

/** Takes the new size, tells the front-end, and says in the log what happened: `quietly`, only news. */
export async function takeNewSize(served: ResizableDisk, quietly = false): Promise<void> {
  await served.open.turn.take(() => takeSize(served, quietly));
}

async function takeSize(served: ResizableDisk, quietly: boolean): Promise<void> {
  const { backing, disk } = served.open;
  if (backing === null) {
    served.log.info('a disk in memory keeps its size');
    return;
  }
  const oldBytes = disk.shape.capacitySectors * SECTOR_SIZE;
  const sizeBytes = diskSizeBytes({
    fileSizeBytes: fileSizeBytes(backing.fd),
    ...backing.settings,
  });
  if (sizeBytes === 0) {
    const fields = { sizeBytes: oldBytes };
    const words = 'the backing file has no whole block left: the size is kept';
    // Quietly: a guest has started a ring.
    if (quietly) served.guestLines.say('warn', fields, words);
    else served.log.warn(fields, words);
  } else if (sizeBytes === oldBytes) {
    if (!quietly) served.log.info({ sizeBytes }, 'the backing file has the size that it had');
  } else {
    await disk.reshape({ capacitySectors: sizeBytes / SECTOR_SIZE });
    tellNewSize(served, oldBytes);
  }
}

/** The disk has another size than it had. */
export function tellNewSize({ open, server, log, emit }: ResizableDisk, oldBytes: number): void {
  const sizeBytes = open.disk.shape.capacitySectors * SECTOR_SIZE;
  log.info({ sizeBytes, oldBytes }, 'the disk has a new size');
  server.configChanged();
  emit('disk_resized', { size: sizeBytes });
}
