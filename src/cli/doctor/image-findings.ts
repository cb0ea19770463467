/**
 * What would be done with a given image, found out by opening it as `vloop serve` does, and who holds it. Nothing is
 * written and no lock is taken.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chooseEngine } from '../../backing/choose-engine.ts';
import { imageNotes } from '../../backing/image-notes.ts';
import { BackingError, type OpenBacking, openBacking } from '../../backing/open-backing.ts';
import type { Finding } from '../../control/schema/doctor-report.ts';
import { closeFile, inspectFile } from '../../sys/block-file.ts';
import type { Attempt, MachineFacts } from './findings.ts';

const DEFAULT_BLOCK_BYTES = 512;
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4 (or ext2, ext3)'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
  [0x6969, 'nfs'],
  [0x65735546, 'fuse'],
]);

export interface LockHolder {
  readonly pid: number;
  readonly command: string;
  readonly writes: boolean;
}

/** From /proc/PID/fdinfo/FD: whether the descriptor holds a lock of an open file, and whether it is for writing. */
export function lockOf(fdinfo: string): 'read' | 'write' | null {
  const kind = /^lock:\s+\d+:\s+OFDLCK\s+\S+\s+(READ|WRITE)\b/m.exec(fdinfo)?.[1];
  return kind === undefined ? null : kind === 'WRITE' ? 'write' : 'read';
}

/** Processes, as far as this user may look into them, that hold a lock on the file. */
export function lockHolders(path: string): LockHolder[] {
  const { dev, ino } = statSync(path);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => holderAt(pid, dev, ino) ?? []);
}

function holderAt(pid: string, dev: number, ino: number): LockHolder | null {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const file = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
      if (file?.ino !== ino || file.dev !== dev) continue;
      const lock = lockOf(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'));
      if (lock === null) continue;
      const command = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
      return { pid: Number(pid), command, writes: lock === 'write' };
    }
  } catch {
    // Ended meanwhile, or not for this user to look into.
  }
  return null;
}

/** The image as it would be served with `vloop serve IMAGE`. */
export function imageFindings(path: string, machine: MachineFacts): Finding[] {
  let backing: OpenBacking;
  try {
    const blockSizeBytes = DEFAULT_BLOCK_BYTES;
    const settings = {
      offsetBytes: 0,
      sizeLimitBytes: 0,
      blockSizeBytes,
      directIo: 'auto',
    } as const;
    backing = openBacking({ path, readOnly: false, lock: false, bufferedTransfer: null, settings });
  } catch (error) {
    if (!(error instanceof BackingError)) throw error;
    const means = 'it cannot be served like this';
    return [{ subject: 'image', level: 'problem', says: error.message, means }];
  }
  try {
    return [
      ...fileFindings(backing, machine),
      ...imageNotes(path, backing.settings).map(noteFinding),
      lockFinding(lockHolders(path)),
    ];
  } finally {
    closeFile(backing.fd);
  }
}

function fileFindings(backing: OpenBacking, { uring, aio }: MachineFacts): Finding[] {
  const facts = inspectFile(backing.fd, backing.path);
  const system = FILE_SYSTEMS.get(facts.fileSystemMagic);
  const where =
    facts.kind === 'block'
      ? `a block device with sectors of ${facts.logicalSectorBytes} bytes`
      : `a file on ${system ?? `a file system of type 0x${facts.fileSystemMagic.toString(16)}`}`;
  const align =
    facts.directOffsetAlignBytes === null
      ? 'the kernel does not say what direct I/O has to be aligned to (STATX_DIOALIGN)'
      : `direct I/O: memory at ${facts.directMemoryAlignBytes}, offsets at ${facts.directOffsetAlignBytes} bytes`;
  const choice = chooseEngine({
    requested: 'auto',
    requestedPath: 'auto',
    uringRefusal: refusal('io_uring', uring),
    aioRefusal: refusal('Linux AIO', aio),
    direct: backing.direct,
    inMemory: backing.inMemory,
    readsWithoutWaiting: backing.readsWithoutWaiting,
  });
  if (typeof choice === 'string') throw new BackingError('EINVAL', choice);
  const mode = backing.direct ? 'direct' : 'buffered';
  const note = backing.direct || backing.inMemory ? 'ok' : 'note';
  return [
    {
      subject: 'image',
      level: 'ok',
      says: `${where}, ${backing.fileSizeBytes} bytes`,
      means: align,
    },
    {
      subject: 'mode',
      level: note,
      says: `${mode}: ${backing.directReason}`,
      means: backing.direct
        ? 'no second copy in the page cache of this machine'
        : 'reads and writes go through the page cache of this machine',
    },
    {
      subject: 'engine',
      level: 'ok',
      says: `${choice.engine}: ${choice.engineReason}`,
      means: choice.pathReason,
    },
  ];
}

function noteFinding(note: string): Finding {
  const [says, means] = note.split(/ [(](.*)[)]$/);
  return { subject: 'content', level: 'note', says: says!, means: means ?? 'nothing else is lost' };
}

const refusal = (what: string, attempt: Attempt) =>
  attempt === 'ok' ? null : `${what} is refused (${attempt})`;

function lockFinding(holders: readonly LockHolder[]): Finding {
  const subject = 'lock';
  if (holders.length === 0) {
    const means = 'it can be served; another vloop is kept out from then on';
    return { subject, level: 'ok', says: 'nobody holds it', means };
  }
  const says = holders
    .map(
      ({ pid, command, writes }) => `process ${pid} (${command}) ${writes ? 'writes' : 'reads'} it`,
    )
    .join(', ');
  const means = holders.some(({ writes }) => writes)
    ? 'it cannot be served a second time until that has ended'
    : 'it can be served with --read-only only';
  return { subject, level: 'problem', says, means };
}
