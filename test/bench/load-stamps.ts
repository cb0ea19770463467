/**
 * The content of blocks in verify mode: every sector says which sector it is, how often it was written and in which
 * run, and all its other words follow from these. A sector that was lost, torn, mixed up or left from another run
 * shows itself, and mostly says what it is instead. Pure.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';

const SECTOR_WORDS = SECTOR_SIZE / 4;
const TWO_TO_32 = 2 ** 32;
/** Sector low and high, generation, run. */
const NAME_WORDS = 4;

function fillerSeed(sector: number, generation: number, run: number): number {
  const mixed = Math.imul(sector | 0, 0x9e3779b1) ^ Math.imul(generation, 0x85ebca6b);
  return (mixed ^ Math.imul(run, 0xc2b2ae35)) | 0;
}

/** Fills whole sectors, the first of which is `sector`. */
export function stamp(words: Uint32Array, sector: number, generation: number, run: number): void {
  for (let at = 0; at < words.length; at += SECTOR_WORDS, sector++) {
    words[at] = sector % TWO_TO_32;
    words[at + 1] = sector / TWO_TO_32;
    words[at + 2] = generation;
    words[at + 3] = run;
    let filler = fillerSeed(sector, generation, run);
    for (let i = NAME_WORDS; i < SECTOR_WORDS; i++) {
      filler = (Math.imul(filler, 0x19660d) + 0x3c6ef35f) | 0;
      words[at + i] = filler;
    }
  }
}

/** Which sector of the buffer is not as stamped; -1 when all are. */
export function wrongSector(
  words: Uint32Array,
  sector: number,
  generation: number,
  run: number,
): number {
  for (let at = 0; at < words.length; at += SECTOR_WORDS, sector++) {
    const named =
      words[at] === sector % TWO_TO_32 &&
      words[at + 1] === Math.floor(sector / TWO_TO_32) &&
      words[at + 2] === generation &&
      words[at + 3] === run;
    if (!named) return at / SECTOR_WORDS;
    let filler = fillerSeed(sector, generation, run);
    for (let i = NAME_WORDS; i < SECTOR_WORDS; i++) {
      filler = (Math.imul(filler, 0x19660d) + 0x3c6ef35f) | 0;
      if (words[at + i] !== filler >>> 0) return at / SECTOR_WORDS;
    }
  }
  return -1;
}

/** What a wrong sector says of itself. */
export function describeSector(words: Uint32Array, index: number, run: number): string {
  const at = index * SECTOR_WORDS;
  const [low, high, generation, of] = words.subarray(at, at + NAME_WORDS);
  const sector = high! * TWO_TO_32 + low!;
  if (words.subarray(at, at + SECTOR_WORDS).every((word) => word === 0)) return 'zeroes';
  if (of !== run) return 'content that this run did not write';
  return wrongSector(words.subarray(at, at + SECTOR_WORDS), sector, generation!, run) < 0
    ? `sector ${sector}, generation ${generation}`
    : 'a torn or damaged sector';
}
