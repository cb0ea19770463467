/**
 * Where a disk is read, written and discarded: requests since the start by region, in memory that a worker
 * and the main thread share. A cell's size is a power of two, so that the disk has at most MAP_CELLS of them;
 * a disk that grows folds neighbours together. Each worker has a map of its own and adds plainly.
 */
import { type BlkRequest, OP_DISCARD, OP_READ } from '../blk/blk-request.ts';

export const MAP_CELLS = 4096;
/** A page: less is not what guests ask for. */
const CELL_SHIFT_MIN = 12;

/** Rows of the map. Written zeroes are writes. */
const MAP_READS = 0;
const MAP_WRITES = 1;
const MAP_DISCARDS = 2;
const ROWS = 3;

/** After the rows: the logarithm of a cell's bytes. */
const SHIFT_AT = ROWS * MAP_CELLS;
/** Counts are 32 bits wide and wrap: who looks at them looks at differences. */
export const BLOCK_MAP_BYTES = 4 * (ROWS * MAP_CELLS + 1);

/** The logarithm of the bytes of a cell, for a disk of so many bytes. */
export function cellShiftFor(sizeBytes: number): number {
  let shift = CELL_SHIFT_MIN;
  while (sizeBytes > MAP_CELLS * 2 ** shift) shift++;
  return shift;
}

export class BlockMap {
  readonly #counts: Uint32Array;
  #cellsPerByte = 0;

  constructor(memory: SharedArrayBuffer, sizeBytes: number) {
    this.#counts = new Uint32Array(memory);
    this.resize(sizeBytes);
  }

  /** The disk has so many bytes now. Cells get larger when they have to, never smaller. */
  resize(sizeBytes: number): void {
    const counts = this.#counts;
    const wanted = cellShiftFor(sizeBytes);
    if (counts[SHIFT_AT] === 0) counts[SHIFT_AT] = wanted;
    while (counts[SHIFT_AT]! < wanted) {
      for (let row = 0; row < ROWS; row++) {
        foldRow(counts.subarray(row * MAP_CELLS, (row + 1) * MAP_CELLS));
      }
      counts[SHIFT_AT]!++;
    }
    this.#cellsPerByte = 2 ** -counts[SHIFT_AT]!;
  }

  /** Counts a read or write: where it begins, and if it is longer than a cell, wherever it reaches. */
  countTransfer(request: BlkRequest): void {
    const cellsPerByte = this.#cellsPerByte;
    const row = request.op === OP_READ ? MAP_READS * MAP_CELLS : MAP_WRITES * MAP_CELLS;
    this.#counts[row + ((request.offsetBytes * cellsPerByte) | 0)]!++;
    if (request.lengthBytes * cellsPerByte > 1) {
      this.#countRest(row, request.offsetBytes, request.lengthBytes);
    }
  }

  /** Counts a discard or write-zeroes in every cell that it reaches. */
  countRanges(request: BlkRequest): void {
    const row = request.op === OP_DISCARD ? MAP_DISCARDS * MAP_CELLS : MAP_WRITES * MAP_CELLS;
    for (let range = 0; range < request.rangeCount; range++) {
      const lengthBytes = request.rangeLengthBytes[range]!;
      if (lengthBytes === 0) continue;
      const offsetBytes = request.rangeOffsetBytes[range]!;
      this.#counts[row + Math.floor(offsetBytes * this.#cellsPerByte)]!++;
      this.#countRest(row, offsetBytes, lengthBytes);
    }
  }

  /** All cells but the first. */
  #countRest(row: number, offsetBytes: number, lengthBytes: number): void {
    const first = Math.floor(offsetBytes * this.#cellsPerByte);
    const end = Math.ceil((offsetBytes + lengthBytes) * this.#cellsPerByte);
    for (let cell = first + 1; cell < end; cell++) this.#counts[row + cell]!++;
  }
}

function foldRow(row: Uint32Array): void {
  const half = row.length / 2;
  for (let cell = 0; cell < half; cell++) row[cell] = row[2 * cell]! + row[2 * cell + 1]!;
  row.fill(0, half);
}

/** A map as it is read. */
export interface BlockCounts {
  readonly cellBytes: number;
  readonly reads: Uint32Array;
  readonly writes: Uint32Array;
  readonly discards: Uint32Array;
}

/** The sum of the workers' maps, for a disk of so many bytes. */
export function sumBlockMaps(maps: readonly Uint32Array[], sizeBytes: number): BlockCounts {
  const shift = Math.max(cellShiftFor(sizeBytes), ...maps.map((map) => map[SHIFT_AT]!));
  const cells = Math.min(MAP_CELLS, Math.ceil(sizeBytes / 2 ** shift));
  const row = (index: number) => {
    const sum = new Uint32Array(cells);
    for (const map of maps) {
      const folds = shift - map[SHIFT_AT]!;
      for (let cell = 0; cell < MAP_CELLS; cell++) {
        const to = cell >> folds;
        if (to < cells) sum[to]! += map[index * MAP_CELLS + cell]!;
      }
    }
    return sum;
  };
  return {
    cellBytes: 2 ** shift,
    reads: row(MAP_READS),
    writes: row(MAP_WRITES),
    discards: row(MAP_DISCARDS),
  };
}
