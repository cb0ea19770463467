/**
 * The options of a served disk, declared once: the command line, --help, README's table, configurations and the
 * man page derive from this list. `--socket-path`, `--fd`, `--print-capabilities`, `--blk-file` and `--read-only`
 * are the back-end program conventions of vhost-user.rst, word for word.
 */
import { LINUX_PARTITIONS_MAX } from '../../../protocol/partition-tables.ts';
import { VIRTIO_BLK_ID_BYTES } from '../../../protocol/virtio-blk.ts';
import { RANGES_MAX } from '../../blk/disk-shape.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../../log.ts';
import { BLOCK_SIZES } from '../../loop/geometry.ts';
import { BYTES, count, FLAG, type OptionRow, oneOf, TEXT } from './option-row.ts';

/** KICK, CALL and ERR name a vring in eight bits. */
export const QUEUES_MAX = 256;
export const WORKERS_MAX = 64;
export const POLL_US_MAX = 1000;
export const CPU_LATENCY_US_MAX = 1000;
/** What a disk may be called: it stands in tables, paths of metrics and shell words. */
export const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._+@-]{0,63}$';

export const optionTable = {
  'socket-path': {
    value: 'PATH',
    meaning: 'listen at this unix socket',
    scope: 'disk',
    schema: TEXT,
  },
  fd: {
    value: 'FDNUM',
    meaning: 'use this inherited unix socket, listening or connected',
    scope: 'command',
    schema: count(0, 2 ** 20),
  },
  'blk-file': {
    value: 'PATH',
    meaning: 'the raw image or block device to serve',
    scope: 'disk',
    schema: TEXT,
  },
  memory: {
    value: 'SIZE',
    meaning:
      'serve a disk in memory instead of a file; it is gone when vloop ends; the system may take memory for it 2 MiB at a time',
    scope: 'disk',
    schema: TEXT,
  },
  name: {
    value: 'TEXT',
    meaning: 'how commands call the disk',
    default: 'the name of the file',
    scope: 'disk',
    schema: { ...TEXT, pattern: NAME_PATTERN },
  },
  'read-only': {
    value: null,
    meaning: 'serve it read-only; the file is not opened for writing',
    scope: 'disk',
    schema: FLAG,
  },
  'print-capabilities': {
    value: null,
    meaning: 'print what this back-end can do as JSON, and exit',
    scope: 'command',
    schema: FLAG,
  },
  aio: {
    value: 'auto|io_uring|native|threads',
    meaning:
      'engine; auto takes io_uring, where it is forbidden Linux AIO for direct I/O, else threads',
    default: 'auto',
    scope: 'disk',
    schema: oneOf('auto', 'io_uring', 'native', 'threads'),
  },
  'io-path': {
    value: 'auto|engine|calls',
    meaning:
      'auto: plain calls for files in memory and for quick writes into the page cache, the engine for the rest',
    default: 'auto',
    scope: 'disk',
    schema: oneOf('auto', 'engine', 'calls'),
  },
  'direct-io': {
    value: 'on|off|auto',
    meaning: 'bypass the page cache: always (or refuse), never, or where possible',
    default: 'auto',
    scope: 'disk',
    schema: oneOf('on', 'off', 'auto'),
  },
  serial: {
    value: 'TEXT',
    meaning: 'what the guest sees as the serial, at most 20 ASCII characters',
    default: 'a hash of the file path',
    scope: 'disk',
    schema: { ...TEXT, maxLength: VIRTIO_BLK_ID_BYTES },
  },
  'block-size': {
    value: 'BYTES',
    meaning: 'logical block size: 512, 1024, 2048 or 4096',
    default: '512',
    scope: 'disk',
    schema: oneOf(...BLOCK_SIZES),
  },
  transfer: {
    value: 'NAME|FILE',
    meaning:
      'what data go through on their way: none, xor, aes-xts-plain64 (dm-crypt’s), cryptoloop-aes-cbc, or a TypeScript file with a transfer module',
    default: 'none',
    scope: 'disk',
    schema: TEXT,
  },
  'transfer-options': {
    value: 'LIST',
    meaning:
      'for the module, as name=value,…; aes-xts-plain64 takes iv_offset, sector_size, iv_large_sectors, allow_discards',
    scope: 'disk',
    schema: TEXT,
  },
  'key-file': {
    value: 'PATH',
    meaning: 'the key of --transfer: the bytes of this file, all of them and as they are',
    scope: 'disk',
    schema: TEXT,
  },
  'key-fd': {
    value: 'FDNUM',
    meaning: 'the same, from an inherited descriptor that is read to its end',
    scope: 'command',
    schema: count(0, 2 ** 20),
  },
  offset: {
    value: 'BYTES',
    meaning: 'where the disk begins in the file, as 1M',
    default: '0',
    scope: 'disk',
    schema: BYTES,
  },
  'size-limit': {
    value: 'BYTES',
    meaning: 'the most bytes of the file that the disk shows; 0: all behind the offset',
    default: '0',
    scope: 'disk',
    schema: BYTES,
  },
  partition: {
    value: 'N',
    meaning: 'the disk is this partition of the file, by its number in `vloop list --partitions`',
    scope: 'disk',
    schema: count(1, LINUX_PARTITIONS_MAX),
  },
  autoclear: {
    value: null,
    meaning: 'end the disk when its front-end has gone; can be changed while it runs',
    scope: 'disk',
    schema: FLAG,
  },
  'num-queues': {
    value: 'N',
    meaning: `virtqueues that the front-end may use, 1 to ${QUEUES_MAX}`,
    // QEMU asks for one a vCPU and refuses to start when the back-end has fewer; unused ones cost nothing.
    default: '64',
    scope: 'disk',
    schema: count(1, QUEUES_MAX),
  },
  'max-ranges': {
    value: 'N',
    meaning: `ranges that a discard or write-zeroes request may have, 1 to ${RANGES_MAX}`,
    default: `${RANGES_MAX}`,
    scope: 'disk',
    schema: count(1, RANGES_MAX),
  },
  workers: {
    value: 'N',
    meaning: 'threads that serve the queues',
    default: '1',
    scope: 'disk',
    schema: count(1, WORKERS_MAX),
  },
  cpus: {
    value: 'LIST',
    meaning: 'CPUs that workers are bound to, as 0,2-3',
    default: 'any',
    scope: 'disk',
    schema: TEXT,
  },
  'poll-us': {
    value: 'US|auto',
    meaning: 'microseconds a worker polls before it sleeps, 0 to 1000',
    default: 'auto',
    scope: 'disk',
    schema: { anyOf: [oneOf('auto'), count(0, POLL_US_MAX)] },
  },
  'cpu-latency-us': {
    value: 'US',
    meaning:
      'while disks are busy, idle CPUs of the machine must wake within US microseconds (0: they do not sleep); needs root',
    default: 'not asked for',
    scope: 'process',
    schema: count(0, CPU_LATENCY_US_MAX),
  },
  lock: {
    value: 'always|running',
    meaning:
      'hold the lock on the file from start to end, or only while a ring runs: for two vloops that hand it over (migration)',
    default: 'always',
    scope: 'disk',
    schema: oneOf('always', 'running'),
  },
  config: {
    value: 'FILE',
    meaning:
      'serve the disks of this configuration (vloop.config.json, or a directory that has one); none is read unless it is named',
    scope: 'command',
    schema: TEXT,
  },
  control: {
    value: 'PATH|off',
    meaning: 'listen for commands at this socket, or for none',
    default: 'PID.ctl in the run directory',
    scope: 'process',
    schema: TEXT,
  },
  http: {
    value: 'HOST:PORT',
    meaning:
      'serve a page that shows the disks, and metrics, on this machine only (127.0.0.1:0 takes a free port); the link with its token is printed',
    scope: 'process',
    schema: TEXT,
  },
  once: {
    value: null,
    meaning: 'end after the first front-end has disconnected',
    scope: 'process',
    schema: FLAG,
  },
  'exit-with-stdin': {
    value: null,
    meaning:
      'end when standard input is closed and no front-end is connected: for programs that start vloop and may be killed',
    scope: 'process',
    schema: FLAG,
  },
  successor: {
    value: 'PROGRAM',
    meaning: 'what SIGUSR2 starts, with these same options, to take the disks over while they run',
    default: 'this program, as it is on disk then',
    scope: 'process',
    schema: TEXT,
  },
  'trace-messages': {
    value: 'FILE',
    meaning:
      'append every vhost-user message to FILE, readable, with its answer and the time it took',
    scope: 'process',
    schema: TEXT,
  },
  'log-level': {
    value: 'LEVEL',
    meaning: LOG_LEVELS.join(', '),
    default: 'info',
    scope: 'process',
    schema: oneOf(...LOG_LEVELS),
  },
  'log-format': {
    value: 'auto|json|pretty',
    meaning: 'lines of the log as JSON or for people; auto: for people at a terminal, else JSON',
    default: 'auto',
    scope: 'process',
    schema: oneOf(...LOG_FORMATS),
  },
  version: { value: null, meaning: 'print the version, and exit', scope: 'command', schema: FLAG },
  help: { value: null, meaning: 'print this, and exit', scope: 'command', schema: FLAG },
} as const satisfies Readonly<Record<string, OptionRow>>;

export type OptionName = keyof typeof optionTable;
