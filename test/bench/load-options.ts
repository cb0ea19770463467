/**
 * The load generator's command line, parsed and checked. Everything that shapes the load is here, so that a
 * result can be repeated from the options printed with it.
 */
import { parseArgs } from 'node:util';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { VIRTQUEUE_SIZE_MAX } from '../../protocol/virtio-ring.ts';

export const PAGE_BYTES = 4096;
const MIB = 2 ** 20;
const RING_MIN = 128;
const REGIONS_MAX = 512;
const SIZE_MAX_BYTES = 4 * MIB;

/** Header and status. */
export const EXTRA_DESCRIPTORS = 2;

export type LoadOptions = {
  /** One disk each; every one gets `queues` queues. */
  sockets: readonly string[];
  io: 'read' | 'write' | 'mix';
  order: 'random' | 'sequential';
  /** Requests in flight on each queue. */
  depth: number;
  queues: number;
  sizeBytes: number;
  segments: number;
  indirect: boolean;
  /** Packed rings, of indirect chains only. */
  packed: boolean;
  ringSize: number;
  regions: number;
  /** All regions together; sparse. 0: as much as the load needs, and 256 MiB at least. */
  memoryBytes: number;
  /**
   * Buffers beyond those in flight: requests then change buffers at random, as a guest's do, and headers lie on
   * pages of their own.
   */
  spareBuffers: number;
  /** Only so many blocks of the disk are used, spread evenly over it. 0: all of them. */
  hotBlocks: number;
  /** Only so much of the disk is used. 0: all of it. */
  spanBytes: number;
  eventIdx: boolean;
  /** Has requests in flight recorded (INFLIGHT_SHMFD). */
  inflight: boolean;
  wait: 'sleep' | 'spin';
  verify: boolean;
  seconds: number;
  warmSeconds: number;
  /** How long the generator alone is measured, against the null device. 0: not at all. */
  ceilingSeconds: number;
  seed: number;
  /** The back-end's process, whose CPU time is read; 0: none. */
  backEndPid: number;
};

export const usage = `node test/bench/front-end-load.ts SOCKET... [options]
  --io=read|write|mix        mix: half of each (read)
  --order=random|sequential  (random)
  --depth=N                  requests in flight on each queue (32)
  --queues=N                 queues of each disk (1)
  --size=BYTES               of a request (4096)
  --segments=N               data descriptors of a request (1)
  --direct                   direct chains; else indirect tables
  --packed                   packed rings, with indirect tables and of any size; no ceiling is measured
  --ring=N                   entries of a ring (what the depth needs, 128 at least)
  --regions=N                memory regions that buffers lie in (1)
  --memory-mib=N             guest memory, sparse, over all regions (256 or what is needed)
  --spare=N                  buffers that requests change between at random (0)
  --hot-blocks=N             use only N blocks, spread over the disk (all)
  --span-mib=N               use only the start of the disk (all)
  --no-event-idx             without VIRTIO_RING_F_EVENT_IDX
  --inflight                 requests in flight are recorded (INFLIGHT_SHMFD)
  --wait=sleep|spin          for completions (sleep)
  --verify                   stamp blocks, check every byte that is read
  --seconds=N --warm-seconds=N   (1, 0.3)
  --ceiling-seconds=N        the generator alone, on the null device, first (0.3)
  --seed=N                   (1)
  --pid=PID                  back-end whose CPU time is read
One JSON line is printed. The exit status is 1 when a block was wrong.
`;

export function parseLoadOptions(argv: readonly string[]): LoadOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      io: text,
      order: text,
      depth: text,
      queues: text,
      size: text,
      segments: text,
      direct: flag,
      packed: flag,
      ring: text,
      regions: text,
      'memory-mib': text,
      spare: text,
      'hot-blocks': text,
      'span-mib': text,
      'no-event-idx': flag,
      inflight: flag,
      wait: text,
      verify: flag,
      seconds: text,
      'warm-seconds': text,
      'ceiling-seconds': text,
      seed: text,
      pid: text,
    },
  });
  if (positionals.length === 0) throw new Error('which socket?');
  const whole = (name: keyof typeof values, fallback: number, min: number, max: number) =>
    number(name, values[name] as string | undefined, fallback, min, max, true);
  const seconds = (name: keyof typeof values, fallback: number) =>
    number(name, values[name] as string | undefined, fallback, 0, 3600, false);
  const depth = whole('depth', 32, 1, VIRTQUEUE_SIZE_MAX);
  const segments = whole('segments', 1, 1, 1022);
  return checked({
    sockets: positionals,
    io: oneOf('io', values.io, ['read', 'write', 'mix']),
    order: oneOf('order', values.order, ['random', 'sequential']),
    depth,
    queues: whole('queues', 1, 1, 256),
    sizeBytes: whole('size', PAGE_BYTES, SECTOR_SIZE, SIZE_MAX_BYTES),
    segments,
    indirect: !values.direct,
    packed: values.packed,
    ringSize: whole('ring', ringFor(depth, segments, !values.direct), 1, VIRTQUEUE_SIZE_MAX),
    regions: whole('regions', 1, 1, REGIONS_MAX),
    memoryBytes: whole('memory-mib', 0, 0, 2 ** 24) * MIB,
    spareBuffers: whole('spare', 0, 0, 2 ** 20),
    hotBlocks: whole('hot-blocks', 0, 0, 2 ** 31),
    spanBytes: whole('span-mib', 0, 0, 2 ** 30) * MIB,
    eventIdx: !values['no-event-idx'],
    inflight: values.inflight,
    wait: oneOf('wait', values.wait, ['sleep', 'spin']),
    verify: values.verify,
    seconds: seconds('seconds', 1),
    warmSeconds: seconds('warm-seconds', 0.3),
    ceilingSeconds: seconds('ceiling-seconds', values.verify || values.packed ? 0 : 0.3),
    seed: whole('seed', 1, 1, 2 ** 31),
    backEndPid: whole('pid', 0, 0, 2 ** 31),
  });
}

/** Descriptors of the ring itself that one request takes. */
export function descriptorsInRing(segments: number, indirect: boolean): number {
  return indirect ? 1 : segments + EXTRA_DESCRIPTORS;
}

/** The smallest ring that holds the depth. */
export function ringFor(depth: number, segments: number, indirect: boolean): number {
  const needed = depth * descriptorsInRing(segments, indirect);
  return Math.max(RING_MIN, 2 ** Math.ceil(Math.log2(needed)));
}

function checked(options: LoadOptions): LoadOptions {
  const { depth, segments, indirect, packed, ringSize, sizeBytes } = options;
  const needed = depth * descriptorsInRing(segments, indirect);
  if (!packed && (ringSize & (ringSize - 1)) !== 0)
    throw new Error(`--ring=${ringSize}: no power of two`);
  if (packed && !indirect) throw new Error('--packed: only without --direct');
  if (packed && options.ceilingSeconds > 0)
    throw new Error('--ceiling-seconds: the null device has no packed rings');
  if (needed > ringSize)
    throw new Error(`--depth=${depth} takes ${needed} descriptors, the ring has ${ringSize}`);
  if (sizeBytes % (segments * SECTOR_SIZE) !== 0)
    throw new Error(`--size=${sizeBytes}: ${segments} segments of whole sectors do not make it up`);
  return options;
}

function number(
  name: string,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
  whole: boolean,
): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value)))
    throw new Error(`--${name}=${text}: expected ${min} to ${max}`);
  return value;
}

/** The first is the default. */
function oneOf<const T extends string>(
  name: string,
  text: string | undefined,
  known: readonly [T, ...T[]],
): T {
  if (text === undefined) return known[0];
  const found = known.find((value) => value === text);
  if (found === undefined) throw new Error(`--${name}=${text}: one of ${known.join(', ')}`);
  return found;
}
