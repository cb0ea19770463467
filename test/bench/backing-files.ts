/**
 * The files under test: one image on the file system of the workspace, one in memory, and how they lie in the page
 * cache when a row begins.
 */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Workspace } from '../support/trixie-root.ts';
import type { FileKind } from './matrix.ts';

const MIB = 1 << 20;
const PAGE_BYTES = 4096;
const IN_MEMORY = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;

/**
 * How the image lies in the page cache. ext4 (Linux 6.16 on) caches a file in pieces as large as the reads and writes
 * that brought it in. `large`: read from front to back, as a copy or a checksum does it. `small`: written page by page.
 * A 4 KiB write into a large piece costs the kernel ten times what it costs in a small one, and a read a little less:
 * neither is the back-ends' doing, so both are measured. `none`: for direct I/O, nothing is cached.
 */
export type CachePieces = 'large' | 'small' | 'none';

const PIECES: Readonly<Record<FileKind, CachePieces | null>> = {
  'large pieces': 'large',
  'small pieces': 'small',
  direct: 'none',
  tmpfs: null,
  memory: null,
};

/** Where a file lies: its name in the workspace, and what a process has to be started through to see it there. */
export type BackingFile = { image: string; through: readonly string[] };

export class BackingFiles {
  readonly sizeMib: number;
  readonly #workspace: Workspace;
  #inMemory: string | undefined;
  #prepared: FileKind | undefined;
  readonly #made = new Map<FileKind, BackingFile>();

  constructor(workspace: Workspace, sizeMib: number) {
    this.#workspace = workspace;
    this.sizeMib = sizeMib;
  }

  /** Makes the file when it is first asked for. */
  of(kind: FileKind): BackingFile {
    const home: FileKind = kind === 'tmpfs' ? 'tmpfs' : 'large pieces';
    let file = this.#made.get(home);
    if (file === undefined) {
      file = kind === 'tmpfs' ? this.#makeInMemory() : this.#makeOnDisk();
      this.#made.set(home, file);
    }
    return file;
  }

  /**
   * Puts the file into the state that the row's kind promises. Reads and writes leave the pieces of a cached file as
   * they are, so rows of one kind can follow each other; a discard leaves holes.
   */
  prepare(kind: FileKind): void {
    if (kind === 'memory') return;
    const path = this.#onHost(kind);
    const holey = holes(path);
    if (kind === this.#prepared && !holey) return;
    if (holey) rewrite(path, this.sizeMib);
    const pieces = PIECES[kind];
    if (pieces !== null) cacheImage(path, pieces);
    this.#prepared = kind;
  }

  remove(): void {
    if (this.#inMemory !== undefined) rmSync(this.#inMemory, { recursive: true, force: true });
    this.#inMemory = undefined;
  }

  #onHost(kind: FileKind): string {
    return kind === 'tmpfs' && this.#inMemory !== undefined
      ? join(this.#inMemory, 'disk')
      : this.#workspace.onHost(this.of(kind).image);
  }

  #makeOnDisk(): BackingFile {
    rewrite(this.#workspace.onHost('disk'), this.sizeMib);
    return { image: 'disk', through: [] };
  }

  /** A tmpfs of the host, which processes see inside the workspace through a mount of their own. */
  #makeInMemory(): BackingFile {
    if (Number(statfsSync(IN_MEMORY).type) !== TMPFS_MAGIC)
      throw new Error(`${IN_MEMORY} is no tmpfs`);
    this.#inMemory = mkdtempSync(join(IN_MEMORY, 'vloop-bench-'));
    const mountPoint = this.#workspace.onHost('shm');
    mkdirSync(mountPoint);
    rewrite(join(this.#inMemory, 'disk'), this.sizeMib);
    const mountAndRun = 'mount --bind "$0" "$1" && shift && exec "$@"';
    const asUser = process.getuid?.() === 0 ? [] : ['--map-root-user'];
    const enter = ['unshare', ...asUser, '--mount', 'sh', '-c', mountAndRun];
    return { image: 'shm/disk', through: [...enter, this.#inMemory, mountPoint] };
  }
}

/** Random bytes: nothing below can shorten them. Also fills holes that a discard left. */
function rewrite(path: string, sizeMib: number): void {
  const chunk = Buffer.alloc(MIB);
  // Creates it where it is missing.
  closeSync(openSync(path, 'a'));
  withFile(path, (open) => {
    for (let i = 0; i < sizeMib; i++) writeSync(open, randomFillSync(chunk), 0, MIB, i * MIB);
  });
}

/** Brings the image into the page cache, or out of it. Nothing is left to be written back afterwards. */
function cacheImage(path: string, pieces: CachePieces): void {
  const chunk = Buffer.alloc(MIB);
  const sizeMib = withFile(path, (fd) => fstatSync(fd).size / MIB);
  // GNU dd's way of saying POSIX_FADV_DONTNEED for a whole file.
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
  if (pieces === 'none') return;
  withFile(path, (fd) => {
    for (let i = 0; i < sizeMib; i++) {
      if (pieces === 'large') readSync(fd, chunk, 0, MIB, i * MIB);
      else writePages(fd, randomFillSync(chunk), i * MIB);
    }
  });
}

function holes(path: string): boolean {
  return withFile(path, (fd) => {
    const { blocks, size } = fstatSync(fd);
    return blocks * 512 < size;
  });
}

/** Opens, works, waits until all is on the disk, closes. */
function withFile<Result>(path: string, work: (fd: number) => Result): Result {
  const fd = openSync(path, 'r+');
  try {
    const result = work(fd);
    fsyncSync(fd);
    return result;
  } finally {
    closeSync(fd);
  }
}

function writePages(fd: number, chunk: Buffer, offset: number): void {
  for (let at = 0; at < chunk.length; at += PAGE_BYTES) {
    writeSync(fd, chunk, at, PAGE_BYTES, offset + at);
  }
}
