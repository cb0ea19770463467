/**
 * The two sides of the comparison on one image: vloop and qemu-storage-daemon, both buffered, started and stopped
 * together; and the image's place in the page cache.
 */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { type BackEndProcess, startBackEnd } from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { BenchOptions } from './options.ts';

const IMAGE = 'disk';
const MIB = 1 << 20;
const PAGE_BYTES = 4096;

/**
 * How the image lies in the page cache. ext4 (Linux 6.16 on) caches a file in pieces as large as the reads and writes
 * that brought it in. `large`: read from front to back, as a copy or a checksum does it. `small`: written page by page.
 * A 4 KiB write into a large piece costs the kernel ten times what it costs in a small one, and a read a little less:
 * neither is the back-ends' doing, so reads are measured over large pieces and writes over small ones.
 */
export type CachePieces = 'large' | 'small';

export type Peers = { ours: BackEndProcess; theirs: BackEndProcess };

export async function startPeers(workspace: Workspace, options: BenchOptions): Promise<Peers> {
  makeImage(workspace.onHost(IMAGE), options.imageMib);
  const ours = await startBackEnd(options.ours, workspace, IMAGE, {
    label: options.ours === 'vloop' ? 'vloop' : 'same',
    vloopArguments: [`--direct-io=${options.directIo}`, ...options.vloopArguments],
    numQueues: 1,
  });
  const theirs = await startBackEnd(options.theirs, workspace, IMAGE, {
    label: 'peer',
    numQueues: 1,
  });
  return { ours, theirs };
}

export async function stopPeers({ ours, theirs }: Peers): Promise<void> {
  await Promise.all([ours.stop(), theirs.stop()]);
}

function makeImage(path: string, sizeMib: number): void {
  const chunk = Buffer.alloc(MIB);
  const fd = openSync(path, 'w');
  try {
    for (let i = 0; i < sizeMib; i++) writeSync(fd, randomFillSync(chunk));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Puts the whole image into the page cache in pieces of one kind. Nothing is left to be written back afterwards. */
export function cacheImage(workspace: Workspace, pieces: CachePieces): void {
  const path = workspace.onHost(IMAGE);
  // GNU dd's way of saying POSIX_FADV_DONTNEED for a whole file.
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
  const chunk = Buffer.alloc(MIB);
  const fd = openSync(path, 'r+');
  try {
    const sizeMib = fstatSync(fd).size / MIB;
    for (let i = 0; i < sizeMib; i++) {
      if (pieces === 'large') readSync(fd, chunk, 0, MIB, i * MIB);
      else writePages(fd, randomFillSync(chunk), i * MIB);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writePages(fd: number, chunk: Buffer, offset: number): void {
  for (let at = 0; at < chunk.length; at += PAGE_BYTES) {
    writeSync(fd, chunk, at, PAGE_BYTES, offset + at);
  }
}
