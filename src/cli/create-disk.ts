/**
 * vloop as a library: `import { createDisk } from 'vloop'` serves a disk from this process. The same pieces as `vloop
 * serve`, and nothing that concerns the process: no signal is handled, nothing is printed, nothing exits, no control
 * socket is opened.
 */
import { EventHub, type EventListener } from '../control/event-hub.ts';
import type { ValueOf } from '../control/schema/json-schema.ts';
import type { DiskMethodName, ParamsOf, ResultOf } from '../control/schema/methods.ts';
import { optionTable } from '../control/schema/options.ts';
import { GuestLines } from '../log/guest-lines.ts';
import { type LogLevel, openLog } from '../log.ts';
import { closeSocket, listenOn, type ServerSocket } from '../vhost-user/server.ts';
import { type OpenDisk, openDisk, placedDisks } from './disk.ts';
import { controlledDisk, diskNames } from './disk-control.ts';
import { OptionsError } from './option-values.ts';
import { type DiskOptions, parseCommandLine } from './options.ts';
import {
  announced,
  closeDiskFiles,
  diskEvents,
  type EmitEvent,
  endDisk,
  newServer,
  type ServedDisk,
} from './served-disk.ts';
import { prepareTransfers } from './transfer-options.ts';

type Table = typeof optionTable;
type DiskOption = {
  [N in keyof Table]: Table[N]['scope'] extends 'disk' ? N : never;
}[keyof Table];
type Underscored<N extends string> = N extends `${infer A}-${infer B}`
  ? `${A}_${Underscored<B>}`
  : N;

/** The options of `vloop serve` that concern one disk, with `_` for `-`: `direct_io`, `num_queues`, … */
export type DiskSettings = {
  readonly [N in Exclude<DiskOption, 'socket-path' | 'blk-file'> as Underscored<N>]?: ValueOf<
    Table[N]['schema']
  >;
};

export interface CreateDiskOptions extends DiskSettings {
  /** The raw image or block device; or `memory: '1G'` instead. */
  readonly file?: string;
  /** Where the front-end (QEMU) connects. */
  readonly socketPath: string;
  /** JSON lines on stderr; silent unless said otherwise. */
  readonly logLevel?: LogLevel;
}

export type DiskEventListener = EventListener;
export type { DiskEvent } from '../control/event-hub.ts';
export type { EventName } from '../control/schema/events.ts';

type Answer<M extends DiskMethodName> = ResultOf<M>;

/** A disk that is served until `close`. Each method throws ControlError (`code`: EBUSY, EINVAL, …) when it refuses. */
export interface Disk {
  readonly name: string;
  readonly socketPath: string;
  /** Resolves when the disk is served no more, rejects when it failed for good. */
  readonly ended: Promise<void>;
  /** What can be said of the disk: size, mode, engine, whether a front-end is connected, … */
  status(): Promise<Answer<'disk_get_status'>>;
  /** Requests, bytes and latencies so far, by queue. */
  stats(): Promise<Answer<'disk_get_stats'>>;
  /** Lets the disk stand still: requests in flight have ended, new ones wait. */
  quiesce(options?: { readonly timeout_ms?: number }): Promise<void>;
  /** Lets a disk that stands still go on. */
  resume(): Promise<void>;
  /** Takes the size that the file has now; the guest sees it. */
  resize(): Promise<Answer<'disk_set_capacity'>>;
  /** Calls `listener` with each event (`disk_connected`, `disk_resized`, `disk_error`, …) until the function that it answers is called. */
  events(listener: DiskEventListener): () => void;
  /** Lets running requests end, lets go of file, socket and threads. */
  close(): Promise<void>;
}

function isDiskOption(name: string): name is DiskOption {
  return Object.hasOwn(optionTable, name) && optionTable[name as DiskOption].scope === 'disk';
}

/** The words of a command line that say the same, so that both are checked alike. Throws OptionsError. */
function wordsOf({ file, socketPath, logLevel: _, ...settings }: CreateDiskOptions): string[] {
  const words = ['serve', `--socket-path=${socketPath}`];
  for (const [key, value] of Object.entries(settings)) {
    const name = key.replaceAll('_', '-');
    if (key.includes('-') || !isDiskOption(name)) {
      throw new OptionsError(`createDisk: unknown option "${key}"`);
    }
    if (value === undefined || value === false) continue;
    const isFlag = optionTable[name].value === null;
    if (isFlag !== (value === true)) {
      const expected = isFlag ? 'true or false' : optionTable[name].value;
      throw new OptionsError(`createDisk: ${key}=${String(value)}: expected ${expected}`);
    }
    words.push(isFlag ? `--${name}` : `--${name}=${String(value)}`);
  }
  return file === undefined ? words : [...words, '--', file];
}

function diskOptions(options: CreateDiskOptions): DiskOptions {
  if (typeof options.socketPath !== 'string') {
    throw new OptionsError('createDisk: socketPath is missing, expected a path');
  }
  const parsed = parseCommandLine(wordsOf(options));
  if (parsed.verb !== 'serve') throw new OptionsError('createDisk: no disk is asked for');
  return parsed.options.disks[0]!;
}

/** Opens everything; what fails leaves nothing open. */
async function serveOne(
  options: DiskOptions,
  logLevel: LogLevel,
  hub: EventHub,
  onDeath: () => void,
): Promise<ServedDisk> {
  const log = await openLog(logLevel, 'json');
  const [name = 'disk'] = diskNames([options]);
  const emit: EmitEvent = (event, more) => hub.emit(event, name, more);
  const [placed] = await placedDisks([options]);
  const [transfer] = await prepareTransfers([options], null);
  let served: ServedDisk | undefined;
  const guestLines = new GuestLines(log);
  const events = diskEvents(log, guestLines, emit, () => served, onDeath);
  const open: OpenDisk = openDisk(placed!, events, null, transfer);
  let socket: ServerSocket | null = null;
  try {
    socket = listenOn(options.socketPath);
    await open.workers.ready;
    const server = newServer(open, socket, guestLines, emit, { once: false, trace: null });
    served = announced({ name, open, socket, server, log, guestLines, emit });
    return served;
  } catch (error) {
    if (socket !== null) closeSocket(socket);
    await open.workers.end();
    closeDiskFiles(open);
    throw error;
  }
}

/**
 * Serves a disk at a vhost-user socket, as `vloop serve` does. Throws OptionsError, BackingError, SocketError or
 * WorkerError, each with a stable `code`; nothing is left open then.
 */
export async function createDisk(options: CreateDiskOptions): Promise<Disk> {
  const hub = new EventHub();
  const death = Promise.withResolvers<never>();
  death.promise.catch(() => {});
  const onDeath = () => death.reject(new Error('a worker thread of the disk died'));
  const parsed = diskOptions(options);
  const served = await serveOne(parsed, options.logLevel ?? 'silent', hub, onDeath);
  const { methods } = controlledDisk(served);
  const { name, server } = served;
  const ended = Promise.race([endDisk(served), death.promise]);
  // Whoever waits for it sees the failure; one that nobody waits for must not end the process.
  ended.catch(() => {});
  const call = async <M extends DiskMethodName>(
    method: M,
    params: Omit<ParamsOf<M>, 'disk'>,
  ): Promise<ResultOf<M>> => await methods[method]({ ...params, disk: name } as ParamsOf<M>);
  return {
    name,
    socketPath: parsed.socketPath,
    ended,
    status: () => call('disk_get_status', {}),
    stats: () => call('disk_get_stats', {}),
    quiesce: async (limits = {}) => void (await call('disk_quiesce', limits)),
    resume: async () => void (await call('disk_resume', {})),
    resize: () => call('disk_set_capacity', {}),
    events: (listener) => hub.subscribe(listener),
    async close() {
      server.stop();
      await ended;
    },
  };
}
