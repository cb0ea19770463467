/**
 * The options as text: --help and README's table.
 */
import { type OptionRow, optionTable } from '../control/schema/options.ts';

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
    '  vloop list [DISK...] [options]                       the disks that are served',
    '  vloop VERB DISK...                                   VERB: status, resize, quiesce, resume, detach',
    '  vloop doctor [IMAGE]                                 what this machine, and an image, let vloop do',
    '  vloop install-discovery                              tell management programs of this vloop',
    '  vloop rpc METHOD [JSON]                              any method of the control plane',
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
