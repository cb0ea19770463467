/**
 * `vloop --help`, and `vloop COMMAND --help` of the commands that serve disks. Loaded when somebody asks.
 */
import { didYouMean } from '../../control/nearest-name.ts';
import { OptionsError } from '../option-values.ts';
import { runHelp } from '../run/run-options.ts';
import { commandTexts } from './commands.ts';
import { commandHelp, termLines, wrapped } from './help-layout.ts';

/** What is said of a command besides its options. */
const NOTES: Readonly<Record<string, readonly string[]>> = {
  serve: [
    'Several files are several disks of one process, each on a socket of its own. As a program that others start: vloop --socket-path=PATH --blk-file=FILE, by the back-end conventions of vhost-user, or --fd=FDNUM for an inherited socket.',
    'SIGTERM and SIGINT end it: running requests complete first. SIGHUP takes the size that the files have now. At SIGUSR2 a new process of this program takes the disks over while guests run. Exit status: 0 ended as asked, 1 a disk or a socket cannot be used, 2 the command line is wrong.',
  ],
};

/** The text of `vloop --help`. */
export function helpText(): string {
  return [
    'vloop serves disk images to virtual machines, from user space (vhost-user-blk)',
    '',
    'usage: vloop serve disk.img       a disk for QEMU, and how to attach it',
    '       vloop COMMAND [options]',
    '       vloop --socket-path=PATH --blk-file=FILE [options]',
    '',
    'commands:',
    ...commandTexts().flatMap(({ name, words, summary }) =>
      termLines(words.length > 14 ? name : `${name} ${words}`.trim(), summary),
    ),
    '',
    ...wrapped(
      'vloop COMMAND --help has the options of each. Exit status: 0 done, 1 it cannot be done, 2 the command line or the configuration is wrong.',
    ),
    '',
  ].join('\n');
}

/** The text of `vloop COMMAND --help`. Throws OptionsError. */
export function helpOf(name: string | undefined): string {
  if (name === undefined) return helpText();
  if (name === 'run') return runHelp();
  const commands = commandTexts();
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return commandHelp(name, command, NOTES[name]);
  const near = didYouMean(
    name,
    commands.map((one) => one.name),
  );
  throw new OptionsError(`help: there is no command "${name}"${near} (see vloop --help)`);
}
