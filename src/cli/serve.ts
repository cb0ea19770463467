/**
 * Serves one disk until a signal, the last front-end of `--once`, or a failure. Prints, in the friendly
 * form, where the disk is and how to attach it.
 */
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import { createLog, type Log } from '../log.ts';
import { closeFile } from '../sys/block-file.ts';
import { errnoName } from '../sys/libc.ts';
import { exitNow } from '../sys/process.ts';
import { adoptSocket, listenOn, Server } from '../vhost-user/server.ts';
import type { WorkerEvents } from '../worker/loop-workers.ts';
import { type OpenDisk, openDisk } from './disk.ts';
import type { ServeOptions } from './options.ts';

/** Guest-caused lines of one kind; the rest is in the counters of the summary. */
const VIOLATION_LINES_MAX = 20;

function workerEvents(log: Log, onDeath: (reason: string) => void): WorkerEvents {
  let violations = 0;
  return {
    onViolation(vring, violation) {
      if (violations++ < VIOLATION_LINES_MAX) {
        log.warn(
          { vring, violation },
          'the guest broke a vring: it is ignored until it is set up again',
        );
      }
    },
    onIoError(operation, errno, offsetBytes) {
      const error = errnoName(errno);
      log.error(
        { operation, error, offsetBytes },
        'the backing file failed; more of the same is only counted',
      );
    },
    onDeath,
  };
}

function describe({ backing, choice, shape }: OpenDisk, socketPath: string): string {
  const gib = (shape.capacitySectors * SECTOR_SIZE) / 2 ** 30;
  const mode = `${backing.direct ? 'direct I/O' : 'buffered I/O'}: ${backing.directReason}`;
  return [
    `disk    ${backing.path} (${gib.toFixed(gib < 10 ? 2 : 0)} GiB, ${shape.readOnly ? 'read-only' : 'read-write'})`,
    `mode    ${mode}`,
    `engine  ${choice.engine}: ${choice.engineReason}`,
    `serial  ${shape.serial}`,
    `socket  ${socketPath}`,
    '',
    'Attach it to a guest (its memory has to be shared):',
    '',
    '  qemu-system-x86_64 -m 1G -machine q35,memory-backend=mem \\',
    '    -object memory-backend-memfd,id=mem,size=1G,share=on \\',
    `    -chardev socket,id=vloop0,path=${socketPath} \\`,
    '    -device vhost-user-blk-pci,chardev=vloop0',
    '',
    '',
  ].join('\n');
}

/** A front-end or storage that hangs must not keep a supervisor waiting: SIGTERM is answered in time. */
const DRAIN_LIMIT_MS = 900;

/** What the log says once, when the disk can be used. */
function servingFields({ backing, choice, shape, workers }: OpenDisk, socket: string) {
  return {
    file: backing.path,
    sizeBytes: shape.capacitySectors * SECTOR_SIZE,
    readOnly: shape.readOnly,
    directIo: backing.direct,
    directIoReason: backing.directReason,
    blockSize: shape.blockSizeBytes,
    serial: shape.serial,
    queues: shape.queueCount,
    workers: workers.count,
    engine: choice.engine,
    engineReason: choice.engineReason,
    ioPath: choice.path,
    ioPathReason: choice.pathReason,
    socket,
  };
}

/** Ends at once, with what is running; the socket file goes with it. */
function abandon(socketPath: string | null): void {
  if (socketPath !== null) rmSync(socketPath, { force: true });
  exitNow(1);
}

/** Resolves with the exit status. Throws BackingError, SocketError or WorkerError at start. */
export async function serve(options: ServeOptions): Promise<number> {
  const log = createLog(options.logLevel);
  const path = options.socketPath ?? `${basename(options.blkFile)}.sock`;
  const events = workerEvents(log, (reason) => {
    log.fatal({ reason }, 'a loop worker died');
    abandon(options.fd === null ? path : null);
  });
  const open = await openDisk(options, events);
  const { backing, disk, workers } = open;
  const socket = options.fd === null ? listenOn(path) : adoptSocket(options.fd);
  const server = new Server(socket, disk, {
    once: options.once,
    log: (level, fields, text) => log[level](fields, text),
    onConnect: () => log.info('front-end connected'),
    onDisconnect: () => log.info(disk.counters(), 'front-end disconnected'),
  });
  const onSignal = (signal: string) => {
    log.info({ signal }, 'ending: running requests complete first');
    server.stop();
    setTimeout(() => {
      log.error({ limitMs: DRAIN_LIMIT_MS }, 'requests are still running: ending without them');
      abandon(socket.path);
    }, DRAIN_LIMIT_MS).unref();
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
  const where = socket.path ?? `fd ${socket.fd}`;
  log.info(servingFields(open, where), 'serving');
  if (options.friendly) process.stdout.write(describe(open, where));
  await server.ended;
  await workers.end();
  closeFile(backing.fd);
  log.info(disk.counters(), 'summary');
  return 0;
}
