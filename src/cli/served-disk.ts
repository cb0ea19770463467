/**
 * One disk from its open file to its end: the server at its socket, what its events say in the log, its summary.
 * Nothing here touches the process (no signal, no exit): it serves the command line and the library alike.
 */
import { errnoName } from '../../protocol/errno.ts';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { EventName } from '../control/schema/events.ts';
import type { GuestLines } from '../log/guest-lines.ts';
import type { Log } from '../log.ts';
import { closeFile } from '../sys/block-file.ts';
import { Server, type ServerSocket, type TakenServer } from '../vhost-user/server.ts';
import { giveBackWhenSettled } from '../worker/settled-garbage.ts';
import type { DiskEvents, OpenDisk } from './disk.ts';
import { FailureLines } from './failure-lines.ts';
import { takeNewSize } from './resize.ts';
import type { TraceFile } from './trace-file.ts';

/** Tells whoever has subscribed of an event of one disk. */
export type EmitEvent = (name: EventName, more?: Readonly<Record<string, unknown>>) => void;

export interface ServedDisk {
  readonly name: string;
  readonly open: OpenDisk;
  readonly socket: ServerSocket;
  readonly server: Server;
  readonly log: Log;
  /** Of the same log, what a guest or a front-end causes. */
  readonly guestLines: GuestLines;
  readonly emit: EmitEvent;
}

/**
 * What the log says of a disk. `served`: the disk once it is served; `onDeath`: nothing can be done for it any more.
 */
export function diskEvents(
  log: Log,
  lines: GuestLines,
  emit: EmitEvent,
  served: () => ServedDisk | undefined,
  onDeath: () => void,
): DiskEvents {
  const failures = new FailureLines(lines, () => served()?.open.workers.figures.failures ?? null);
  let shrinkable = false;
  return {
    onViolation(vring, violation) {
      const words = 'the guest broke a vring: it is ignored until it is set up again';
      if (lines.say('warn', { vring, violation }, words)) {
        emit('disk_violation', { vring, violation });
      }
    },
    onIoError(operation, errno, offsetBytes) {
      failures.say(operation, errno, offsetBytes);
      emit('disk_error', { operation, error: errnoName(errno), offset: offsetBytes });
    },
    onTransferFailure(reason) {
      lines.say('error', { reason }, 'the transfer module failed a request; more are only counted');
    },
    async onTaken() {
      lines.say('info', {}, 'the backing file is locked: a vring starts');
      // None yet: this process takes over from another one, and the size is that one's.
      const disk = served();
      if (disk !== undefined) await takeNewSize(disk, true);
    },
    onGivenUp() {
      lines.say('info', {}, 'the backing file is unlocked: no vring runs any more');
    },
    onSyncFailed(errno) {
      lines.say(
        'error',
        { error: errnoName(errno) },
        'the backing file could not be made durable: it stays locked, nobody can take it over',
      );
    },
    onUnlogged(guestAddress) {
      lines.say(
        'warn',
        { guestAddress: `0x${guestAddress.toString(16)}` },
        'guest memory was written that the dirty log is too small for: the migration misses it',
      );
    },
    onShrinkable() {
      if (shrinkable) return;
      shrinkable = true;
      lines.say('info', {}, 'guest memory is not sealed: its owner must not truncate it');
    },
    onDeath(reason) {
      log.fatal({ reason }, 'a loop worker died');
      onDeath();
    },
  };
}

export function socketName({ path, fd }: ServerSocket): string {
  return path ?? `fd ${fd}`;
}

/** What the log says once, when the disk can be used. */
function servingFields({ open, socket }: ServedDisk) {
  const { name, backing, choice, workers } = open;
  const { shape } = open.disk;
  return {
    file: name,
    sizeBytes: shape.capacitySectors * SECTOR_SIZE,
    readOnly: shape.readOnly,
    directIo: backing?.direct ?? false,
    directIoReason: backing?.directReason ?? 'the disk is in memory',
    engine: choice.engine,
    engineReason: choice.engineReason,
    ioPath: choice.path,
    ioPathReason: choice.pathReason,
    transfer: open.transfer?.name ?? 'none',
    blockSize: shape.blockSizeBytes,
    serial: shape.serial,
    queues: shape.queueCount,
    workers: workers.count,
    socket: socketName(socket),
  };
}

export interface ServerSettings {
  /** End after the first front-end has gone. */
  readonly once: boolean;
  readonly trace: TraceFile | null;
}

/** `taken`: what another process has served so far; the server is held then. */
export function newServer(
  open: OpenDisk,
  socket: ServerSocket,
  lines: GuestLines,
  emit: EmitEvent,
  { once, trace }: ServerSettings,
  taken: TakenServer | null = null,
): Server {
  const options = {
    once: once || open.autoclear,
    log: lines.say.bind(lines),
    trace: trace?.writer(open.name),
    onConnect() {
      lines.say('info', {}, 'front-end connected');
      giveBackWhenSettled();
      emit('disk_connected');
    },
    onDisconnect() {
      lines.say('info', open.disk.counters(), 'front-end disconnected');
      emit('disk_disconnected');
    },
  };
  return new Server(socket, open.disk, options, taken);
}

/** Says in the log that the disk can be used, and how. */
export function announced(served: ServedDisk): ServedDisk {
  served.log.info(servingFields(served), 'serving');
  for (const note of served.open.notes) served.log.warn({ file: served.open.name }, note);
  served.emit('disk_attached');
  return served;
}

/** Waits for the server's end, whatever ends it, and closes what is open. */
export async function endDisk({ open, server, log, guestLines, emit }: ServedDisk): Promise<void> {
  await server.ended;
  await open.workers.end();
  closeDiskFiles(open);
  guestLines.report();
  log.info(open.disk.counters(), 'summary');
  emit('disk_detached');
}

/** Once the workers have ended. */
export function closeDiskFiles({ backing, transfer }: OpenDisk): void {
  if (backing !== null) closeFile(backing.fd);
  if (transfer !== null) closeFile(transfer.birth.keyFd);
}
