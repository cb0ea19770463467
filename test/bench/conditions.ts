/**
 * The conditions of a benchmark: figures without the machine, the versions and the file system they were taken on
 * cannot be compared with anything.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../support/bounded-process.ts';
import type { TrixieRoot } from '../support/trixie-root.ts';
import { othersShare, sampleLoad } from './machine-load.ts';

export type Conditions = {
  cpu: string;
  memoryGib: number;
  kernel: string;
  /** What other processes used of all processors, in the second before the start. */
  othersBefore: number;
  fileSystem: string;
  imageMib: number;
  /** A process of the benchmark keeps one processor busy. */
  busy: boolean;
  node: string;
  peer: string;
  fio: string;
  fioEngine: string;
  commit: string;
  date: string;
};

const FILE_SYSTEMS = new Map([
  [0xef53, 'ext2/3/4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
]);

const COMMAND_TIMEOUT_MS = 10_000;

export async function readConditions(
  root: TrixieRoot,
  imagePath: string,
  { imageMib, busy }: { imageMib: number; busy: boolean },
): Promise<Conditions> {
  const processors = cpus();
  return {
    cpu: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}`,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: `Linux ${release()}`,
    othersBefore: await loadBefore(),
    fileSystem: fileSystem(imagePath),
    imageMib,
    busy,
    node: await firstLine([process.execPath, '--version']),
    peer: await firstLine(root.argv(['qemu-storage-daemon', '--version'])),
    fio: await firstLine(root.argv(['fio', '--version'])),
    fioEngine: await fioEngine(root),
    commit: await commit(),
    date: new Date().toISOString(),
  };
}

/** The mount's own word where /proc tells it, the magic number's meaning otherwise. */
export function fileSystem(path: string): string {
  const { type } = statfsSync(path);
  const magic = Number(type);
  const mounts = readFileSync('/proc/self/mounts', 'latin1')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, point]) => point !== undefined && `${path}/`.startsWith(point.replace(/\/?$/, '/')))
    .toSorted((a, b) => (b[1]?.length ?? 0) - (a[1]?.length ?? 0));
  return mounts[0]?.[2] ?? FILE_SYSTEMS.get(magic) ?? `type 0x${magic.toString(16)}`;
}

/** fio could be a second client that nobody here wrote, where it is built with libblkio; Debian 13 builds it without. */
async function fioEngine(root: TrixieRoot): Promise<string> {
  const { status } = await run(root.argv(['fio', '--enghelp=libblkio']), COMMAND_TIMEOUT_MS);
  return status === 0
    ? 'no client: fio, though its libblkio engine is here'
    : 'no client: fio, which Debian builds without its libblkio engine';
}

async function loadBefore(): Promise<number> {
  const before = sampleLoad([]);
  await sleep(1000);
  return othersShare(before, sampleLoad([]));
}

export async function commit(): Promise<string> {
  const hash = await firstLine(['git', 'rev-parse', '--short=12', 'HEAD']);
  const changed = await firstLine(['git', 'status', '--porcelain', '--', 'src', 'protocol']);
  return hash === '' ? 'unknown' : `${hash}${changed === '' ? '' : ' with changes'}`;
}

async function firstLine(argv: readonly string[]): Promise<string> {
  const { stdout } = await run(argv, COMMAND_TIMEOUT_MS);
  return stdout.trim().split('\n')[0] ?? '';
}
