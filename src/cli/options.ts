/**
 * A command line that serves disks, turned into what is asked. The options are declared in control/schema.
 */
import { basename } from 'node:path';
import type { Engine } from '../backing/choose-engine.ts';
import { RANGES_MAX } from '../blk/disk-shape.ts';
import type { HttpAddress } from '../control/http-address.ts';
import {
  CPU_LATENCY_US_MAX,
  optionTable,
  POLL_US_MAX,
  QUEUES_MAX,
  WORKERS_MAX,
} from '../control/schema/options.ts';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../log.ts';
import { BLOCK_SIZES } from '../loop/geometry.ts';
import type { TransferRequest } from '../transfer/open-transfer.ts';
import {
  bytes,
  cpuList,
  diskName,
  httpAddress,
  integer,
  OptionsError,
  oneOf,
  partitionNumber,
  path,
  serial,
  size,
  text,
  type Values,
} from './option-values.ts';
import { parseStrictly } from './strict-arguments.ts';
import { transferRequest } from './transfer-options.ts';
import { unknownCommand } from './unknown-word.ts';

/** One disk. Its bytes are a file's, or `memoryBytes` of this process. */
export interface DiskOptions {
  /** Null: memory. */
  readonly blkFile: string | null;
  readonly memoryBytes: number;
  /** Null: the name of the file. */
  readonly name: string | null;
  readonly socketPath: string;
  /** Instead of the path: an inherited socket. */
  readonly fd: number | null;
  readonly readOnly: boolean;
  readonly directIo: 'on' | 'off' | 'auto';
  readonly aio: 'auto' | Engine;
  readonly ioPath: 'auto' | 'engine' | 'calls';
  readonly serial: string | null;
  /** Where the disk begins in the file. */
  readonly offsetBytes: number;
  /** Most bytes of the file that are shown; 0: all. */
  readonly sizeLimitBytes: number;
  /** Null: not one of the file's partitions. */
  readonly partition: number | null;
  readonly blockSizeBytes: number;
  readonly queueCount: number;
  /** Of one discard or write-zeroes request. */
  readonly rangesMax: number;
  readonly workerCount: number;
  /** CPUs that workers are bound to, in turn; none: any. */
  readonly cpus: readonly number[];
  /** -1: adaptive. */
  readonly pollUs: number;
  /** End when the front-end has gone, and no other one is connected. */
  readonly autoclear: boolean;
  /** When the file is locked: always, or while a vring runs. */
  readonly lock: 'always' | 'running';
  /** What data go through on their way; null: they stay as they are. */
  readonly transfer: TransferRequest | null;
  /** The options as they were given, from which a configuration is made. */
  readonly given: Values;
}

export interface ServeOptions {
  /** The friendly form: say where the sockets are and how to use them. */
  readonly friendly: boolean;
  readonly disks: readonly DiskOptions[];
  readonly once: boolean;
  readonly exitWithStdin: boolean;
  /** Null: not asked for. */
  readonly cpuLatencyUs: number | null;
  /** What takes over at SIGUSR2; null: this program. */
  readonly successor: string | null;
  /** Null: no trace. */
  readonly traceMessages: string | null;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Where commands are taken; null: in the run directory, 'off': nowhere. */
  readonly control: string | null;
  /** Where the page is served; null: nowhere. */
  readonly http: HttpAddress | null;
}

export type Invocation =
  | { readonly verb: 'help' | 'version' | 'print-capabilities' }
  | { readonly verb: 'serve'; readonly options: ServeOptions };

const PARSE_OPTIONS = Object.fromEntries(
  Object.entries(optionTable).map(([name, row]) => [
    name,
    { type: row.value === null ? ('boolean' as const) : ('string' as const) },
  ]),
);

/** Turns argv (without node and script) into what is asked. Throws OptionsError. */
export function parseCommandLine(args: readonly string[]): Invocation {
  const parsed = parseStrictly(args, PARSE_OPTIONS, (sentence) => {
    throw new OptionsError(`${sentence} (see --help)`);
  });
  const { values, positionals }: { values: Values; positionals: string[] } = parsed;
  // The conventions: with --print-capabilities all other options are ignored.
  if (values['print-capabilities']) return { verb: 'print-capabilities' };
  if (values.help) return { verb: 'help' };
  if (values.version) return { verb: 'version' };
  const friendly = positionals[0] === 'serve';
  const rest = friendly ? positionals.slice(1) : positionals;
  if (!friendly && rest.length > 0) {
    throw new OptionsError(unknownCommand(rest[0]!));
  }
  return { verb: 'serve', options: serveOptions(values, rest, friendly) };
}

function serveOptions(values: Values, files: string[], friendly: boolean): ServeOptions {
  const sources = diskSources(values, files, friendly);
  const several = sources.length > 1;
  for (const name of ['socket-path', 'fd', 'serial', 'name'] as const) {
    if (several && values[name] !== undefined) {
      throw new OptionsError(`--${name} is for one disk, and there are ${sources.length}`);
    }
  }
  const shared = sharedDiskOptions(values, friendly);
  const disks = sources.map((blkFile) => ({
    ...shared,
    blkFile,
    socketPath: text(values, 'socket-path') ?? `${basename(blkFile ?? 'memory')}.sock`,
  }));
  const paths = disks.map((disk) => disk.socketPath);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) {
    throw new OptionsError(`two disks would share the socket ${twice}: their file names are equal`);
  }
  return {
    friendly,
    disks,
    once: values.once === true,
    exitWithStdin: values['exit-with-stdin'] === true,
    cpuLatencyUs:
      values['cpu-latency-us'] === undefined
        ? null
        : integer(values, 'cpu-latency-us', 0, CPU_LATENCY_US_MAX),
    successor: path(values, 'successor'),
    traceMessages: path(values, 'trace-messages'),
    logLevel: oneOf(values, 'log-level', LOG_LEVELS),
    logFormat: oneOf(values, 'log-format', LOG_FORMATS),
    control: path(values, 'control'),
    http: httpAddress(values),
  };
}

/** The files to serve; null stands for memory. */
function diskSources(values: Values, files: string[], friendly: boolean): Array<string | null> {
  const blkFile = text(values, 'blk-file');
  const named = blkFile === undefined ? files : [blkFile, ...files];
  if (named.includes('')) throw new OptionsError('an empty file name, expected a path');
  if (!friendly && named.length > 1) {
    throw new OptionsError(`one disk image is served, got also "${named.at(-1)}"`);
  }
  if (values.memory !== undefined) {
    if (named.length > 0) throw new OptionsError('--memory serves no file, got one as well');
    return [null];
  }
  if (named.length === 0) {
    throw new OptionsError(
      friendly
        ? 'serve: which file? (vloop serve disk.img)'
        : 'no --blk-file=PATH given (see --help)',
    );
  }
  return named;
}

function sharedDiskOptions(
  values: Values,
  friendly: boolean,
): Omit<DiskOptions, 'blkFile' | 'socketPath'> {
  const fd = values.fd === undefined ? null : integer(values, 'fd', 0, 2 ** 20);
  if (values['socket-path'] !== undefined && fd !== null) {
    throw new OptionsError('--socket-path and --fd exclude each other');
  }
  if (values['socket-path'] === '')
    throw new OptionsError('--socket-path= is empty, expected a path');
  if (values['socket-path'] === undefined && fd === null && !friendly) {
    throw new OptionsError('one of --socket-path=PATH and --fd=FDNUM is needed (see --help)');
  }
  const queueCount = integer(values, 'num-queues', 1, QUEUES_MAX);
  const workerCount = integer(values, 'workers', 1, WORKERS_MAX);
  if (workerCount > queueCount) {
    throw new OptionsError(`--workers=${workerCount}: more than --num-queues=${queueCount}`);
  }
  const pollUs = text(values, 'poll-us') ?? 'auto';
  return {
    fd,
    memoryBytes: values.memory === undefined ? 0 : size(values, 'memory'),
    name: diskName(values),
    readOnly: values['read-only'] === true,
    directIo: oneOf(values, 'direct-io', ['on', 'off', 'auto'] as const),
    aio: oneOf(values, 'aio', ['auto', 'io_uring', 'native', 'threads']),
    ioPath: oneOf(values, 'io-path', ['auto', 'engine', 'calls']),
    serial: serial(values),
    offsetBytes: bytes(values, 'offset'),
    sizeLimitBytes: bytes(values, 'size-limit'),
    partition: partitionNumber(values),
    autoclear: values.autoclear === true,
    blockSizeBytes: Number(oneOf(values, 'block-size', BLOCK_SIZES.map(String))),
    queueCount,
    rangesMax: integer(values, 'max-ranges', 1, RANGES_MAX),
    workerCount,
    cpus: cpuList(values),
    lock: oneOf(values, 'lock', ['always', 'running'] as const),
    transfer: transferRequest(values),
    pollUs: pollUs === 'auto' ? -1 : integer(values, 'poll-us', 0, POLL_US_MAX),
    given: values,
  };
}
