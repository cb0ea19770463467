/**
 * The two sides of the comparison on one image: vloop and qemu-storage-daemon, both buffered, started and stopped
 * together. The image is written and read once before, so that it lies in the page cache and not half on a disk.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { type BackEndProcess, startBackEnd } from '../support/back-end-process.ts';
import type { Workspace } from '../support/trixie-root.ts';
import type { BenchOptions } from './options.ts';

const IMAGE = 'disk';
const MIB = 1 << 20;
/**
 * ext4 caches a file in pieces as large as the writes that made it, and a 4 KiB write into a large piece costs the
 * kernel ten times what it costs in a small one. Large writes here would measure that and not the back-ends.
 */
const CHUNK_BYTES = 4096;

export type Peers = { ours: BackEndProcess; theirs: BackEndProcess };

export async function startPeers(workspace: Workspace, options: BenchOptions): Promise<Peers> {
  makeHotImage(workspace.onHost(IMAGE), options.imageMib);
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

function makeHotImage(path: string, sizeMib: number): void {
  const chunk = Buffer.alloc(MIB);
  const fd = openSync(path, 'w+');
  try {
    for (let i = 0; i < sizeMib; i++) {
      randomFillSync(chunk);
      for (let at = 0; at < MIB; at += CHUNK_BYTES) writeSync(fd, chunk, at, CHUNK_BYTES);
    }
    // Write-back in the middle of a round would be charged to whoever runs then.
    fsyncSync(fd);
    for (let i = 0; i < sizeMib; i++) readSync(fd, chunk, 0, MIB, i * MIB);
  } finally {
    closeSync(fd);
  }
}
