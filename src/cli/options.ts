/**
 * The options of vloop, declared once: parsing, --help and README's table derive from this list.
 * `--socket-path`, `--fd`, `--print-capabilities`, `--blk-file` and `--read-only` are the back-end
 * program conventions of vhost-user.rst, word for word.
 */
import { parseArgs } from 'node:util';
import { VIRTIO_BLK_ID_BYTES } from '../../protocol/virtio-blk.ts';
import type { Engine } from '../backing/choose-engine.ts';
import { LOG_LEVELS, type LogLevel } from '../log.ts';
import { BLOCK_SIZES } from '../loop/geometry.ts';

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
  'read-only': { value: null, meaning: 'serve it read-only; the file is not opened for writing' },
  'print-capabilities': {
    value: null,
    meaning: 'print what this back-end can do as JSON, and exit',
  },
  aio: {
    value: 'auto|io_uring|native|threads',
    meaning:
      'engine; auto takes io_uring, and where it is forbidden Linux AIO for direct I/O, else threads',
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
  workers: { value: 'N', meaning: 'threads that serve the queues', default: '1' },
  'poll-us': {
    value: 'US|auto',
    meaning: 'microseconds a worker polls before it sleeps, 0 to 1000',
    default: 'auto',
  },
  once: { value: null, meaning: 'end after the first front-end has disconnected' },
  'log-level': { value: 'LEVEL', meaning: LOG_LEVELS.join(', '), default: 'info' },
  version: { value: null, meaning: 'print the version, and exit' },
  help: { value: null, meaning: 'print this, and exit' },
} as const satisfies Readonly<Record<string, OptionRow>>;

type OptionName = keyof typeof optionTable;

/** A command line that cannot be carried out: exit status 2. */
export class OptionsError extends Error {
  readonly code = 'VLOOP_OPTIONS';
}

export interface ServeOptions {
  /** The friendly form: say where the socket is and how to use it. */
  readonly friendly: boolean;
  readonly socketPath: string | null;
  readonly fd: number | null;
  readonly blkFile: string;
  readonly readOnly: boolean;
  readonly directIo: 'on' | 'off' | 'auto';
  readonly aio: 'auto' | Engine;
  readonly ioPath: 'auto' | 'engine' | 'calls';
  readonly serial: string | null;
  readonly blockSizeBytes: number;
  readonly queueCount: number;
  readonly workerCount: number;
  /** -1: adaptive. */
  readonly pollUs: number;
  readonly once: boolean;
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
  const blkFile = text(values, 'blk-file') ?? files[0];
  if (files.length > 1 || (files.length === 1 && values['blk-file'] !== undefined)) {
    throw new OptionsError(`one disk image is served, got also "${files.at(-1)}"`);
  }
  if (blkFile === undefined || blkFile === '') {
    throw new OptionsError(
      friendly
        ? 'serve: which file? (vloop serve disk.img)'
        : 'no --blk-file=PATH given (see --help)',
    );
  }
  const socketPath = text(values, 'socket-path');
  const fd = values.fd === undefined ? null : integer(values, 'fd', 0, 2 ** 20);
  if (socketPath !== undefined && fd !== null) {
    throw new OptionsError('--socket-path and --fd exclude each other');
  }
  if (socketPath === '') throw new OptionsError('--socket-path= is empty, expected a path');
  if (socketPath === undefined && fd === null && !friendly) {
    throw new OptionsError('one of --socket-path=PATH and --fd=FDNUM is needed (see --help)');
  }
  const queueCount = integer(values, 'num-queues', 1, QUEUES_MAX);
  const workerCount = integer(values, 'workers', 1, 64);
  if (workerCount > queueCount) {
    throw new OptionsError(`--workers=${workerCount}: more than --num-queues=${queueCount}`);
  }
  return {
    friendly,
    socketPath: socketPath ?? null,
    fd,
    blkFile,
    readOnly: values['read-only'] === true,
    directIo: oneOf(values, 'direct-io', ['on', 'off', 'auto'] as const),
    aio: oneOf(values, 'aio', ['auto', 'io_uring', 'native', 'threads']),
    ioPath: oneOf(values, 'io-path', ['auto', 'engine', 'calls']),
    serial: serial(values),
    blockSizeBytes: Number(oneOf(values, 'block-size', BLOCK_SIZES.map(String))),
    queueCount,
    workerCount,
    pollUs:
      values['poll-us'] === undefined || values['poll-us'] === 'auto'
        ? -1
        : integer(values, 'poll-us', 0, 1000),
    once: values.once === true,
    logLevel: oneOf(values, 'log-level', LOG_LEVELS),
  };
}

function text(values: Values, name: OptionName): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
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
    '  vloop serve IMAGE [options]                          serve IMAGE, say how to attach it',
    '  vloop --socket-path=PATH --blk-file=IMAGE [options]  the same, by the back-end conventions',
    '  vloop --fd=FDNUM --blk-file=IMAGE [options]          on an inherited socket',
    '',
    'options:',
    ...rows,
    '',
    'Ends at SIGTERM or SIGINT: running requests complete first. Exit status: 0 ended as asked,',
    '1 the disk or the socket cannot be used, 2 the command line is wrong.',
    '',
  ].join('\n');
}
