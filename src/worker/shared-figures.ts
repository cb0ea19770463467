/**
 * What a disk's workers count, as the main thread holds it: made here, written by the workers, read at
 * any time by whoever asks. Nothing in it needs a worker's answer, not even where a worker is stuck.
 */
import { BLOCK_MAP_BYTES, type BlockCounts, sumBlockMaps } from '../loop/block-map.ts';
import { CommandBoard } from '../loop/command-board.ts';
import { COUNTERS_PER_VRING, inFlightRequests } from '../loop/counters.ts';
import { FAILURE_BYTES } from '../loop/disk-figures.ts';
import { LATENCIES_PER_VRING } from '../loop/latencies.ts';

/** Memory that a worker is born with. */
export interface FiguresBirth {
  /** Float64, COUNTERS_PER_VRING for each vring. */
  readonly counters: SharedArrayBuffer;
  /** Float64, LATENCIES_PER_VRING for each vring. */
  readonly latencies: SharedArrayBuffer;
  /** See disk-figures.ts. */
  readonly failures: SharedArrayBuffer;
  /** See block-map.ts; of this worker. */
  readonly blockMap: SharedArrayBuffer;
}

/** What is not zero of an array of numbers: places and values in turns. JSON of the rest would be long. */
export type SparseNumbers = readonly number[];

/** The figures of a disk, for a process that goes on with them. */
export interface FiguresStand {
  readonly counters: SparseNumbers;
  readonly latencies: SparseNumbers;
  readonly failures: SparseNumbers;
  /** Of each worker, and of processes before this one. */
  readonly blockMaps: readonly SparseNumbers[];
}

type Numbers = Float64Array | Int32Array | Uint32Array;

function sparse(numbers: Numbers): SparseNumbers {
  const pairs: number[] = [];
  for (let at = 0; at < numbers.length; at++) {
    if (numbers[at] !== 0) pairs.push(at, numbers[at]!);
  }
  return pairs;
}

function fill(numbers: Numbers, pairs: SparseNumbers): void {
  for (let i = 0; i < pairs.length; i += 2) numbers[pairs[i]!] = pairs[i + 1]!;
}

/** The part of a disk's numbers that one vring has. */
export function figuresOf(counters: Float64Array, latencies: Float64Array, vring: number) {
  const [count, latency] = [COUNTERS_PER_VRING * vring, LATENCIES_PER_VRING * vring];
  return {
    counters: counters.subarray(count, count + COUNTERS_PER_VRING),
    latencies: latencies.subarray(latency, latency + LATENCIES_PER_VRING),
  };
}

export class SharedFigures {
  readonly queueCount: number;
  readonly counters: Float64Array;
  readonly latencies: Float64Array;
  readonly failures: Int32Array;
  readonly #buffers: Omit<FiguresBirth, 'blockMap'>;
  readonly #maps: Uint32Array[] = [];
  readonly #boards = new Map<number, CommandBoard>();

  constructor(queueCount: number) {
    this.queueCount = queueCount;
    const counters = new SharedArrayBuffer(8 * COUNTERS_PER_VRING * queueCount);
    // Pages of it that nobody writes are none: a ring that never runs costs nothing.
    const latencies = new SharedArrayBuffer(8 * LATENCIES_PER_VRING * queueCount);
    const failures = new SharedArrayBuffer(FAILURE_BYTES);
    this.#buffers = { counters, latencies, failures };
    this.counters = new Float64Array(counters);
    this.latencies = new Float64Array(latencies);
    this.failures = new Int32Array(failures);
  }

  /** For one more worker. */
  birth(): FiguresBirth {
    const blockMap = new SharedArrayBuffer(BLOCK_MAP_BYTES);
    this.#maps.push(new Uint32Array(blockMap));
    return { ...this.#buffers, blockMap };
  }

  /** The commands of a vring are to be seen there from now on. */
  setBoard(vring: number, size: number, memory: SharedArrayBuffer): void {
    this.#boards.set(vring, new CommandBoard(size, memory));
  }

  /** Null: the vring has never run. */
  board(vring: number): CommandBoard | null {
    return this.#boards.get(vring) ?? null;
  }

  /**
   * Requests of a vring that were taken and are not answered. They are counted when a whole batch has been started: a
   * worker that hangs in the midst of one shows what it has begun.
   */
  inFlight(vring: number): number {
    const shown = this.board(vring)?.inFlightCount ?? 0;
    return Math.max(inFlightRequests(this.countersOf(vring)), shown);
  }

  get allInFlight(): number {
    let sum = 0;
    for (let vring = 0; vring < this.queueCount; vring++) sum += this.inFlight(vring);
    return sum;
  }

  countersOf(vring: number): Float64Array {
    return figuresOf(this.counters, this.latencies, vring).counters;
  }

  latenciesOf(vring: number): Float64Array {
    return figuresOf(this.counters, this.latencies, vring).latencies;
  }

  blockCounts(sizeBytes: number): BlockCounts {
    return sumBlockMaps(this.#maps, sizeBytes);
  }

  /** Of a disk that stands still. */
  stand(): FiguresStand {
    return {
      counters: sparse(this.counters),
      latencies: sparse(this.latencies),
      failures: sparse(this.failures),
      blockMaps: this.#maps.map(sparse),
    };
  }

  /** Counts on from where another process stood, before anything is served. */
  continueFrom({ counters, latencies, failures, blockMaps }: FiguresStand): void {
    fill(this.counters, counters);
    fill(this.latencies, latencies);
    fill(this.failures, failures);
    for (const pairs of blockMaps) {
      const map = new Uint32Array(BLOCK_MAP_BYTES / 4);
      fill(map, pairs);
      this.#maps.push(map);
    }
  }
}
