/**
 * A QEMU command line with vloop's disks filled in: a chardev and a device for each, and guest memory that is
 * shared, without which a vhost-user disk reaches none of it. Pure: words in, words out; whatever cannot work is
 * refused before anything is started. Options as in qemu(1); a second dash is taken as QEMU takes it.
 */
import { basename } from 'node:path';
import { OptionsError } from '../option-values.ts';
import { commaParts, quoteCommas, splitCommas } from './comma-list.ts';

/** The word that stands for the disks. */
export const DISKS_WORD = '{disks}';
/** Modern only: OVMF would drive a transitional device with its legacy driver, which vloop refuses. */
export const DEFAULT_DEVICE = 'vhost-user-blk-pci,disable-legacy=on';
/** QEMU's own default where the command has no -m. */
const DEFAULT_MEMORY = '128M';

export interface QemuDisk {
  readonly socketPath: string;
  /** Null: as many as QEMU likes. */
  readonly queueCount: number | null;
}

export interface QemuFilling {
  readonly disks: readonly QemuDisk[];
  readonly device: string;
  /** The chardev's option that makes QEMU connect again, or null. */
  readonly reconnect: string | null;
}

interface QemuOption {
  readonly name: string;
  /** Where its value stands in the command, and the value. */
  readonly at: number;
  readonly value: string;
}

/** Where QEMU is in a command that may begin with other programs (sudo, taskset); -1: nowhere to be seen. */
export function qemuAt(command: readonly string[]): number {
  return command.findIndex((word) => /^(qemu-system-|qemu-kvm$|kvm$)/.test(basename(word)));
}

/** The command with the disks in it. Throws OptionsError. */
export function fillQemuCommand(command: readonly string[], filling: QemuFilling): string[] {
  const place = placeOfDisks(command);
  const options = optionsOf(command);
  if (options.some(({ name }) => name === 'daemonize')) {
    throw new OptionsError(
      '-daemonize: vloop run ends the disks when the command ends, and the machine would go on without',
    );
  }
  const prefix = freePrefix(command);
  const memory = sharedMemory(command, options, `${prefix}-mem`);
  const words = [...command];
  if (memory.machine !== null) words[memory.machine.at] = memory.machine.value;
  const added = [...memory.words, ...diskWords(filling, prefix)];
  if (place < 0) return [...words, ...added];
  return [...words.slice(0, place), ...added, ...words.slice(place + 1)];
}

function placeOfDisks(command: readonly string[]): number {
  const places = command.flatMap((word, at) => (word.includes(DISKS_WORD) ? [at] : []));
  if (places.length > 1) throw new OptionsError(`${DISKS_WORD} stands in the command twice`);
  const [place = -1] = places;
  if (place >= 0 && command[place] !== DISKS_WORD) {
    throw new OptionsError(`${command[place]}: ${DISKS_WORD} has to be a word of its own`);
  }
  return place;
}

/** Options of QEMU that matter here; values of others are passed over as words that begin with no dash. */
function optionsOf(command: readonly string[]): QemuOption[] {
  const options: QemuOption[] = [];
  for (let at = Math.max(qemuAt(command), 0) + 1; at < command.length; at++) {
    const name = /^--?(m|M|machine|object|numa|mem-path|daemonize)$/.exec(command[at]!)?.[1];
    if (name === undefined) continue;
    if (name === 'daemonize') options.push({ name, at, value: '' });
    else if (at + 1 < command.length) {
      options.push({ name: name === 'M' ? 'machine' : name, at: at + 1, value: command[++at]! });
    }
  }
  return options;
}

function freePrefix(command: readonly string[]): string {
  let prefix = 'vloop';
  while (command.some((word) => word.includes(`id=${prefix}`) || word.includes(`"${prefix}`))) {
    prefix += '-run';
  }
  return prefix;
}

function diskWords({ disks, device, reconnect }: QemuFilling, prefix: string): string[] {
  return disks.flatMap(({ socketPath, queueCount }, i) => {
    const socket = `socket,id=${prefix}${i},path=${quoteCommas(socketPath)}`;
    const queues = queueCount === null ? '' : `,num-queues=${queueCount}`;
    return [
      ...['-chardev', reconnect === null ? socket : `${socket},${reconnect}`],
      ...['-device', `${device},chardev=${prefix}${i}${queues}`],
    ];
  });
}

/** The last value of a key in options that QEMU merges. */
function lastValue(options: readonly QemuOption[], name: string, key: string): string | null {
  const parts = options
    .filter((option) => option.name === name)
    .flatMap((o) => commaParts(o.value));
  return parts.findLast((part) => part.key === key)?.value ?? null;
}

interface MemoryFilling {
  readonly words: readonly string[];
  /** What the -machine of the command becomes; null: it has none, or stays. */
  readonly machine: { readonly at: number; readonly value: string } | null;
}

function sharedMemory(
  command: readonly string[],
  options: readonly QemuOption[],
  id: string,
): MemoryFilling {
  const numa = options.filter(({ name }) => name === 'numa').flatMap((o) => commaParts(o.value));
  const nodes = numa.flatMap(({ key, value }) =>
    key === 'memdev' && value !== null ? [value] : [],
  );
  const ofMachine = lastValue(options, 'machine', 'memory-backend');
  const backends = ofMachine === null ? nodes : [ofMachine];
  if (backends.length > 0) {
    for (const backend of backends) mustBeShared(options, backend);
    return { words: [], machine: null };
  }
  if (options.some(({ name }) => name === 'mem-path')) {
    throw new OptionsError(
      '-mem-path: memory of it is not shared with the disks; -object memory-backend-file,…,share=on is',
    );
  }
  const sizes = options.filter(({ name }) => name === 'm');
  // A script whose QEMU is not to be seen may have its memory inside.
  if (qemuAt(command) < 0 && sizes.length === 0) return { words: [], machine: null };
  const object = `memory-backend-memfd,id=${id},size=${memorySize(options)},share=on`;
  const machine = options.findLast(({ name }) => name === 'machine');
  if (machine === undefined) {
    return { words: ['-object', object, '-machine', `memory-backend=${id}`], machine: null };
  }
  const merged = { at: machine.at, value: `${machine.value},memory-backend=${id}` };
  return { words: ['-object', object], machine: merged };
}

/** As -object takes it: there a number without a unit is bytes, to -m it is MiB. */
function memorySize(options: readonly QemuOption[]): string {
  const sizes = options
    .filter(({ name }) => name === 'm')
    .flatMap(({ value }) => commaParts(value))
    .flatMap(({ key, value }) => (value === null ? [key] : key === 'size' ? [value] : []));
  const size = sizes.at(-1) ?? lastValue(options, 'machine', 'memory.size') ?? DEFAULT_MEMORY;
  if (Number(size) === 0) return DEFAULT_MEMORY;
  return /^[\d.]+$/.test(size) ? `${size}M` : size;
}

/** Kinds of memory that are shared unless they are told otherwise. */
const SHARED_BY_ITSELF = ['memory-backend-memfd', 'memory-backend-shm', 'memory-backend-epc'];

function mustBeShared(options: readonly QemuOption[], id: string): void {
  const objects = options
    .filter(({ name }) => name === 'object')
    .map(({ value }) => readObject(value));
  const object = objects.find((candidate) => candidate.id === id);
  // One that comes from elsewhere (-readconfig) is QEMU's to check.
  if (object === undefined) return;
  const shared = object.share ?? SHARED_BY_ITSELF.includes(object.kind);
  if (!shared) {
    throw new OptionsError(
      `-object ${object.kind},id=${id}: guest memory without share=on is not shared, and the disks could not reach it`,
    );
  }
}

interface QemuObject {
  readonly kind: string;
  readonly id: string | null;
  readonly share: boolean | null;
}

/** An -object in either of its forms; one that cannot be read is QEMU's to refuse. */
function readObject(text: string): QemuObject {
  const keys = text.trimStart().startsWith('{')
    ? jsonKeys(text)
    : new Map<string, unknown>([
        ['qom-type', splitCommas(text)[0]],
        ...commaParts(text).map(({ key, value }) => [key, value ?? 'on'] as const),
      ]);
  const share = keys.get('share');
  return {
    kind: String(keys.get('qom-type')),
    id: keys.has('id') ? String(keys.get('id')) : null,
    share: share === undefined ? null : ['on', 'yes', 'true', 'y'].includes(String(share)),
  };
}

function jsonKeys(text: string): Map<string, unknown> {
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, unknown>));
  } catch {
    return new Map();
  }
}
