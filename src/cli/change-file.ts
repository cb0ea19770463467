/**
 * The file under a running disk becomes another one: LOOP_CHANGE_FD, by the kernel's rules (a read-only disk, the
 * same size), and on request under a writable disk that stands still for it. The descriptor's number stays (dup3),
 * so that whatever names the file by it (calls, I/O threads, Linux AIO, the lock, a hand-over) has the new one at
 * once; an io_uring registers it anew.
 */

import { errnoName } from '../../protocol/errno.ts';
import { lockBacking, type OpenBacking, openBacking } from '../backing/open-backing.ts';
import { ControlError } from '../control/controlled-disk.ts';
import { diskSizeBytes } from '../loop/geometry.ts';
import { closeFile, fileSizeBytes, isSameFile, openFile, unlockFile } from '../sys/block-file.ts';
import { duplicateFd, replaceFd } from '../sys/descriptor.ts';
import {
  capacityBytes,
  mustSync,
  refusing,
  requireFile,
  requireState,
  switchTo,
  tellChange,
  whileStill,
} from './change-disk.ts';
import { chooseAgain, type OpenDisk } from './disk.ts';
import type { ServedDisk } from './served-disk.ts';

export interface FileChange {
  readonly file: string;
  /** Also under a writable disk: whoever asks has seen to it that the new file holds what the old one does. */
  readonly quiesced?: boolean;
  /** Also of another size. */
  readonly resize?: boolean;
}

/** Throws ControlError; then nothing has changed. */
export function changeFile(served: ServedDisk, change: FileChange): Promise<void> {
  return served.open.turn.take(() => refusing(() => changeTo(served, change)));
}

async function changeTo(served: ServedDisk, change: FileChange): Promise<void> {
  requireState(served, 'change_file');
  const { open } = served;
  const backing = requireFile(served);
  if (!backing.readOnly && change.quiesced !== true) {
    throw new ControlError(
      'EINVAL',
      'the disk is writable: only a read-only one may have its file changed; quiesced=true does it with nothing in flight',
    );
  }
  requireOther(backing, change.file);
  const held = open.lease === null || open.lease.held;
  const { readOnly, settings, bufferedTransfer } = backing;
  const asked = { path: change.file, readOnly, settings, bufferedTransfer };
  const next = openBacking({ ...asked, lock: held, lockWaitMs: 0 });
  try {
    requireSize(served, next, change);
    // The guest has been told of the old one's.
    const renamed = { ...next, fd: backing.fd, hostBlockBytes: backing.hostBlockBytes };
    const choice = chooseAgain(open, renamed);
    if (typeof choice === 'string') throw new ControlError('EINVAL', choice);
    await mustSync(backing);
    const oldBytes = capacityBytes(served);
    await whileStill(served, async () => {
      await mustSync(backing);
      // A ring has started meanwhile: the new file is this process's before anything is written to it.
      if (!held && open.lease!.held) lockBacking(next.fd, { ...next, lockWaitMs: 0 });
      await swap(open, next.fd, { backing: renamed, choice });
    });
    tellChange(served, oldBytes);
  } finally {
    closeFile(next.fd);
  }
}

/** Throws unless the path is of another file than the disk has. */
function requireOther(backing: OpenBacking, path: string): void {
  let fd: number;
  try {
    fd = openFile(path, { readOnly: true, direct: false });
  } catch {
    // Opening it in earnest says why not.
    return;
  }
  const same = isSameFile(fd, backing.fd);
  closeFile(fd);
  if (same) throw new ControlError('EBUSY', `${path}: it is the file that the disk has already`);
}

function requireSize(served: ServedDisk, next: OpenBacking, { resize = false }: FileChange): void {
  const oldBytes = capacityBytes(served);
  const sizeBytes = diskSizeBytes({ fileSizeBytes: fileSizeBytes(next.fd), ...next.settings });
  if (sizeBytes === oldBytes || resize) return;
  throw new ControlError(
    'EINVAL',
    `${next.path}: the disk would have ${sizeBytes} bytes, expected ${oldBytes} as before (resize=true takes the new size)`,
  );
}

async function swap(
  open: OpenDisk,
  fd: number,
  to: Pick<OpenDisk, 'backing' | 'choice'>,
): Promise<void> {
  const own = to.backing!.fd;
  const kept = duplicateFd(own);
  const replaced = kept < 0 ? kept : replaceFd(fd, own);
  if (replaced < 0) {
    if (kept >= 0) closeFile(kept);
    throw new ControlError('EBUSY', `no descriptor for the file (${errnoName(replaced)})`);
  }
  try {
    await switchTo(open, to, true);
    open.workers.forgetFile();
    // By itself it would go with the last reference, which an io_uring drops when it likes.
    unlockFile(kept);
  } catch (error) {
    replaceFd(kept, own);
    // Workers that have the new file registered take the old one back.
    await switchTo(open, { backing: open.backing, choice: open.choice }, true);
    throw error;
  } finally {
    closeFile(kept);
  }
}
