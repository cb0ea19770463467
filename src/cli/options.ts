/**
 * The options of vloop, declared once: parsing, --help and README's table derive from this list.
 * `--socket-path`, `--fd`, `--print-capabilities`, `--blk-file` and `--read-only` are the back-end
 * program conventions of vhost-user.rst, word for word.
 */
import { cpus as machineCpus } from 'node:os';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { VIRTIO_BLK_ID_BYTES } from '../../protocol/virtio-blk.ts';
import type { Engine } from '../backing/choose-engine.ts';
import { RANGES_MAX } from '../blk/disk-shape.ts';
import { LOG_LEVELS, type LogLevel } from '../log.ts';
import { BLOCK_SIZES } from '../loop/geometry.ts';
import { CPU_COUNT_MAX } from '../sys/scheduling.ts';

/** KICK, CALL and ERR name a vring in eight bits. */
const QUEUES_MAX = 256;

interface OptionRow {
  readonly value: string | null;
  readonly meaning: string;
  readonly default?: string;
}

export const optionTable = {
  'socket-path': { value: 'PATH', meaning: 'listen at this unix socket' },
  fd: { value: 'FDNUM', meaning: 'use this inherited unix socket, listening or connected' },
  'blk-file': { value: 'PATH', meaning: 'the raw image or block device to serve' },
  memory: {
    value: 'SIZE',
    meaning:
      'serve a disk in memory instead of a file; it is gone when vloop ends; the system may take memory for it 2 MiB at a time',
  },
  'read-only': { value: null, meaning: 'serve it read-only; the file is not opened for writing' },
  'print-capabilities': {
    value: null,
    meaning: 'print what this back-end can do as JSON, and exit',
  },
  aio: {
    value: 'auto|io_uring|native|threads',
    meaning:
      'engine; auto takes io_uring, where it is forbidden Linux AIO for direct I/O, else threads',
    default: 'auto',
  },
  'io-path': {
    value: 'auto|engine|calls',
    meaning:
      'auto: plain calls for files in memory and for quick writes into the page cache, the engine for the rest',
    default: 'auto',
  },
  'direct-io': {
    value: 'on|off|auto',
    meaning: 'bypass the page cache: always (or refuse), never, or where possible',
    default: 'auto',
  },
  serial: {
    value: 'TEXT',
    meaning: 'what the guest sees as the serial, at most 20 ASCII characters',
    default: 'a hash of the file path',
  },
  'block-size': {
    value: 'BYTES',
    meaning: 'logical block size: 512, 1024, 2048 or 4096',
    default: '512',
  },
  'num-queues': {
    value: 'N',
    meaning: `virtqueues that the front-end may use, 1 to ${QUEUES_MAX}`,
    // QEMU asks for one a vCPU and refuses to start when the back-end has fewer; unused ones cost nothing.
    default: '64',
  },
  'max-ranges': {
    value: 'N',
    meaning: `ranges that a discard or write-zeroes request may have, 1 to ${RANGES_MAX}`,
    default: `${RANGES_MAX}`,
  },
  workers: { value: 'N', meaning: 'threads that serve the queues', default: '1' },
  cpus: { value: 'LIST', meaning: 'CPUs that workers are bound to, as 0,2-3', default: 'any' },
  'poll-us': {
    value: 'US|auto',
    meaning: 'microseconds a worker polls before it sleeps, 0 to 1000',
    default: 'auto',
  },
  'cpu-latency-us': {
    value: 'US',
    meaning:
      'while disks are busy, idle CPUs of the machine must wake within US microseconds (0: they do not sleep); needs root',
    default: 'not asked for',
  },
  lock: {
    value: 'always|running',
    meaning:
      'hold the lock on the file from start to end, or only while a ring runs: for two vloops that hand it over (migration)',
    default: 'always',
  },
  once: { value: null, meaning: 'end after the first front-end has disconnected' },
  'exit-with-stdin': {
    value: null,
    meaning:
      'end when standard input is closed and no front-end is connected: for programs that start vloop and may be killed',
  },
  successor: {
    value: 'PROGRAM',
    meaning: 'what SIGUSR2 starts, with these same options, to take the disks over while they run',
    default: 'this program, as it is on disk then',
  },
  'trace-messages': {
    value: 'FILE',
    meaning:
      'append every vhost-user message to FILE, readable, with its answer and the time it took',
  },
  'log-level': { value: 'LEVEL', meaning: LOG_LEVELS.join(', '), default: 'info' },
  version: { value: null, meaning: 'print the version, and exit' },
  help: { value: null, meaning: 'print this, and exit' },
} as const satisfies Readonly<Record<string, OptionRow>>;

type OptionName = keyof typeof optionTable;

/** A command line that cannot be carried out: exit status 2. */
export class OptionsError extends Error {
  readonly code = 'VLOOP_OPTIONS';
}

/** One disk. Its bytes are a file's, or `memoryBytes` of this process. */
export interface DiskOptions {
  /** Null: memory. */
  readonly blkFile: string | null;
  readonly memoryBytes: number;
  readonly socketPath: string;
  /** Instead of the path: an inherited socket. */
  readonly fd: number | null;
  readonly readOnly: boolean;
  readonly directIo: 'on' | 'off' | 'auto';
  readonly aio: 'auto' | Engine;
  readonly ioPath: 'auto' | 'engine' | 'calls';
  readonly serial: string | null;
  readonly blockSizeBytes: number;
  readonly queueCount: number;
  /** Of one discard or write-zeroes request. */
  readonly rangesMax: number;
  readonly workerCount: number;
  /** CPUs that workers are bound to, in turn; none: any. */
  readonly cpus: readonly number[];
  /** -1: adaptive. */
  readonly pollUs: number;
  /** When the file is locked: always, or while a vring runs. */
  readonly lock: 'always' | 'running';
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
}

export type Invocation =
  | { readonly verb: 'help' | 'version' | 'print-capabilities' }
  | { readonly verb: 'serve'; readonly options: ServeOptions };

type Values = Partial<Record<OptionName, string | boolean>>;

const PARSE_OPTIONS = Object.fromEntries(
  Object.entries(optionTable).map(([name, row]) => [
    name,
    { type: row.value === null ? ('boolean' as const) : ('string' as const) },
  ]),
);

/** Turns argv (without node and script) into what is asked. Throws OptionsError. */
export function parseCommandLine(args: readonly string[]): Invocation {
  const { values, positionals } = parseStrictly(args);
  // The conventions: with --print-capabilities all other options are ignored.
  if (values['print-capabilities']) return { verb: 'print-capabilities' };
  if (values.help) return { verb: 'help' };
  if (values.version) return { verb: 'version' };
  const friendly = positionals[0] === 'serve';
  const rest = friendly ? positionals.slice(1) : positionals;
  if (!friendly && rest.length > 0) {
    throw new OptionsError(`unknown command "${rest[0]}", expected "serve" (see --help)`);
  }
  return { verb: 'serve', options: serveOptions(values, rest, friendly) };
}

function parseStrictly(args: readonly string[]): { values: Values; positionals: string[] } {
  try {
    const parsed = parseArgs({ args: [...args], options: PARSE_OPTIONS, allowPositionals: true });
    return { values: parsed.values as Values, positionals: parsed.positionals };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new OptionsError(`${message.split('. ')[0]} (see --help)`);
  }
}

function serveOptions(values: Values, files: string[], friendly: boolean): ServeOptions {
  const sources = diskSources(values, files, friendly);
  const several = sources.length > 1;
  for (const name of ['socket-path', 'fd', 'serial'] as const) {
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
      values['cpu-latency-us'] === undefined ? null : integer(values, 'cpu-latency-us', 0, 1000),
    successor: path(values, 'successor'),
    traceMessages: path(values, 'trace-messages'),
    logLevel: oneOf(values, 'log-level', LOG_LEVELS),
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
  const workerCount = integer(values, 'workers', 1, 64);
  if (workerCount > queueCount) {
    throw new OptionsError(`--workers=${workerCount}: more than --num-queues=${queueCount}`);
  }
  const pollUs = text(values, 'poll-us') ?? 'auto';
  return {
    fd,
    memoryBytes: values.memory === undefined ? 0 : size(values, 'memory'),
    readOnly: values['read-only'] === true,
    directIo: oneOf(values, 'direct-io', ['on', 'off', 'auto'] as const),
    aio: oneOf(values, 'aio', ['auto', 'io_uring', 'native', 'threads']),
    ioPath: oneOf(values, 'io-path', ['auto', 'engine', 'calls']),
    serial: serial(values),
    blockSizeBytes: Number(oneOf(values, 'block-size', BLOCK_SIZES.map(String))),
    queueCount,
    rangesMax: integer(values, 'max-ranges', 1, RANGES_MAX),
    workerCount,
    cpus: cpuList(values),
    lock: oneOf(values, 'lock', ['always', 'running'] as const),
    pollUs: pollUs === 'auto' ? -1 : integer(values, 'poll-us', 0, 1000),
  };
}

function text(values: Values, name: OptionName): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A path that may be left out, and not be empty. */
function path(values: Values, name: OptionName): string | null {
  const value = text(values, name);
  if (value === '') throw new OptionsError(`--${name}= is empty, expected a path`);
  return value ?? null;
}

function withDefault(values: Values, name: OptionName): string {
  const row: OptionRow = optionTable[name];
  return text(values, name) ?? row.default ?? '';
}

function integer(values: Values, name: OptionName, min: number, max: number): number {
  const value = withDefault(values, name);
  const parsed = Number(value);
  if (/^\d+$/.test(value) && parsed >= min && parsed <= max) return parsed;
  throw new OptionsError(`--${name}=${value}: expected a number from ${min} to ${max}`);
}

function oneOf<const T extends string>(values: Values, name: OptionName, allowed: readonly T[]): T {
  const value = withDefault(values, name);
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new OptionsError(`--${name}=${value}: expected one of ${allowed.join(', ')}`);
}

/** Sizes as losetup takes them: K, KiB, M, … are powers of 1024; KB, MB, … of 1000. */
function size(values: Values, name: OptionName): number {
  const value = withDefault(values, name);
  const match = /^(\d+)(?:([KMGT])(iB|B)?)?$/.exec(value);
  const [, digits, unit, suffix] = match ?? [];
  const power = unit === undefined ? 0 : 'KMGT'.indexOf(unit) + 1;
  const bytes = Number(digits) * (suffix === 'B' ? 1000 : 1024) ** power;
  if (match !== null && bytes >= 4096 && Number.isSafeInteger(bytes)) return bytes;
  throw new OptionsError(`--${name}=${value}: expected a size from 4096 bytes on, as 64M or 1GiB`);
}

/** `0,2-3` → [0, 2, 3]. */
function cpuList(values: Values): number[] {
  const value = text(values, 'cpus');
  if (value === undefined) return [];
  const cpuCount = Math.min(machineCpus().length, CPU_COUNT_MAX);
  const cpus = value.split(',').flatMap((part) => {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last ?? first)];
    return from <= to && to < cpuCount
      ? Array.from({ length: to - from + 1 }, (_, i) => from + i)
      : [Number.NaN];
  });
  if (!cpus.some(Number.isNaN)) return cpus;
  throw new OptionsError(`--cpus=${value}: expected CPU numbers below ${cpuCount}, as 0,2-3`);
}

function serial(values: Values): string | null {
  const value = text(values, 'serial');
  if (value === undefined) return null;
  if (/^[\x21-\x7e]+$/.test(value) && value.length <= VIRTIO_BLK_ID_BYTES) return value;
  throw new OptionsError(
    `--serial=${value}: expected 1 to ${VIRTIO_BLK_ID_BYTES} printable ASCII characters without spaces`,
  );
}

/** README's table of options. */
export function optionsMarkdown(): string {
  const rows = Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => {
    const left = row.value === null ? `--${name}` : `--${name}=${row.value.replaceAll('|', '\\|')}`;
    return `| \`${left}\` | ${row.meaning} | ${row.default ?? ''} |`;
  });
  return ['| option | meaning | default |', '|---|---|---|', ...rows].join('\n');
}

/** The text of --help. */
export function helpText(): string {
  const rows = Object.entries(optionTable).map(([name, row]: [string, OptionRow]) => {
    const left = row.value === null ? `--${name}` : `--${name}=${row.value}`;
    const fallback = row.default === undefined ? '' : ` (default: ${row.default})`;
    return `  ${left.padEnd(26)} ${row.meaning}${fallback}`;
  });
  return [
    "vloop: a virtual machine's disk, served from user space (vhost-user-blk back-end)",
    '',
    'usage:',
    '  vloop serve IMAGE... [options]                       serve IMAGE, say how to attach it',
    '  vloop --socket-path=PATH --blk-file=IMAGE [options]  the same, by the back-end conventions',
    '  vloop --fd=FDNUM --blk-file=IMAGE [options]          on an inherited socket',
    '  vloop qsd --blockdev ARGS --export ARGS...           with the arguments of qemu-storage-daemon',
    '  vloop run --disk IMAGE... -- qemu-system-x86_64 ...  disks for one machine (vloop run --help)',
    '',
    'options:',
    ...rows,
    '',
    'At SIGUSR2 a new process of this program takes the disks over while guests run; see README.',
    'Ends at SIGTERM or SIGINT: running requests complete first. Exit status: 0 ended as asked,',
    '1 the disk or the socket cannot be used, 2 the command line is wrong.',
    '',
  ].join('\n');
}
