/**
 * Serves one disk until a signal, the last front-end of `--once`, or a failure. Prints, in the friendly
 * form, where the disk is and how to attach it.
 */
import { basename } from 'node:path';
import { createLog, type Log } from '../log.ts';
import { closeFile } from '../sys/block-file.ts';
import { errnoName } from '../sys/libc.ts';
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

function describe({ backing, shape }: OpenDisk, socketPath: string): string {
  const gib = (shape.capacitySectors * 512) / 2 ** 30;
  const mode = `${backing.direct ? 'direct I/O' : 'buffered I/O'}: ${backing.directReason}`;
  return [
    `disk    ${backing.path} (${gib.toFixed(gib < 10 ? 2 : 0)} GiB, ${shape.readOnly ? 'read-only' : 'read-write'})`,
    `mode    ${mode}`,
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

/** Resolves with the exit status. Throws BackingError, SocketError or a worker's reason at start. */
export async function serve(options: ServeOptions): Promise<number> {
  const log = createLog(options.logLevel);
  let death: string | null = null;
  let server: Server | null = null;
  const events = workerEvents(log, (reason) => {
    death = reason;
    log.fatal({ reason }, 'a loop worker died');
    process.exit(1);
  });
  const open = await openDisk(options, events);
  const { backing, shape, disk, workers } = open;
  const path = options.socketPath ?? `${basename(options.blkFile)}.sock`;
  const socket = options.fd === null ? listenOn(path) : adoptSocket(options.fd);
  server = new Server(socket, disk, {
    once: options.once,
    log: (level, fields, text) => log[level](fields, text),
    onConnect: () => log.info('front-end connected'),
    onDisconnect: () => log.info(disk.counters(), 'front-end disconnected'),
  });
  const onSignal = (signal: string) => {
    log.info({ signal }, 'ending: running requests complete first');
    server?.stop();
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
  log.info(
    {
      file: backing.path,
      sizeBytes: shape.capacitySectors * 512,
      readOnly: shape.readOnly,
      directIo: backing.direct,
      directIoReason: backing.directReason,
      blockSize: shape.blockSizeBytes,
      serial: shape.serial,
      queues: shape.queueCount,
      workers: workers.count,
      engine: 'io_uring',
      socket: socket.path ?? `fd ${socket.fd}`,
    },
    'serving',
  );
  if (options.friendly) process.stdout.write(describe(open, socket.path ?? `fd ${socket.fd}`));
  await server.ended;
  await workers.end();
  closeFile(backing.fd);
  log.info(disk.counters(), 'summary');
  return death === null ? 0 : 1;
}
