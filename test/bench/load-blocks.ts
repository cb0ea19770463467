/**
 * Which block of a disk comes next, and whether it is read or written. In verify mode it also keeps what every block
 * has to hold, and never has two requests out on one block, whose order nobody could tell. Pure.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { LoadOptions } from './load-options.ts';
import type { LoadRandom } from './load-random.ts';
import { describeSector, stamp, wrongSector } from './load-stamps.ts';

/** Verify mode keeps five bytes a block. */
const VERIFY_BLOCKS_MAX = 2 ** 24;

export type WrongBlock = {
  offsetBytes: number;
  expected: string;
  found: string;
};

export class LoadBlocks {
  readonly count: number;
  readonly #strideBytes: number;
  readonly #random: LoadRandom;
  readonly #io: LoadOptions['io'];
  readonly #run: number;
  /** By block, in verify mode: how often it was written, and whether a request is out on it. */
  readonly #generations: Uint32Array;
  readonly #busy: Uint8Array;
  #sequential: boolean;
  #ahead = 0;
  /** Requests that may still be started. */
  #left = Number.POSITIVE_INFINITY;
  /** What `next` chose. */
  block = 0;
  write = false;

  constructor(capacityBytes: number, options: LoadOptions, random: LoadRandom) {
    const { sizeBytes, spanBytes, hotBlocks, order, io, verify, seed } = options;
    const usable = spanBytes === 0 ? capacityBytes : Math.min(spanBytes, capacityBytes);
    const all = Math.floor(usable / sizeBytes);
    this.count = hotBlocks === 0 ? all : Math.min(hotBlocks, all);
    if (this.count < 1) throw new Error(`the disk has no ${sizeBytes} bytes`);
    this.#strideBytes = Math.floor(all / this.count) * sizeBytes;
    this.#random = random;
    this.#io = io;
    this.#sequential = order === 'sequential';
    this.#run = seed >>> 0;
    const inFlight = options.depth * options.queues;
    if (verify && this.count < 2 * inFlight)
      throw new Error(`--verify: ${this.count} blocks are few for ${inFlight} in flight`);
    if (verify && this.count > VERIFY_BLOCKS_MAX)
      throw new Error(
        `--verify: ${this.count} blocks; keep it to ${VERIFY_BLOCKS_MAX} (--span-mib)`,
      );
    this.#generations = new Uint32Array(verify ? this.count : 0);
    this.#busy = new Uint8Array(verify ? this.count : 0);
  }

  get verifies(): boolean {
    return this.#busy.length > 0;
  }

  /** Each block once, in order. */
  onePass(): void {
    this.#sequential = true;
    this.#ahead = 0;
    this.#left = this.count;
  }

  /** Without end, in the order asked for. */
  endless(order: LoadOptions['order']): void {
    this.#sequential = order === 'sequential';
    this.#left = Number.POSITIVE_INFINITY;
  }

  /** Chooses; `force` decides whether it writes. False when no more are to be started. */
  next(force: 'read' | 'write' | null): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    let block = this.#step();
    if (this.verifies) {
      while (this.#busy[block] === 1) block = this.#step();
      this.#busy[block] = 1;
    }
    this.block = block;
    const io = force ?? this.#io;
    this.write = io === 'write' || (io === 'mix' && this.#random.below(2) === 1);
    return true;
  }

  #step(): number {
    if (!this.#sequential) return this.#random.below(this.count);
    const block = this.#ahead;
    this.#ahead = block + 1 === this.count ? 0 : block + 1;
    return block;
  }

  offsetBytes(block: number): number {
    return block * this.#strideBytes;
  }

  /** Fills the buffers of a write: generation by generation. */
  stampSegment(block: number, segmentAt: number, words: Uint32Array): void {
    const sector = (this.offsetBytes(block) + segmentAt) / SECTOR_SIZE;
    stamp(words, sector, this.#generations[block]! + 1, this.#run);
  }

  /** A write has been answered. */
  written(block: number): void {
    this.#generations[block] = this.#generations[block]! + 1;
  }

  /** No request is out on the block any more. */
  release(block: number): void {
    this.#busy[block] = 0;
  }

  /** What is wrong with a segment that was read, or null. */
  checkSegment(block: number, segmentAt: number, words: Uint32Array): WrongBlock | null {
    const generation = this.#generations[block]!;
    const sector = (this.offsetBytes(block) + segmentAt) / SECTOR_SIZE;
    const wrong = wrongSector(words, sector, generation, this.#run);
    if (wrong < 0) return null;
    return {
      offsetBytes: (sector + wrong) * SECTOR_SIZE,
      expected: `sector ${sector + wrong}, generation ${generation}`,
      found: describeSector(words, wrong, this.#run),
    };
  }
}
