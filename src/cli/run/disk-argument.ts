/**
 * `--disk FILE[,key=value…]` of `vloop run`: the options of one disk by their names in the schema, and `ro` as
 * QEMU says it, as a command line of `vloop serve`, which checks them.
 */
import { didYouMean } from '../../control/nearest-name.ts';
import { optionTable } from '../../control/schema/options.ts';
import { OptionsError } from '../option-values.ts';
import { parseCommandLine } from '../options.ts';
import { commaParts, splitCommas } from './comma-list.ts';

export interface DiskArgument {
  readonly file: string;
  /** For `vloop serve`, without socket and file. */
  readonly options: readonly string[];
  /** Null: the default. */
  readonly queueCount: number | null;
}

/** Options of `serve` that are not one disk's, or that `vloop run` gives itself. */
const NOT_A_DISKS = [
  ...[
    'socket-path',
    'fd',
    // The disk's process inherits no descriptor.
    'key-fd',
    'blk-file',
    'memory',
    'once',
    'exit-with-stdin',
    'successor',
    'cpu-latency-us',
    'log-format',
  ],
  ...['print-capabilities', 'version', 'help'],
];
const DISK_OPTIONS = Object.keys(optionTable).filter((name) => !NOT_A_DISKS.includes(name));
const ALIASES: Readonly<Record<string, string>> = { ro: 'read-only' };

function isFlag(name: string): boolean {
  return optionTable[name as keyof typeof optionTable].value === null;
}

function optionOf(text: string, key: string, value: string | null): string[] {
  const name = ALIASES[key] ?? key.replaceAll('_', '-');
  const refuse = (words: string) => new OptionsError(`--disk ${text}: ${words}`);
  if (!DISK_OPTIONS.includes(name)) {
    const known = [...DISK_OPTIONS.map((option) => option.replaceAll('-', '_')), 'ro'];
    throw refuse(`a disk has no option "${key}"${didYouMean(key, known)}`);
  }
  if (!isFlag(name)) {
    if (value === null || value === '') throw refuse(`${key}= is missing its value`);
    return [`--${name}=${value}`];
  }
  if (value === null || value === 'on') return [`--${name}`];
  if (value === 'off') return [];
  throw refuse(`${key}=${value}, expected on or off`);
}

/** Throws OptionsError. */
export function parseDiskArgument(text: string): DiskArgument {
  const file = splitCommas(text)[0]!;
  if (file === '') throw new OptionsError(`--disk ${text}: the file name is missing`);
  const parts = commaParts(text).slice(1);
  const options = parts.flatMap(({ key, value }) => optionOf(text, key, value));
  const invocation = checked(text, ['serve', ...options, '--', file]);
  const named = options.some((option) => option.startsWith('--num-queues='));
  return { file, options, queueCount: named ? invocation.disks[0]!.queueCount : null };
}

function checked(text: string, args: readonly string[]) {
  try {
    const invocation = parseCommandLine(args);
    if (invocation.verb !== 'serve') throw new Error(`${invocation.verb}, expected serve`);
    return invocation.options;
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    throw new OptionsError(`--disk ${text}: ${error.message}`);
  }
}
