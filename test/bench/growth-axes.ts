/**
 * What the growth benchmark varies, as data: for each axis its points, and for each point the disks that are served
 * and the load on them. Everything else of the load stays as it is along an axis.
 */
import type { ServedDisks } from './growth-disks.ts';

const GIB = 2 ** 30;
/** Blocks that a hot set has, whatever the image's size: 64 MiB. */
const HOT_BLOCKS = 16_384;
/** Spare buffers: requests wander over all memory, the buffers themselves stay few enough for a cache. */
const SPARE = 1024;

export type GrowthPoint = {
  x: string;
  series: string;
  disks: ServedDisks;
  /** Options of front-end-load.ts. */
  load: readonly string[];
};

export type GrowthAxis = {
  name: string;
  /** What grows, as a chart's title. */
  title: string;
  /** What is measured, in a sentence. */
  what: string;
  points: readonly GrowthPoint[];
};

const cached: ServedDisks = { kind: 'cached', sizeBytes: 256 * 2 ** 20, count: 1, vloop: [] };
const inMemory: ServedDisks = { kind: 'memory', sizeBytes: 256 * 2 ** 20, count: 1, vloop: [] };
const FILE = 'cached file';
const MEMORY = 'memory disk';

const powers = (from: number, to: number, step = 2): number[] =>
  from > to ? [] : [from, ...powers(from * step, to, step)];

/** The same load on a cached file and on a memory disk, which shows the path without the kernel's part. */
function onBoth(x: number, load: readonly string[]): GrowthPoint[] {
  return [
    { x: String(x), series: FILE, disks: cached, load },
    { x: String(x), series: MEMORY, disks: inMemory, load },
  ];
}

const depth: GrowthAxis = {
  name: 'depth',
  title: 'requests in flight',
  what: '4 KiB random reads, one queue',
  points: powers(1, 256).flatMap((n) => onBoth(n, [`--depth=${n}`])),
};

const queues: GrowthAxis = {
  name: 'queues',
  title: 'queues, one worker',
  what: '4 KiB random reads, 32 in flight over all queues together, one worker',
  points: powers(1, 8).flatMap((n) => onBoth(n, [`--queues=${n}`, `--depth=${32 / n}`])),
};

const segments: GrowthAxis = {
  name: 'segments',
  title: 'segments of a 64 KiB request',
  what: '64 KiB random reads in so many buffers that do not touch, depth 16',
  points: powers(1, 128).flatMap((n) =>
    onBoth(n, ['--size=65536', `--segments=${n}`, '--depth=16']),
  ),
};

const regions: GrowthAxis = {
  name: 'regions',
  title: 'memory regions',
  what:
    '4 KiB random reads, depth 32, headers, tables and buffers all over 256 MiB of guest memory in so many ' +
    'regions from 4 GiB up; and, on the memory disk, all over 8 GiB, where the processor walks its page tables more',
  points: powers(1, 64).flatMap((n) => [
    ...onBoth(n, [`--regions=${n}`, `--spare=${SPARE}`]),
    {
      x: String(n),
      series: 'in 8 GiB',
      disks: inMemory,
      load: [`--regions=${n}`, `--spare=${SPARE}`, '--memory-mib=8192'],
    },
  ]),
};

const imageSize: GrowthAxis = {
  name: 'image-size',
  title: 'image size (sparse)',
  what:
    `4 KiB random reads, depth 32, of a sparse file: of ${HOT_BLOCKS} blocks spread evenly over it (holes, read ` +
    'once before, so in the page cache), and of all of it with direct I/O (holes, nothing is cached)',
  points: [1, 16, 128, 1024, 8192].flatMap((gib): GrowthPoint[] => {
    const x = gib < 1024 ? `${gib}G` : `${gib / 1024}T`;
    const sizeBytes = gib * GIB;
    const sparse = (mode: string): ServedDisks => {
      return { kind: 'sparse', sizeBytes, count: 1, vloop: [`--direct-io=${mode}`] };
    };
    const hot = [`--hot-blocks=${HOT_BLOCKS}`];
    return [
      { x, series: 'hot blocks, cached', disks: sparse('off'), load: hot },
      { x, series: 'holes, direct I/O', disks: sparse('on'), load: [] },
    ];
  }),
};

const disks: GrowthAxis = {
  name: 'disks',
  title: 'disks of one process',
  what: '4 KiB random reads of cached files, 64 in flight over all disks together, one worker a disk',
  points: powers(1, 64, 4).map((count) => ({
    x: String(count),
    series: FILE,
    disks: { kind: 'cached', sizeBytes: 8 * 2 ** 20, count, vloop: [] },
    load: [`--depth=${64 / count}`],
  })),
};

export const growthAxes: readonly GrowthAxis[] = [
  depth,
  queues,
  segments,
  regions,
  imageSize,
  disks,
];
