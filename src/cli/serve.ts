/**
 * Serves disks until a signal, the last front-end of `--once`, or a failure. Prints, in the friendly
 * form, where each disk is and how to attach it. Several disks of one process are one machine's: what
 * ends one ends all.
 */
import { rmSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { EventHub } from '../control/event-hub.ts';
import { GuestLines } from '../log/guest-lines.ts';
import { type Log, openLog } from '../log.ts';
import { exitNow } from '../sys/process.ts';
import {
  adoptSocket,
  closeSocket,
  listenOn,
  type Server,
  type ServerSocket,
  type TakenServer,
} from '../vhost-user/server.ts';
import { collectStartGarbage } from '../worker/start-garbage.ts';
import { ControlPlane } from './control-plane.ts';
import { type OpenDisk, openDisk, placedDisks } from './disk.ts';
import { diskNames } from './disk-control.ts';
import { HandOver } from './hand-over.ts';
import { keepAwake, openCpuLatency } from './keep-awake.ts';
import type { DiskOptions, ServeOptions } from './options.ts';
import { resizeOnHangUp } from './resize.ts';
import { startText, statusText } from './serve-text.ts';
import {
  announced,
  diskEvents,
  type EmitEvent,
  endDisk,
  newServer,
  type ServedDisk,
  type ServerSettings,
} from './served-disk.ts';
import { ServiceManager, withPassedSockets } from './service-manager.ts';
import { exitWithStdin } from './stdin-end.ts';
import { TakeOver } from './take-over.ts';
import { TraceFile } from './trace-file.ts';
import { prepareTransfers } from './transfer-options.ts';

/** A front-end or storage that hangs must not keep a supervisor waiting: SIGTERM is answered in time. */
const DRAIN_LIMIT_MS = 900;

function listenFor({ fd, socketPath }: DiskOptions): ServerSocket {
  return fd === null ? listenOn(socketPath) : adoptSocket(fd);
}

interface Serving extends ServerSettings {
  readonly names: readonly string[];
  readonly emits: readonly EmitEvent[];
  readonly logs: readonly Log[];
  readonly guestLines: readonly GuestLines[];
  readonly log: Log;
  /** Ends the process at once. */
  readonly abandon: () => void;
}

/** Serves the disks of a command line, or takes them over. `sockets` and `disks` grow on the way. */
async function startDisks(
  options: readonly DiskOptions[],
  takeOver: TakeOver | null,
  serving: Serving,
  sockets: ServerSocket[],
  disks: ServedDisk[],
): Promise<void> {
  const { logs, guestLines, emits, log, abandon } = serving;
  const adopted = takeOver?.files ?? null;
  // Where the disks of a process that is taken over lie has come with them.
  const placed = adopted === null ? await placedDisks(options) : options;
  const transfers = await prepareTransfers(options, adopted);
  // All files before the first socket: what cannot be served is refused before anybody connects.
  const opened = placed.map((disk, i) =>
    openDisk(
      disk,
      diskEvents(logs[i]!, guestLines[i]!, emits[i]!, () => disks[i], abandon),
      adopted?.[i] ?? null,
      transfers[i],
    ),
  );
  if (takeOver === null) {
    for (const disk of withPassedSockets(options, serving.names)) sockets.push(listenFor(disk));
    await serveDisks(opened, sockets, serving, disks);
  } else {
    disks.push(...(await takeDisksOver(takeOver, opened, serving, log)));
    sockets.push(...disks.map(({ socket }) => socket));
  }
}

/** Serves disks once their workers run; a front-end that is early waits in the listen backlog. */
async function serveDisks(
  opened: readonly OpenDisk[],
  sockets: readonly ServerSocket[],
  serving: Serving,
  disks: ServedDisk[],
): Promise<void> {
  for (const [i, open] of opened.entries()) {
    await open.workers.ready;
    const server = newServer(open, sockets[i]!, serving.guestLines[i]!, serving.emits[i]!, serving);
    disks.push(announced(servedDisk(i, open, server, serving)));
  }
}

/** Takes disks and their sessions over; see hand-over-steps.ts. */
async function takeDisksOver(
  takeOver: TakeOver,
  opened: readonly OpenDisk[],
  serving: Serving,
  log: Log,
): Promise<ServedDisk[]> {
  await Promise.all(opened.map(({ workers }) => workers.ready));
  // What the start has left in memory goes now: later it would cost the guest time.
  await collectStartGarbage();
  const make = (i: number, socket: ServerSocket, taken: TakenServer) =>
    newServer(opened[i]!, socket, serving.guestLines[i]!, serving.emits[i]!, serving, taken);
  const servers = await takeOver.run(opened, make, log);
  return servers.map((server, i) => announced(servedDisk(i, opened[i]!, server, serving)));
}

function servedDisk(
  i: number,
  open: OpenDisk,
  server: Server,
  { names, logs, guestLines, emits }: Serving,
): ServedDisk {
  const { socket } = server;
  return {
    name: names[i]!,
    open,
    socket,
    server,
    log: logs[i]!,
    guestLines: guestLines[i]!,
    emit: emits[i]!,
  };
}

function servingOf(
  { disks, once, traceMessages }: ServeOptions,
  events: EventHub,
  log: Log,
  abandon: () => void,
): Serving {
  const names = diskNames(disks);
  const emits = names.map(
    (name): EmitEvent =>
      (event, more) =>
        events.emit(event, name, more),
  );
  const trace = traceMessages === null ? null : new TraceFile(traceMessages, log);
  const logs = diskLogs(disks, log);
  const guestLines = logs.map((own) => new GuestLines(own));
  return { once, names, emits, logs, guestLines, trace, log, abandon };
}

/** A disk that is not alone says which one it is. */
function diskLogs(disks: readonly DiskOptions[], log: Log): Log[] {
  if (disks.length === 1) return [log];
  return disks.map(({ blkFile }) => log.child({ disk: blkFile ?? 'memory' }));
}

/** What a start that fails has started so far. */
async function closeStarted(
  disks: readonly ServedDisk[],
  sockets: readonly ServerSocket[],
): Promise<void> {
  await Promise.all(disks.map((disk) => disk.server.ended));
  for (const socket of sockets.slice(disks.length)) closeSocket(socket);
}

function stopServers(disks: readonly ServedDisk[]): void {
  for (const { server } of disks) server.stop();
}

/** To whoever started vloop. A disk goes on where nobody can be told. */
function say(text: string): void {
  // Each worker's output is piped there, with a listener of its own: a dozen disks are no leak.
  process.stdout.setMaxListeners(0).once('error', () => {});
  process.stdout.write(text);
}

function abandonInTime(log: Log, abandon: () => void): void {
  setTimeout(() => {
    log.error({ limitMs: DRAIN_LIMIT_MS }, 'requests are still running: ending without them');
    abandon();
  }, DRAIN_LIMIT_MS).unref();
}

/** Resolves with the exit status. Throws BackingError, SocketError or WorkerError at start. */
export async function serve(options: ServeOptions): Promise<number> {
  const log = await openLog(options.logLevel, options.logFormat);
  const takeOver = await TakeOver.begin(options.disks.length);
  const sockets: ServerSocket[] = [];
  const disks: ServedDisk[] = [];
  const control = new ControlPlane();
  const service = new ServiceManager(log);
  /** Ends at once, with what is running; the socket files go too. */
  const abandon = () => {
    control.close();
    for (const { path } of sockets) if (path !== null) rmSync(path, { force: true });
    exitNow(1);
  };
  let ending = false;
  const stopAll = () => stopServers(disks);
  const handOver = new HandOver(disks, options.disks.length, options.successor, log, (pid) => {
    for (const { guestLines } of disks) guestLines.report();
    control.close();
    service.handedOverTo(pid);
  });
  const onSignal = (signal: string) => {
    ending = true;
    handOver.abort();
    service.stopping();
    log.info({ signal }, 'ending: running requests complete first');
    stopAll();
    abandonInTime(log, abandon);
  };
  // Before the first disk can be connected to: its front-end may be at work while the next one starts.
  resizeOnHangUp(disks, () => onSignal('SIGHUP'));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, onSignal);
  const cpuLatency = openCpuLatency(options.cpuLatencyUs);
  const events = new EventHub();
  const serving = servingOf(options, events, log, abandon);
  try {
    if (takeOver === null) await control.open(options, disks, events, log, false);
    await startDisks(options.disks, takeOver, serving, sockets, disks);
    // Only now: the process that was before this one has listened until it had handed over.
    if (takeOver !== null) await control.open(options, disks, events, log, true);
  } catch (error) {
    control.close();
    await takeOver?.refuse(error);
    stopAll();
    await closeStarted(disks, sockets);
    throw error;
  }
  if (ending) stopAll();
  else service.ready(statusText(disks));
  if (takeOver === null && !ending) say(startText(disks, control.pageLine, options.friendly));
  if (options.exitWithStdin) exitWithStdin(disks, log);
  if (cpuLatency !== null) keepAwake(cpuLatency, options.cpuLatencyUs!, disks);
  if (takeOver === null) await collectStartGarbage();
  // Kept now, not only at a clean end: whoever kills vloop starts it as fast the next time.
  flushCompileCache();
  await Promise.all(disks.map(endDisk));
  control.close();
  cpuLatency?.close();
  return 0;
}
