/**
 * Settings of a disk that change while a guest runs: offset, size limit, block size, direct I/O (LOOP_SET_STATUS64,
 * LOOP_SET_BLOCK_SIZE, LOOP_SET_DIRECT_IO of the kernel's loop driver). All that is asked for, or nothing: everything
 * that can be refused is, before the disk stands still; then nothing is in flight, and no request sees two settings.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../protocol/errno.ts';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import {
  BackingError,
  decideAgain,
  type OpenBacking,
  requireBlock,
} from '../backing/open-backing.ts';
import { ControlError, type ControlErrorCode } from '../control/controlled-disk.ts';
import { type DiskSettings, diskSizeBytes } from '../loop/geometry.ts';
import { type LifecycleOperation, lifecycleRefusal } from '../loop/lifecycle.ts';
import { dropCachedPages, fileSizeBytes, setDirectFlag } from '../sys/block-file.ts';
import { chooseAgain, type OpenDisk, physicalBlockBytes } from './disk.ts';
import { syncFile } from './disk-lease.ts';
import { tellNewSize } from './resize.ts';
import type { ServedDisk } from './served-disk.ts';

/** How long requests in flight may take to end. */
export const QUIESCE_LIMIT_MS = 5000;
/** What is in the page cache has to be written: that may take long, but whoever asks does not wait for ever. */
const SYNC_LIMIT_MS = 20_000;

const CODES: ReadonlySet<string> = new Set([
  'EACCES',
  'EBUSY',
  'EINVAL',
  'EIO',
  'ENOENT',
  'EPERM',
  'EBADF',
] satisfies ControlErrorCode[]);

/** Throws what the disk's state refuses. */
export function requireState({ server }: ServedDisk, operation: LifecycleOperation): void {
  const state = server.closed ? 'deleting' : server.stopping ? 'rundown' : 'bound';
  const refusal = lifecycleRefusal(state, operation);
  if (refusal !== null) throw new ControlError(refusal.code, refusal.message);
}

export function requireFile({ open }: ServedDisk): OpenBacking {
  if (open.backing !== null) return open.backing;
  throw new ControlError('EINVAL', 'the disk is in memory: it has no file whose use could change');
}

/** What a file refuses, as the control plane says it. */
export async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BackingError)) throw error;
    const code = CODES.has(error.code) ? (error.code as ControlErrorCode) : 'EINVAL';
    throw new ControlError(code, error.message);
  }
}

export function capacityBytes({ open }: ServedDisk): number {
  return open.disk.shape.capacitySectors * SECTOR_SIZE;
}

/** Takes other settings. Throws ControlError; then nothing has changed. */
export function changeSettings(served: ServedDisk, wish: Partial<DiskSettings>): Promise<void> {
  return served.open.turn.take(() => refusing(() => change(served, wish)));
}

async function change(served: ServedDisk, wish: Partial<DiskSettings>): Promise<void> {
  requireState(served, 'set_status');
  const { open } = served;
  const backing = requireFile(served);
  const settings = { ...backing.settings, ...wish };
  const keys = Object.keys(settings) as Array<keyof DiskSettings>;
  if (keys.every((key) => settings[key] === backing.settings[key])) return;
  if (settings.blockSizeBytes !== backing.settings.blockSizeBytes) requireNobody(served);
  requireUnits(open, settings);
  requireBlock(backing.path, fileSizeBytes(backing.fd), settings);
  const decision = decideAgain(backing, settings);
  if (settings.directIo === 'on' && !decision.direct) {
    throw new ControlError('EINVAL', `direct_io=true: ${decision.reason}`);
  }
  const { direct, reason: directReason, memoryAlignBytes, offsetAlignBytes } = decision;
  const next = { ...backing, settings, direct, directReason, memoryAlignBytes, offsetAlignBytes };
  const choice = chooseAgain(open, next);
  if (typeof choice === 'string') throw new ControlError('EINVAL', choice);
  // The long part of it while requests go on.
  await mustSync(backing);
  const oldBytes = capacityBytes(served);
  await whileStill(served, async () => {
    await mustSync(backing);
    dropCachedPages(backing.fd);
    const flagged = setDirectFlag(backing.fd, next.direct);
    if (flagged < 0) {
      throw new ControlError('EINVAL', `the file system refuses O_DIRECT (${errnoName(flagged)})`);
    }
    await switchTo(open, { ...open, backing: next, choice }, false);
  });
  tellChange(served, oldBytes);
}

/** A transfer module takes whole units, counted from the file's start. */
function requireUnits({ transfer }: OpenDisk, { offsetBytes, blockSizeBytes }: DiskSettings): void {
  const unit = transfer?.traits.unitBytes ?? 1;
  if (offsetBytes % unit === 0 && blockSizeBytes % unit === 0) return;
  throw new ControlError(
    'EINVAL',
    `offset=${offsetBytes} block_size=${blockSizeBytes}: expected multiples of ${unit}, the unit of transfer ${transfer!.name}`,
  );
}

/** A driver learns the block size when it negotiates, and a front-end (QEMU) when it connects: no message tells them. */
function requireNobody({ server }: ServedDisk): void {
  if (server.connection === null) return;
  throw new ControlError(
    'EBUSY',
    'block_size: a front-end is connected, and would not learn of another one: change it before the next connects',
  );
}

/** Throws ControlError when the file cannot be made durable, or not in time: then nothing is changed. */
export async function mustSync({ fd, readOnly, path }: OpenBacking): Promise<void> {
  if (readOnly) return;
  const late = new AbortController();
  const limit = sleep(SYNC_LIMIT_MS, null, { signal: late.signal }).catch(() => null);
  const result = await Promise.race([syncFile(fd), limit]);
  late.abort();
  if (result === 0) return;
  if (result === null) {
    throw new ControlError(
      'EBUSY',
      `backing file ${path}: not durable after ${SYNC_LIMIT_MS / 1000} s of fdatasync: nothing has changed`,
    );
  }
  throw new ControlError(
    'EIO',
    `backing file ${path}: cannot be made durable (${errnoName(result)})`,
  );
}

/**
 * Does `work` while nothing of the disk is in flight. Told before: whoever would start the disk again after a crash
 * must not do so with what it was. A process that is killed has told it, because that is in the socket by then.
 */
export async function whileStill(
  { open, emit }: ServedDisk,
  work: () => Promise<void>,
): Promise<void> {
  const refusal = await open.disk.freeze.during(QUIESCE_LIMIT_MS, async () => {
    emit('disk_changing');
    try {
      await work();
    } finally {
      emit('disk_changed');
    }
  });
  if (refusal !== null) throw new ControlError('EBUSY', `${refusal}: nothing has changed`);
}

/**
 * Every worker uses the file in another way, or (`anew`) another file, from the next request on. Throws ControlError
 * when one cannot, and all go on as before.
 */
export async function switchTo(
  open: OpenDisk,
  to: Pick<OpenDisk, 'backing' | 'choice'>,
  anew: boolean,
): Promise<void> {
  const before = { backing: open.backing, choice: open.choice };
  const failure = await ask(open, to, anew);
  if (failure !== null) {
    await ask(open, before, false);
    throw new ControlError('EINVAL', failure);
  }
  open.backing = to.backing;
  open.choice = to.choice;
  const { fd, settings, hostBlockBytes } = to.backing!;
  const sizeBytes = diskSizeBytes({ fileSizeBytes: fileSizeBytes(fd), ...settings });
  const { blockSizeBytes } = settings;
  const physical = physicalBlockBytes(hostBlockBytes, blockSizeBytes);
  await open.disk.reshape({
    capacitySectors: sizeBytes / SECTOR_SIZE,
    blockSizeBytes,
    physicalBlockBytes: physical,
    discardGranularityBytes: physical,
  });
}

async function ask(
  { workers }: OpenDisk,
  { backing, choice }: Pick<OpenDisk, 'backing' | 'choice'>,
  anew: boolean,
): Promise<string | null> {
  const { direct, memoryAlignBytes, offsetAlignBytes, settings } = backing!;
  const { path } = choice;
  const fileOffsetBytes = settings.offsetBytes;
  const use = { path, fileOffsetBytes, direct, memoryAlignBytes, offsetAlignBytes };
  const answers = await workers.askAll({ kind: 'switchBacking', use, anew });
  return answers.find((answer) => typeof answer === 'string') ?? null;
}

export function tellChange(served: ServedDisk, oldBytes: number): void {
  const { settings, direct, directReason, path } = served.open.backing!;
  served.log.info({ file: path, ...settings, direct, directReason }, 'the disk was changed');
  if (capacityBytes(served) !== oldBytes) tellNewSize(served, oldBytes);
}
