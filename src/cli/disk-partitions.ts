/**
 * The partitions of a served disk, and `--partition`: one of a file's partitions as a disk of its own, which is an
 * offset and a size limit taken from the table when the disk starts. Loaded when somebody asks.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { BackingError, openBackingFile } from '../backing/open-backing.ts';
import type { Partition, PartitionTable, ReadableDisk } from '../backing/partition.ts';
import { readPartitionTable } from '../backing/partition-table.ts';
import { ControlError } from '../control/controlled-disk.ts';
import type { DiskPartitions } from '../control/schema/disk-partitions.ts';
import { BLOCK_SIZES } from '../loop/geometry.ts';
import { closeFile, fileSizeBytes } from '../sys/block-file.ts';
import { requireFile } from './change-disk.ts';
import { withGuestBytes } from './guest-bytes.ts';
import type { DiskOptions } from './options.ts';
import type { ServedDisk } from './served-disk.ts';

const readFile = promisify(read);

/** A partition as the control plane shows it: bytes, counted from the disk's start. */
function shown(partition: Partition, diskBytes: number): DiskPartitions['partitions'][number] {
  const { number, offsetBytes, sizeBytes, type, typeName, name, uuid, bootable } = partition;
  const problem = offsetBytes + sizeBytes > diskBytes ? 'it ends beyond the disk' : null;
  return {
    ...{ number, start: offsetBytes, size: sizeBytes, type, type_name: typeName },
    ...{ name, uuid, bootable, problem },
  };
}

export async function partitionsOf(served: ServedDisk): Promise<DiskPartitions> {
  requireFile(served);
  try {
    return await withGuestBytes(served.open, async (disk) => {
      const table = await readPartitionTable(disk);
      if (table === null) return { table: null, id: null, damage: [], partitions: [] };
      const { kind, id, damage, partitions } = table;
      const rows = partitions.map((partition) => shown(partition, disk.sizeBytes));
      return { table: kind, id, damage: [...damage], partitions: rows };
    });
  } catch (error) {
    if (error instanceof ControlError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ControlError('EIO', `the partition table cannot be read: ${reason}`);
  }
}

/** Has `use` read a file as it is. Throws BackingError when it cannot be read. */
async function withFile<T>(
  path: string,
  blockSizeBytes: number,
  use: (file: ReadableDisk) => Promise<T>,
): Promise<T> {
  const fd = openBackingFile(path, true);
  try {
    const sizeBytes = fileSizeBytes(fd);
    return await use({
      sizeBytes,
      blockSizeBytes,
      async read(at, lengthBytes) {
        const buffer = Buffer.alloc(lengthBytes);
        const { bytesRead } = await readFile(fd, buffer, 0, lengthBytes, at);
        return buffer.subarray(0, bytesRead);
      },
    });
  } catch (error) {
    if (error instanceof BackingError) throw error;
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackingError(code, `--partition: backing file ${path}: ${reason}`);
  } finally {
    closeFile(fd);
  }
}

/** Tables count in logical blocks: one that was made for others is not found. */
async function otherBlockSize(file: ReadableDisk): Promise<string> {
  for (const blockSizeBytes of BLOCK_SIZES) {
    if (blockSizeBytes === file.blockSizeBytes) continue;
    const table = await readPartitionTable({ ...file, blockSizeBytes });
    if (table?.kind === 'gpt') {
      return `; it has one for blocks of ${blockSizeBytes} bytes (--block-size=${blockSizeBytes})`;
    }
  }
  return '';
}

function requirePartition(
  { partitions }: PartitionTable,
  number: number,
  { sizeBytes }: ReadableDisk,
): Partition | string {
  const found = partitions.find((partition) => partition.number === number);
  const numbers = partitions.filter(({ extended }) => !extended).map((one) => one.number);
  if (found === undefined) {
    return `it has no partition ${number}, expected ${numbers.join(', ') || 'none: its table is empty'}`;
  }
  if (found.extended) {
    const logical = numbers.filter((one) => one > 4).join(', ') || 'none';
    return `partition ${number} is an extended one, without data of its own; those in it: ${logical}`;
  }
  const end = found.offsetBytes + found.sizeBytes;
  if (end <= sizeBytes) return found;
  return `partition ${number} ends at byte ${end}, beyond the file's ${sizeBytes}`;
}

async function placeOf(path: string, options: DiskOptions): Promise<DiskOptions> {
  const { partition, blockSizeBytes, transfer } = options;
  return await withFile(path, blockSizeBytes, async (file) => {
    const refuse = (reason: string) =>
      new BackingError('EINVAL', `--partition=${partition}: backing file ${path}: ${reason}`);
    const table = await readPartitionTable(file);
    if (table === null) {
      const through = transfer === null ? '' : ' (looked for in the file, not through --transfer)';
      throw refuse(`it has no partition table${through}${await otherBlockSize(file)}`);
    }
    const found = requirePartition(table, partition!, file);
    if (typeof found === 'string') throw refuse(found);
    return { ...options, offsetBytes: found.offsetBytes, sizeLimitBytes: found.sizeBytes };
  });
}

/** Disks with `--partition` as the offset and size limit that it means. Throws BackingError. */
export async function placePartitions(disks: readonly DiskOptions[]): Promise<DiskOptions[]> {
  const placed: DiskOptions[] = [];
  for (const disk of disks) {
    const { partition, blkFile } = disk;
    placed.push(partition === null || blkFile === null ? disk : await placeOf(blkFile, disk));
  }
  return placed;
}
