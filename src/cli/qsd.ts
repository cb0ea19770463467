/**
 * `vloop qsd`: the arguments of qemu-storage-daemon that name vhost-user-blk exports, as vloop's own
 * options. For QEMU's test suite and for scripts that start a qemu-storage-daemon; whatever vloop would
 * do otherwise than that is refused in words. Source: docs/tools/qemu-storage-daemon.rst.
 */

import { OptionsError } from './option-values.ts';
import { type DiskOptions, parseCommandLine, type ServeOptions } from './options.ts';

/** `driver=file,node-name=x`: keys in order of their names, values as written. */
type KeyValues = ReadonlyMap<string, string>;

const EXPORT_TYPE = 'vhost-user-blk';
const FILE_DRIVERS = ['file', 'host_device'];

/** What a blockdev's keys may be, and for those with fixed values, which. */
const BLOCKDEV_KEYS: Readonly<Record<string, readonly string[] | null>> = {
  driver: [...FILE_DRIVERS, 'raw'],
  'node-name': null,
  filename: null,
  file: null,
  'read-only': ['on', 'off'],
  'cache.direct': ['on', 'off'],
  aio: ['io_uring', 'native', 'threads'],
  // vloop passes discards on in any case.
  discard: ['unmap', 'on'],
};

const EXPORT_KEYS: Readonly<Record<string, readonly string[] | null>> = {
  type: [EXPORT_TYPE],
  id: null,
  'node-name': null,
  'addr.type': ['fd', 'unix'],
  'addr.str': null,
  'addr.path': null,
  writable: ['on', 'off'],
  'num-queues': null,
  'logical-block-size': null,
};

/** QEMU splits at single commas; a double one is a comma. */
function keyValues(
  option: string,
  text: string,
  known: Readonly<Record<string, readonly string[] | null>>,
): KeyValues {
  if (text.trimStart().startsWith('{')) {
    throw new OptionsError(`${option} ${text}: JSON is not taken, expected key=value,…`);
  }
  const pairs = new Map<string, string>();
  for (const part of text.replaceAll(',,', '\0').split(',')) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(part.replaceAll('\0', ',')) ?? [];
    if (key === undefined || value === undefined) {
      throw new OptionsError(`${option}: "${part}" is not key=value`);
    }
    const allowed = Object.hasOwn(known, key) ? known[key] : undefined;
    if (allowed === undefined) {
      const all = Object.keys(known).join(', ');
      throw new OptionsError(`${option}: vloop does not know "${key}", expected one of ${all}`);
    }
    if (allowed !== null && !allowed.includes(value)) {
      const expected = allowed.join(' or ');
      throw new OptionsError(`${option}: ${key}=${value}, expected ${expected}`);
    }
    if (pairs.has(key)) throw new OptionsError(`${option}: ${key} is given twice`);
    pairs.set(key, value);
  }
  return pairs;
}

function must(pairs: KeyValues, option: string, key: string): string {
  const value = pairs.get(key);
  if (value === undefined || value === '') throw new OptionsError(`${option}: ${key}= is missing`);
  return value;
}

/** Pairs by their node-name or id. */
function addNamed(named: Map<string, KeyValues>, option: string, key: string, pairs: KeyValues) {
  const name = must(pairs, option, key);
  if (named.has(name)) throw new OptionsError(`${option}: ${key}=${name} is given twice`);
  named.set(name, pairs);
}

/** The options of a node's file, in vloop's words; a raw node over a file is that file. */
function blockdevOptions(nodes: ReadonlyMap<string, KeyValues>, name: string): string[] {
  const option = '--blockdev';
  const node = nodes.get(name);
  if (node === undefined) throw new OptionsError(`node-name=${name}: no ${option} has that name`);
  const lower = must(node, option, 'driver') === 'raw' ? must(node, option, 'file') : null;
  const below = lower === null ? node : nodes.get(lower);
  if (below === undefined) throw new OptionsError(`file=${lower}: no ${option} has that node-name`);
  if (!FILE_DRIVERS.includes(must(below, option, 'driver'))) {
    throw new OptionsError(`file=${lower}: expected a node of ${FILE_DRIVERS.join(' or ')}`);
  }
  const options = [`--blk-file=${must(below, option, 'filename')}`];
  // Said of either: QEMU's own defaults (buffered, threads) are not taken, vloop's are.
  const direct = below.get('cache.direct') ?? node.get('cache.direct');
  if (direct !== undefined) options.push(`--direct-io=${direct}`);
  const aio = below.get('aio');
  if (aio !== undefined) options.push(`--aio=${aio}`);
  return options;
}

function isReadOnly(nodes: ReadonlyMap<string, KeyValues>, name: string): boolean {
  const node = nodes.get(name);
  const below = nodes.get(node?.get('file') ?? '');
  return [node, below].some((pairs) => pairs?.get('read-only') === 'on');
}

function socketOption(pairs: KeyValues): string {
  const option = '--export';
  if (must(pairs, option, 'addr.type') === 'unix') {
    if (pairs.has('addr.str')) throw new OptionsError(`${option}: addr.str= is for addr.type=fd`);
    return `--socket-path=${must(pairs, option, 'addr.path')}`;
  }
  if (pairs.has('addr.path')) throw new OptionsError(`${option}: addr.path= is for addr.type=unix`);
  const fd = must(pairs, option, 'addr.str');
  if (!/^\d+$/.test(fd)) {
    throw new OptionsError(`${option}: addr.str=${fd}, expected the number of an inherited socket`);
  }
  return `--fd=${fd}`;
}

/** One export as vloop's command line, whose own checks follow. */
function exportOptions(nodes: ReadonlyMap<string, KeyValues>, pairs: KeyValues): string[] {
  const option = '--export';
  must(pairs, option, 'type');
  const name = must(pairs, option, 'node-name');
  const options = [...blockdevOptions(nodes, name), socketOption(pairs)];
  const writable = pairs.get('writable') === 'on';
  if (writable && isReadOnly(nodes, name)) {
    throw new OptionsError(`${option}: writable=on, and node ${name} is read-only=on`);
  }
  if (!writable) options.push('--read-only');
  options.push(`--num-queues=${pairs.get('num-queues') ?? '1'}`);
  options.push(`--block-size=${pairs.get('logical-block-size') ?? '512'}`);
  // QEMU's suite takes it for granted that a second range in a request is one too many.
  options.push('--max-ranges=1');
  return options;
}

function parseArguments(args: readonly string[]) {
  const nodes = new Map<string, KeyValues>();
  const exports = new Map<string, KeyValues>();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const [, option, joined] = /^(--[\w-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (option !== '--blockdev' && option !== '--export') {
      throw new OptionsError(`vloop qsd takes --blockdev and --export, not "${arg}"`);
    }
    const text = joined ?? rest.shift();
    if (text === undefined) throw new OptionsError(`${option}: what? (see --help)`);
    if (option === '--blockdev') {
      addNamed(nodes, option, 'node-name', keyValues(option, text, BLOCKDEV_KEYS));
    } else addNamed(exports, option, 'id', keyValues(option, text, EXPORT_KEYS));
  }
  return { nodes, exports: [...exports.values()] };
}

/** The arguments after `qsd` as disks to serve. Throws OptionsError. */
export function parseQsdArguments(args: readonly string[]): ServeOptions {
  const { nodes, exports } = parseArguments(args);
  if (exports.length === 0) throw new OptionsError('vloop qsd: no --export is given (see --help)');
  let options: ServeOptions | null = null;
  const disks: DiskOptions[] = [];
  for (const pairs of exports) {
    const invocation = parseCommandLine(exportOptions(nodes, pairs));
    if (invocation.verb !== 'serve') throw new Error(`${invocation.verb}, expected serve`);
    options ??= invocation.options;
    disks.push(...invocation.options.disks);
  }
  for (const key of ['fd', 'socketPath'] as const) {
    const values = disks.filter(({ fd }) => key === 'fd' || fd === null).map((disk) => disk[key]);
    const twice = values.find((value, i) => value !== null && values.indexOf(value) !== i);
    if (twice !== undefined) throw new OptionsError(`--export: two share the socket ${twice}`);
  }
  return { ...options!, disks };
}
