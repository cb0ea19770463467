/**
 * Operations of the host-side checker: drawn from a seed as a whole plan, so that any part of it can be
 * played again. An operation's number is the version of what it writes; how it is laid out in memory and how
 * many requests it meets in flight belong to it, too. The guest's side is qemu-examples/disk-checker.
 */
import { VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { stamp } from '../bench/load-stamps.ts';
import { type BlkRequestText, blk } from './mock-driver-blk.ts';
import { type RandomNumbers, randomNumbers } from './random-numbers.ts';
import { randomFraming, randomSkew } from './request-framing.ts';

const SECTOR = 512;
const LARGE_SECTORS = 256;
const SMALL_SECTORS = 16;
const RANGES_USUAL = 4;
const DEPTH_MAX = 16;
/** Half of all operations are in so small a part of the disk: they meet there. */
const HOT_SHARE = 16;

export interface SectorRange {
  readonly sector: number;
  readonly sectors: number;
}

export interface CheckedOperation {
  readonly number: number;
  readonly kind: 'read' | 'write' | 'zeroes' | 'discard' | 'flush';
  readonly queue: number;
  /** One of reads and writes, none of flushes. */
  readonly ranges: readonly SectorRange[];
  /** Zeroes that may become a hole. */
  readonly unmap: boolean;
  /** Offered when fewer than this are in flight. */
  readonly depth: number;
  /** What the layout in memory is drawn from. */
  readonly layout: number;
}

export interface PlanOptions {
  readonly seed: number;
  readonly count: number;
  readonly diskSectors: number;
  readonly queueCount: number;
  /** Ranges of a discard or of zeroes, at most. */
  readonly rangesMax?: number;
}

export function drawOperations(options: PlanOptions): CheckedOperation[] {
  const random = randomNumbers(options.seed);
  return Array.from({ length: options.count }, (_, i) => drawOne(random, i + 1, options));
}

function drawOne(random: RandomNumbers, number: number, options: PlanOptions): CheckedOperation {
  const dice = random(100);
  const kind = kindOf(dice);
  const rangeCount =
    kind === 'zeroes' || kind === 'discard' ? 1 + random(options.rangesMax ?? RANGES_USUAL) : 1;
  const range = () => {
    const room = random(2) === 0 ? options.diskSectors / HOT_SHARE : options.diskSectors;
    const most = Math.min(random(8) === 0 ? LARGE_SECTORS : SMALL_SECTORS, room);
    const sectors = 1 + random(most);
    return { sector: random(room - sectors + 1), sectors };
  };
  return {
    number,
    kind,
    queue: random(options.queueCount),
    ranges: kind === 'flush' ? [] : Array.from({ length: rangeCount }, range),
    unmap: random(2) === 0,
    depth: 1 + random(DEPTH_MAX),
    layout: random(2 ** 31),
  };
}

function kindOf(dice: number): CheckedOperation['kind'] {
  if (dice < 42) return 'write';
  if (dice < 78) return 'read';
  if (dice < 88) return 'zeroes';
  if (dice < 96) return 'discard';
  return 'flush';
}

/** The bytes that an operation writes into a range. */
export function contentOf(operation: number, { sector, sectors }: SectorRange, run: number) {
  const words = new Uint32Array((sectors * SECTOR) / 4);
  stamp(words, sector, operation, run);
  return new Uint8Array(words.buffer);
}

/**
 * The request of an operation, and where it begins behind a whole sector of memory. Plain: one descriptor each for
 * header, data and status.
 */
export function requestOf(operation: CheckedOperation, run: number, plain = false) {
  const random = randomNumbers(operation.layout);
  const whole = plainRequest(operation, run);
  if (plain) return { text: whole, skewBytes: 0 };
  // A third of all requests is as direct I/O wants it.
  const aligned = random(3) === 0;
  const text: BlkRequestText = { ...whole, ...randomFraming(random, whole, aligned) };
  return { text, skewBytes: randomSkew(random, aligned) };
}

function plainRequest(operation: CheckedOperation, run: number): BlkRequestText {
  const { kind, ranges, number, unmap } = operation;
  const [first] = ranges;
  if (first === undefined) return { type: VIRTIO_BLK_T_FLUSH };
  if (kind === 'read') return blk.read(first.sector, first.sectors * SECTOR);
  if (kind === 'write') return blk.write(first.sector, contentOf(number, first, run));
  if (kind === 'discard') return blk.discard(...ranges);
  return blk.writeZeroes(...ranges.map((range) => ({ ...range, flags: unmap ? 1 : 0 })));
}

export function touches({ ranges }: CheckedOperation, sector: number): boolean {
  return ranges.some((range) => sector >= range.sector && sector < range.sector + range.sectors);
}

/** One line of a log. */
export function operationText({ number, kind, queue, ranges, depth }: CheckedOperation): string {
  const places = ranges.map(({ sector, sectors }) => ` ${sector}+${sectors}`).join('');
  return `#${number} queue ${queue} ${kind}${places} (depth ${depth})`;
}
