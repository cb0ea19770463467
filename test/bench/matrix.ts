/**
 * The rows of the benchmark: which client does what to which file, and what vloop is measured against there. The
 * quick suite holds the rows that targets.ts judges, and one of a client that nobody here wrote; the full suite the
 * whole matrix.
 */
import type { ClientName } from './client.ts';
import { type Operation, type Workload, workload, workloadName } from './workload.ts';

export const fileKinds = ['large pieces', 'small pieces', 'direct', 'tmpfs', 'memory'] as const;
/**
 * `large pieces`, `small pieces`: an ext4 file in the page cache, see CachePieces; `direct`: the same file through
 * O_DIRECT; `memory`: vloop's own memory disk, which no peer has.
 */
export type FileKind = (typeof fileKinds)[number];

/** qemu-storage-daemon by its aio=, and `host`: fio straight on the file, no virtual disk between. */
export const opponentNames = ['io_uring', 'threads', 'native', 'host'] as const;
export type OpponentName = (typeof opponentNames)[number];

export type Row = {
  readonly file: FileKind;
  readonly client: ClientName;
  readonly workload: Workload;
  /** The main peer first; none for a memory disk. */
  readonly against: readonly OpponentName[];
  /** vloop's options for this row. */
  readonly vloop: readonly string[];
};

export type Suite = 'quick' | 'full';

const KIB = 1024;
const MAIN: readonly OpponentName[] = ['io_uring'];
const WITH_HOST: readonly OpponentName[] = ['io_uring', 'host'];
const POLLING: Partial<Workload> = { wait: 'spin' };
/** The client polls, because its own timer would be later than most answers are. */
const FIXED_RATE: Partial<Workload> = { ratePerSecond: 30_000, wait: 'spin' };
const FOUR_QUEUES: Partial<Workload> = { queues: 4 };
/** The client keeps the first processor. */
const PINNED_AND_POLLING = ['--cpus=1', '--poll-us=1000'];

/** vloop asks for processors that do not sleep; the opponents run without. */
export const AWAKE = '--cpu-latency-us=0';

/** The usual client goes without saying. */
export function workloadAndClient({ client, workload: asked, vloop }: Row): string {
  const further = [client === 'blkio' ? '' : client, vloop.includes(AWAKE) ? AWAKE : ''];
  return [workloadName(asked), ...further.filter((text) => text !== '')].join(', ');
}

export function rowName(row: Row): string {
  return `${row.file}: ${workloadAndClient(row)}`;
}

function row(
  file: FileKind,
  asked: Workload,
  against: readonly OpponentName[] = MAIN,
  vloop: readonly string[] = [],
): Row {
  return { file, client: 'blkio', workload: asked, against, vloop };
}

const random = (operation: Operation, depth: number, further: Partial<Workload> = {}) =>
  workload(operation, 4 * KIB, depth, further);

function awakeRows(): Row[] {
  const against = (depth: number) => (depth === 32 ? WITH_HOST : MAIN);
  return [1, 4, 32].map((depth) =>
    row('large pieces', random('randread', depth), against(depth), [AWAKE]),
  );
}

export function quickRows(): Row[] {
  return [
    row('large pieces', random('randread', 1)),
    row('large pieces', random('randread', 4)),
    row('large pieces', random('randread', 32), WITH_HOST),
    row('large pieces', random('randread', 128)),
    ...awakeRows(),
    row('large pieces', workload('read', 128 * KIB, 16)),
    row('large pieces', random('randread', 1, POLLING)),
    row('large pieces', random('randread', 8, FIXED_RATE)),
    { ...row('large pieces', random('randread', 32)), client: 'qemu-img' },
    row('large pieces', random('randread', 32, FOUR_QUEUES), MAIN, ['--workers=2']),
    row('small pieces', random('randwrite', 32)),
    row('small pieces', workload('write', 128 * KIB, 16)),
    row('direct', random('randread', 32), WITH_HOST),
    row('direct', random('randread', 128), WITH_HOST),
    row('tmpfs', random('randread', 32)),
    row('tmpfs', random('randwrite', 32)),
    row('memory', random('randread', 1, POLLING), [], PINNED_AND_POLLING),
    row('memory', random('randread', 32, POLLING), [], PINNED_AND_POLLING),
  ];
}

/** Every peer that can serve the file: Linux AIO needs direct I/O. */
function allOpponents(file: FileKind): readonly OpponentName[] {
  return file === 'direct'
    ? ['io_uring', 'native', 'threads', 'host']
    : ['io_uring', 'threads', 'host'];
}

const DEPTHS = [1, 4, 32, 128];
const FILES = ['large pieces', 'small pieces', 'direct', 'tmpfs'] as const;

function depthRows(file: FileKind): Row[] {
  return (['randread', 'randwrite', 'randrw'] as const).flatMap((operation) =>
    DEPTHS.map((depth) => row(file, random(operation, depth), allOpponents(file))),
  );
}

function sequentialRows(file: FileKind): Row[] {
  return (['read', 'write'] as const).flatMap((operation) =>
    [64, 128].map((kib) => row(file, workload(operation, kib * KIB, 16), allOpponents(file))),
  );
}

/** What a disk is asked besides reads and writes, and clients of other kinds. */
function furtherRows(file: FileKind): Row[] {
  return [
    row(file, random('writeflush', 8)),
    row(file, random('randread', 1, POLLING)),
    row(file, random('randread', 8, FIXED_RATE)),
    row(file, random('randread', 8, { ratePerSecond: 30_000 })),
    { ...row(file, random('randread', 32)), client: 'qemu-img' },
    { ...row(file, random('randwrite', 32)), client: 'qemu-img' },
    row(file, random('randread', 32, { queues: 2 }), MAIN, ['--workers=2']),
    row(file, random('randread', 32, FOUR_QUEUES), MAIN, ['--workers=2']),
    row(file, random('randwrite', 32, FOUR_QUEUES), MAIN, ['--workers=2']),
    // Last: it leaves holes, which cacheImage fills before the next row.
    row(file, workload('discard', 64 * KIB, 8)),
  ];
}

/** What the data path costs when no file is behind it. */
function memoryRows(): Row[] {
  return [
    ...DEPTHS.map((depth) => row('memory', random('randread', depth), [])),
    ...DEPTHS.map((depth) =>
      row('memory', random('randread', depth, POLLING), [], PINNED_AND_POLLING),
    ),
    row('memory', workload('flush', 4 * KIB, 32, POLLING), [], PINNED_AND_POLLING),
  ];
}

export function fullRows(): Row[] {
  return [
    ...FILES.flatMap((file) => [...depthRows(file), ...sequentialRows(file), ...furtherRows(file)]),
    ...awakeRows(),
    ...memoryRows(),
  ];
}

export function rowsOf(suite: Suite): Row[] {
  return suite === 'quick' ? quickRows() : fullRows();
}

/** Rows with equal answers run on the same set of back-ends: the two kinds of cached file are one file. */
export function backEndsOf({ file, vloop }: Row): string {
  const cached = file === 'large pieces' || file === 'small pieces';
  return [cached ? 'cached' : file, ...vloop].join(' ');
}
