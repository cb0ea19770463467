/**
 * The command line of `vloop run`: its own options, then `--`, then the command of the machine.
 */
import { optionTable } from '../../control/schema/options.ts';
import { LOG_FORMATS, type LogFormat } from '../../log.ts';
import { OptionsError, oneOf } from '../option-values.ts';
import { parseStrictly } from '../strict-arguments.ts';
import { commandHelp } from '../text/help-layout.ts';
import type { VerbOptions } from '../verbs/verb.ts';
import { type DiskArgument, parseDiskArgument } from './disk-argument.ts';
import { DEFAULT_DEVICE } from './qemu-command.ts';

export interface RunOptions {
  readonly disks: readonly DiskArgument[];
  readonly command: readonly string[];
  /** QEMU's device and its options. */
  readonly device: string;
  /** Where the log of the disks goes; null: warnings to stderr. */
  readonly logFile: string | null;
  readonly logFormat: LogFormat;
  readonly help: boolean;
}

export const RUN_SUMMARY = 'run a virtual machine with disks that are there as long as it is';
export const RUN_WORDS = '--disk FILE… -- COMMAND …';
export const RUN_OPTIONS: VerbOptions = {
  disk: {
    value: 'FILE[,OPTION…]',
    meaning:
      'a disk: ro, and options of serve by their names, as direct_io=on, serial=X, num_queues=4; ,, is a comma',
  },
  device: {
    value: 'TEXT',
    meaning: `QEMU's device and its options (default: ${DEFAULT_DEVICE})`,
  },
  log: {
    value: 'FILE',
    meaning: 'append the log of the disks to FILE (default: warnings to stderr)',
  },
  'log-format': {
    value: optionTable['log-format'].value,
    meaning: `${optionTable['log-format'].meaning} (default: auto)`,
  },
  help: { value: null, meaning: 'print this, and exit' },
};

const OPTIONS = {
  disk: { type: 'string', multiple: true },
  device: { type: 'string' },
  log: { type: 'string' },
  'log-format': { type: 'string' },
  help: { type: 'boolean' },
} as const satisfies Record<keyof typeof RUN_OPTIONS, object>;

const RUN_NOTES = [
  'Each FILE is served from a process of its own; COMMAND (QEMU) runs with the disks filled in where the word {disks} stands, or at its end, and the disks end after it. Guest memory is made shared where the command does not.',
  'The exit status is that of COMMAND, 128 and the number of the signal that killed it, 127 when there is no such command; 1 when a disk cannot be served, 2 when the command line is wrong.',
];

export function runHelp(): string {
  const command = { summary: RUN_SUMMARY, words: RUN_WORDS, options: RUN_OPTIONS };
  return commandHelp('run', command, RUN_NOTES);
}

/** The arguments after `run`. Throws OptionsError. */
export function parseRunArguments(args: readonly string[]): RunOptions {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const command = end < 0 ? [] : args.slice(end + 1);
  const { values, positionals } = parseStrictly(own, OPTIONS, (sentence) => {
    throw new OptionsError(`vloop run: ${sentence} (see vloop run --help)`);
  });
  const { help = false, disk: disks = [], device = DEFAULT_DEVICE, log = null } = values;
  const logFormat = oneOf(values, 'log-format', LOG_FORMATS);
  const rest = { command, device, logFile: log, logFormat, help };
  if (help) return { disks: [], ...rest };
  if (positionals.length > 0) {
    throw new OptionsError(`vloop run: "${positionals[0]}" stands before --, expected --disk FILE`);
  }
  if (command.length === 0) {
    throw new OptionsError(
      'vloop run: which command? (vloop run --disk disk.img -- qemu-system-x86_64 …)',
    );
  }
  if (disks.length === 0) throw new OptionsError('vloop run: no --disk FILE is given');
  return { disks: disks.map(parseDiskArgument), ...rest };
}
