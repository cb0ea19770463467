/**
 * Disks with partition tables that sfdisk has made, and what sfdisk itself says of them (test/corpus/partition-tables).
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadableDisk } from '../../src/backing/partition.ts';

interface Corpus {
  readonly sizeBytes: number;
  /** Those that are not zero: where, and the bytes as hex without zeroes behind. */
  readonly sectors: ReadonlyArray<readonly [number, string]>;
  readonly dump: readonly string[];
}

function corpus(kind: 'dos' | 'gpt'): Corpus {
  const path = join(import.meta.dirname, `../corpus/partition-tables/${kind}.json`);
  return JSON.parse(readFileSync(path, 'utf8')) as Corpus;
}

export function partitionedBytes(kind: 'dos' | 'gpt'): Buffer {
  const { sizeBytes, sectors } = corpus(kind);
  const bytes = Buffer.alloc(sizeBytes);
  for (const [at, hex] of sectors) bytes.write(hex, at, 'hex');
  return bytes;
}

/** Writes the table into a file, which gets the size that belongs to it. */
export function writePartitioned(path: string, kind: 'dos' | 'gpt'): void {
  const { sizeBytes, sectors } = corpus(kind);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  for (const [at, hex] of sectors) writeSync(fd, Buffer.from(hex, 'hex'), 0, undefined, at);
  closeSync(fd);
}

export interface DumpedPartition {
  readonly number: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** In sfdisk's spelling. */
  readonly type: string;
  readonly uuid: string | undefined;
  readonly name: string | undefined;
  readonly bootable: boolean;
}

/** The lines of `sfdisk --dump`. */
export function sfdiskDump(kind: 'dos' | 'gpt'): DumpedPartition[] {
  return corpus(kind).dump.flatMap((line) => {
    const [, number, fields = ''] = /^\S+\.img(\d+) : (.*)$/.exec(line) ?? [];
    if (number === undefined) return [];
    const field = (name: string) => new RegExp(`\\b${name}= *"?([^",]+)`).exec(fields)?.[1];
    return [
      {
        number: Number(number),
        offsetBytes: Number(field('start')) * 512,
        sizeBytes: Number(field('size')) * 512,
        type: field('type') ?? '',
        uuid: field('uuid'),
        name: field('name'),
        bootable: fields.endsWith('bootable'),
      },
    ];
  });
}

/** A disk of bytes in memory, and how much of it was read. */
export class BytesDisk implements ReadableDisk {
  readonly blockSizeBytes: number;
  readonly #bytes: Uint8Array;
  bytesRead = 0;
  reads = 0;

  constructor(bytes: Uint8Array, blockSizeBytes = 512) {
    this.#bytes = bytes;
    this.blockSizeBytes = blockSizeBytes;
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    this.reads++;
    this.bytesRead += lengthBytes;
    return this.#bytes.subarray(offsetBytes, offsetBytes + lengthBytes);
  }
}
