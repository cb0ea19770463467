/**
 * The data buffers of a load: which one each segment of each place holds, and the spare ones that requests change
 * with at random, so that addresses wander over all regions as a guest's do. Changing allocates nothing.
 */
import type { LoadMemory } from './load-memory.ts';
import type { LoadRandom } from './load-random.ts';

const TWO_TO_32 = 2 ** 32;
const DESC_WORDS = 4;

export class LoadBuffers {
  readonly #addresses: Float64Array;
  /** By segment of a place of a queue: its buffer; then the spare ones. */
  readonly #holder: Uint32Array;
  readonly #heldCount: number;
  readonly #segments: number;
  readonly #firstPlace: number;
  readonly #random: LoadRandom;
  /** The words of each buffer; only for those who look at data. */
  readonly #words: readonly Uint32Array[];

  private constructor(from: {
    addresses: Float64Array;
    holder: Uint32Array;
    heldCount: number;
    segments: number;
    firstPlace: number;
    random: LoadRandom;
    words: readonly Uint32Array[];
  }) {
    this.#addresses = from.addresses;
    this.#holder = from.holder;
    this.#heldCount = from.heldCount;
    this.#segments = from.segments;
    this.#firstPlace = from.firstPlace;
    this.#random = from.random;
    this.#words = from.words;
  }

  /** One for each queue, over the same buffers. */
  static forQueues(
    memory: LoadMemory,
    shape: { queues: number; depth: number; segments: number; segmentBytes: number },
    withWords: boolean,
    random: LoadRandom,
  ): LoadBuffers[] {
    const { queues, depth, segments, segmentBytes } = shape;
    const addresses = memory.layout.buffers;
    const shared = {
      addresses,
      holder: Uint32Array.from(addresses, (_, i) => i),
      heldCount: queues * depth * segments,
      segments,
      random,
      words: withWords
        ? Array.from(addresses, (address) => memory.words(address, segmentBytes / 4))
        : [],
    };
    return Array.from(
      { length: queues },
      (_, queue) => new LoadBuffers({ ...shared, firstPlace: queue * depth }),
    );
  }

  get changing(): boolean {
    return this.#holder.length > this.#heldCount;
  }

  /** Writes the addresses that a place holds into its chain, from the descriptor at word `at` on. */
  give(chain: Uint32Array, at: number, place: number): void {
    const first = (this.#firstPlace + place) * this.#segments;
    for (let i = 0; i < this.#segments; i++) {
      const address = this.#addresses[this.#holder[first + i]!]!;
      chain[at + i * DESC_WORDS] = address % TWO_TO_32;
      chain[at + i * DESC_WORDS + 1] = address / TWO_TO_32;
    }
  }

  /** Changes each buffer of a place with a spare one, and writes the new addresses. */
  change(chain: Uint32Array, at: number, place: number): void {
    const holder = this.#holder;
    const first = (this.#firstPlace + place) * this.#segments;
    for (let i = 0; i < this.#segments; i++) {
      const spare = this.#heldCount + this.#random.below(holder.length - this.#heldCount);
      const old = holder[first + i]!;
      holder[first + i] = holder[spare]!;
      holder[spare] = old;
    }
    this.give(chain, at, place);
  }

  /** The words of a segment's buffer. */
  words(place: number, segment: number): Uint32Array {
    return this.#words[this.#holder[(this.#firstPlace + place) * this.#segments + segment]!]!;
  }
}
