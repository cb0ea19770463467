/**
 * What a disk may legally hold, sector by sector, while requests overlap. Each sector has candidates: the
 * writes that it may hold. A write that completed replaces all that completed before it was offered; of two in
 * flight together either may stay; a discard leaves what was there or zeroes (virtio 1.3 §5.2.6.2, and what
 * vloop promises); once a read that met no write has seen a candidate, the others are out. A read with a write in
 * flight may find parts of both, any other one finds a sector whole. A completed flush keeps all that had
 * completed before it was offered. The same rules as qemu-examples/disk-checker/model.h.
 */
import { describeSector } from '../bench/load-stamps.ts';
import { type CheckedOperation, contentOf } from './checker-operations.ts';

const SECTOR = 512;
const ZEROES = new Uint8Array(SECTOR);
const NEVER = Number.POSITIVE_INFINITY;

interface Version {
  readonly number: number;
  readonly isZeroes: boolean;
  /** What was there before may stay: a discard. */
  readonly replaces: boolean;
  readonly started: number;
  ended: number;
}

interface Candidate {
  readonly version: Version;
  /** A read that starts later does not see it; nor does a flush that starts later keep it. */
  deadSince: number;
}

export interface Mismatch {
  readonly sector: number;
  readonly text: string;
}

/** The zeroes that a new disk holds. */
const FIRST: Version = { number: 0, isZeroes: true, replaces: true, started: 0, ended: 0 };

export class DiskModel {
  readonly #run: number;
  readonly #sectors: Candidate[][];
  readonly #inFlight = new Map<number, Version>();
  #clock = 1;
  /** When the last flush that succeeded was offered. */
  #flushedAt = 0;

  /** A disk of zeroes; `run` tells its content from another run's. */
  constructor(sectorCount: number, run: number) {
    this.#run = run;
    this.#sectors = Array.from({ length: sectorCount }, () => [
      { version: FIRST, deadSince: NEVER },
    ]);
  }

  /** The operation becomes visible to the device. */
  begin({ number, kind, ranges }: CheckedOperation): void {
    const isZeroes = kind !== 'write';
    const replaces = kind !== 'discard';
    const version = { number, isZeroes, replaces, started: this.#clock++, ended: NEVER };
    if (kind === 'write' || kind === 'zeroes' || kind === 'discard') {
      const horizon = Math.min(this.#oldestStart(), this.#flushedAt);
      this.#each(ranges, (candidates, sector) => {
        const kept = candidates.filter(({ deadSince }) => deadSince >= horizon);
        // Ranges of one request may overlap.
        if (kept.at(-1)?.version !== version) kept.push({ version, deadSince: NEVER });
        this.#sectors[sector] = kept;
      });
    }
    this.#inFlight.set(number, version);
  }

  /** It was answered with success. What a read brought is checked. */
  end(operation: CheckedOperation, data: Uint8Array): Mismatch | null {
    const version = this.#inFlight.get(operation.number)!;
    this.#inFlight.delete(operation.number);
    version.ended = this.#clock++;
    if (operation.kind === 'flush') this.#flushedAt = Math.max(this.#flushedAt, version.started);
    else if (operation.kind === 'read') return this.#checkRead(operation, version, data);
    else if (version.replaces) this.#replace(operation, version);
    return null;
  }

  /**
   * Where an image differs from what may be there. After everything that `completed`, or (after a loss of
   * power) only what a flush has covered; what is in flight may be there or not.
   */
  difference(image: Uint8Array, after: 'completed' | 'flushed'): Mismatch | null {
    const since = after === 'completed' ? this.#clock : this.#flushedAt;
    for (const [sector, candidates] of this.#sectors.entries()) {
      const bytes = image.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      const legal = candidates.filter(({ deadSince }) => deadSince >= since);
      if (!legal.some(({ version }) => this.#holds(version, sector, bytes))) {
        return this.#mismatch(sector, legal, bytes);
      }
    }
    return null;
  }

  #oldestStart(): number {
    let oldest = this.#clock;
    for (const { started } of this.#inFlight.values()) oldest = Math.min(oldest, started);
    return oldest;
  }

  #each(
    ranges: CheckedOperation['ranges'],
    visit: (candidates: Candidate[], sector: number) => void,
  ): void {
    for (const { sector, sectors } of ranges) {
      for (let at = sector; at < sector + sectors; at++) visit(this.#sectors[at]!, at);
    }
  }

  #replace({ ranges }: CheckedOperation, by: Version): void {
    this.#each(ranges, (candidates) => {
      for (const candidate of candidates) {
        if (candidate.version.ended >= by.started) continue;
        candidate.deadSince = Math.min(candidate.deadSince, by.ended);
      }
    });
  }

  #checkRead({ ranges }: CheckedOperation, read: Version, data: Uint8Array): Mismatch | null {
    const [range] = ranges;
    for (let i = 0; i < range!.sectors; i++) {
      const sector = range!.sector + i;
      const bytes = data.subarray(i * SECTOR, (i + 1) * SECTOR);
      const all = this.#sectors[sector]!;
      const legal = all.filter(({ deadSince }) => deadSince >= read.started);
      const seen = legal.find(({ version }) => this.#holds(version, sector, bytes));
      const quiet = legal.every(({ version }) => version.ended < read.started);
      if (seen === undefined) {
        if (!quiet && this.#isMixture(legal, sector, bytes)) continue;
        return this.#mismatch(sector, legal, bytes);
      }
      if (!quiet) continue;
      for (const other of legal) {
        if (other !== seen) other.deadSince = Math.min(other.deadSince, read.ended);
      }
    }
    return null;
  }

  #bytesOf({ number, isZeroes }: Version, sector: number): Uint8Array {
    return isZeroes ? ZEROES : contentOf(number, { sector, sectors: 1 }, this.#run);
  }

  #holds(version: Version, sector: number, bytes: Uint8Array): boolean {
    return Buffer.compare(this.#bytesOf(version, sector), bytes) === 0;
  }

  #isMixture(legal: readonly Candidate[], sector: number, bytes: Uint8Array): boolean {
    const contents = legal.map(({ version }) => this.#bytesOf(version, sector));
    return bytes.every((byte, at) => contents.some((content) => content[at] === byte));
  }

  #mismatch(sector: number, legal: readonly Candidate[], bytes: Uint8Array): Mismatch {
    const expected = legal.map(({ version: { number, isZeroes } }) =>
      number === 0 ? 'zeroes' : `${isZeroes ? 'the zeroes' : 'the data'} of #${number}`,
    );
    const words = new Uint32Array(Uint8Array.from(bytes).buffer);
    const got = describeSector(words, 0, this.#run).replace(', generation ', ' as written by #');
    return { sector, text: `sector ${sector}: expected ${expected.join(' or ')}, got ${got}` };
  }
}
