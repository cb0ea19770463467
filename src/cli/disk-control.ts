/**
 * A served disk behind the control plane's port: what each method means for its parts.
 */
import { resolve } from 'node:path';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { featureNames } from '../blk/features.ts';
import type { ControlledDisk, DiskMethods } from '../control/controlled-disk.ts';
import type { DiskStatus } from '../control/schema/disk-status.ts';
import { decodeWord } from '../worker/session-state.ts';
import type { ServedDisk } from './served-disk.ts';

/** Methods in which a disk is what it is in this process; `name` is unique among its disks. */
export function controlledDisk(served: ServedDisk, name: string): ControlledDisk {
  const { open, socket } = served;
  const words = [open.backing === null ? null : open.name, socket.path];
  const aliases = words.filter((word) => word !== null).flatMap((path) => [path, resolve(path)]);
  const methods: DiskMethods = {
    disk_get_status: () => statusOf(served, name),
  };
  return { name, aliases, methods };
}

function statusOf({ open, socket, server }: ServedDisk, name: string): DiskStatus {
  const { backing, choice, disk, workers } = open;
  const { shape } = disk;
  return {
    name,
    state: server.stopping ? 'rundown' : 'bound',
    connected: server.connection !== null,
    connections: server.taken.connections,
    back_file: backing === null ? null : resolve(open.name),
    socket: socket.path === null ? null : resolve(socket.path),
    pid: process.pid,
    size: shape.capacitySectors * SECTOR_SIZE,
    offset: 0,
    size_limit: 0,
    block_size: shape.blockSizeBytes,
    read_only: shape.readOnly,
    direct_io: backing?.direct ?? false,
    direct_io_reason: backing?.directReason ?? 'the disk is in memory',
    engine: choice.engine,
    engine_reason: choice.engineReason,
    io_path: choice.path,
    io_path_reason: choice.pathReason,
    serial: shape.serial,
    queues: shape.queueCount,
    workers: workers.count,
    features: featureNames(decodeWord(disk.state().features)),
  };
}

/** What the disks of one process are called: as asked, else as their files, each name once. */
export function diskNames(
  disks: ReadonlyArray<{ readonly name: string | null; readonly blkFile: string | null }>,
): string[] {
  const taken = new Set<string>();
  return disks.map(({ name, blkFile }) => {
    const wish = name ?? nameOfFile(blkFile);
    let unique = wish;
    for (let n = 2; taken.has(unique); n++) unique = `${wish}-${n}`;
    taken.add(unique);
    return unique;
  });
}

function nameOfFile(path: string | null): string {
  if (path === null) return 'memory';
  const word = (path.split('/').at(-1) ?? '').replace(/[^A-Za-z0-9._+@-]/g, '_');
  return word.replace(/^[^A-Za-z0-9]+/, '').slice(0, 64) || 'disk';
}
