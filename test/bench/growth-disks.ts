/**
 * One vloop process with its disks, made for a measurement and gone after it: images in a directory of their own, in
 * the page cache or sparse, or a disk in memory. Tells what the process cost to start.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { noise } from '../support/image-content.ts';
import { VloopProcess } from '../support/vloop-process.ts';

export type ServedDisks = {
  /** cached: written in full just before, so that it lies in the page cache. */
  kind: 'cached' | 'sparse' | 'memory';
  sizeBytes: number;
  count: number;
  /** Further options of vloop's. */
  vloop: readonly string[];
};

/** Written in large pieces, which the page cache keeps as such. */
const PIECE_BYTES = 2 ** 20;

export class GrowthDisks {
  readonly sockets: readonly string[];
  readonly vloop: VloopProcess;
  /** From the command to the last listening socket. */
  readonly startMs: number;
  /** Of the process once it listens, before a front-end comes. */
  readonly idleRssBytes: number;
  readonly #directory: string;

  private constructor(
    directory: string,
    sockets: readonly string[],
    vloop: VloopProcess,
    startMs: number,
  ) {
    this.#directory = directory;
    this.sockets = sockets;
    this.vloop = vloop;
    this.startMs = startMs;
    this.idleRssBytes = vloop.rssBytes();
  }

  static async serve(disks: ServedDisks, parent: string): Promise<GrowthDisks> {
    const directory = mkdtempSync(join(parent, 'vloop-growth-'));
    try {
      const { args, sockets } = makeImages(disks, directory);
      const start = performance.now();
      const vloop = await VloopProcess.serving({
        args: ['serve', ...args, ...disks.vloop],
        // The sockets of several disks lie in the working directory.
        through: ['env', `--chdir=${directory}`],
      });
      try {
        await vloop.logged('serving', disks.count);
        return new GrowthDisks(directory, sockets, vloop, performance.now() - start);
      } catch (error) {
        await vloop.kill();
        throw error;
      }
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  async end(): Promise<void> {
    await this.vloop.end();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function makeImages(disks: ServedDisks, directory: string): { args: string[]; sockets: string[] } {
  const { kind, sizeBytes, count } = disks;
  if (kind === 'memory') {
    const socket = join(directory, 'memory.sock');
    return { args: [`--memory=${sizeBytes}`, `--socket-path=${socket}`], sockets: [socket] };
  }
  const images = Array.from({ length: count }, (_, i) => join(directory, `disk${i}.img`));
  const piece = noise(PIECE_BYTES, 1);
  for (const image of images) {
    const fd = openSync(image, 'w');
    ftruncateSync(fd, sizeBytes);
    if (kind === 'cached')
      for (let at = 0; at < sizeBytes; at += PIECE_BYTES) writeSync(fd, piece, 0, PIECE_BYTES, at);
    closeSync(fd);
  }
  return {
    args: [...images, ...(kind === 'cached' ? ['--direct-io=off'] : [])],
    sockets: images.map((image) => `${image}.sock`),
  };
}
