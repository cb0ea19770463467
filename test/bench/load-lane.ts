/**
 * One queue at work on its disk: starts requests on places, finishes them when they are answered, stamps and checks
 * their data in verify mode. The loop over all lanes is in load-run.ts.
 */
import type { LoadBlocks, WrongBlock } from './load-blocks.ts';
import type { LoadBuffers } from './load-buffers.ts';
import type { LoadQueue } from './load-queue.ts';

export class LoadLane {
  readonly queue: LoadQueue;
  readonly blocks: LoadBlocks;
  readonly #buffers: LoadBuffers;
  readonly #segments: number;
  readonly #segmentBytes: number;
  readonly #blockOf: Float64Array;
  readonly #onWrong: (wrong: WrongBlock) => void;
  /** Fills and checks are forced to one direction. */
  force: 'read' | 'write' | null = null;

  constructor(
    parts: { queue: LoadQueue; blocks: LoadBlocks; buffers: LoadBuffers },
    shape: { depth: number; segments: number; segmentBytes: number },
    onWrong: (wrong: WrongBlock) => void,
  ) {
    this.queue = parts.queue;
    this.blocks = parts.blocks;
    this.#buffers = parts.buffers;
    this.#segments = shape.segments;
    this.#segmentBytes = shape.segmentBytes;
    this.#blockOf = new Float64Array(shape.depth);
    this.#onWrong = onWrong;
  }

  /** False when the disk's blocks are used up. `clock` holds what time it is. */
  start(place: number, clock: Float64Array): boolean {
    const { blocks, queue } = this;
    if (!blocks.next(this.force)) return false;
    const { block, write } = blocks;
    this.#blockOf[place] = block;
    if (this.#buffers.changing) queue.changeBuffers(place);
    if (blocks.verifies) this.#prepare(place, block, write);
    queue.offsetBytes[place] = blocks.offsetBytes(block);
    queue.submittedAt[place] = clock[0]!;
    queue.submit(place, write);
    return true;
  }

  finish(place: number): void {
    if (this.blocks.verifies) this.#check(place);
  }

  /** What a read does not write must not look right by chance. */
  #prepare(place: number, block: number, write: boolean): void {
    for (let i = 0; i < this.#segments; i++) {
      const words = this.#buffers.words(place, i);
      if (write) this.blocks.stampSegment(block, i * this.#segmentBytes, words);
      else words.fill(0xffffffff);
    }
  }

  #check(place: number): void {
    const { blocks } = this;
    const block = this.#blockOf[place]!;
    if (this.queue.isWrite[place] === 1) blocks.written(block);
    else {
      for (let i = 0; i < this.#segments; i++) {
        const at = i * this.#segmentBytes;
        const wrong = blocks.checkSegment(block, at, this.#buffers.words(place, i));
        if (wrong !== null) this.#onWrong(wrong);
      }
    }
    blocks.release(block);
  }
}
