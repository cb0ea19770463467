/**
 * vloop(1), in man's macros, from the tables: commands, options, methods. The file is made by `npm run docs`, and a
 * test compares. Source of the form: man-pages(7), groff_man(7).
 */
import { methods } from '../../control/schema/methods.ts';
import { type CommandText, commandTexts } from './commands.ts';

/** Text between macros: a backslash, a dash and a leading dot mean something else to roff. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '\\&...')
    .replace(/[^ -~\n]/g, (char) => {
      return `\\[u${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;
    })
    .replace(/^([.'])/gm, '\\&$1');
}

const bold = (text: string) => `\\fB${roff(text)}\\fR`;
const italic = (text: string) => `\\fI${roff(text)}\\fR`;
const item = (head: string, text: string) => ['.TP', head, roff(text)];

function optionItems({ options }: CommandText): string[] {
  return Object.entries(options).flatMap(([name, { value, meaning, short }]) => {
    const long = `${bold(`--${name}`)}${value === null ? '' : `=${italic(value)}`}`;
    return item(short === undefined ? long : `${bold(`-${short}`)}, ${long}`, meaning);
  });
}

function commandSection(command: CommandText): string[] {
  const { name, summary, words } = command;
  const head = `.SS ${bold(`vloop ${name}`)} ${words === '' ? '' : italic(words)}`.trimEnd();
  const sentence = `${summary[0]!.toUpperCase()}${summary.slice(1)}.`;
  // The options of serve are the page's own section.
  return [head, roff(sentence), ...(name === 'serve' ? [] : optionItems(command))];
}

const section = (title: string, lines: readonly string[]) => [`.SH ${title}`, ...lines];

function description(): string[] {
  return [
    roff('vloop serves disk images and block devices to virtual machines over vhost-user-blk.'),
    roff(
      'A front-end such as QEMU connects to its unix socket and shares the memory of the guest;',
    ),
    roff('reads and writes go straight between that and the file.'),
    '.PP',
    roff(
      'Each disk that serves takes commands at a control socket in the run directory: JSON-RPC 2.0,',
    ),
    roff(
      'one message a line. The commands below find disks by these sockets. A disk is named by its',
    ),
    roff('name, its file or its vhost-user socket.'),
  ];
}

function methodItems(): string[] {
  const where = {
    process: 'any process',
    disk: 'the process that has the disk, or the daemon',
    daemon: 'the daemon',
  };
  return Object.entries(methods).flatMap(([name, { summary, of }]) =>
    item(bold(name), `${summary} (asked of: ${where[of]})`),
  );
}

/** The whole page. */
export function manPage(): string {
  const commands = commandTexts();
  const serve = commands.find(({ name }) => name === 'serve')!;
  const lines = [
    '.\\" Made from the tables of the program by "npm run docs": do not edit.',
    '.TH VLOOP 1 "" "vloop" "User Commands"',
    ...section('NAME', [roff('vloop - serve disks to virtual machines over vhost-user-blk')]),
    ...section('SYNOPSIS', [
      ...commands.flatMap(({ name, words }, i) => [
        ...(i === 0 ? [] : ['.br']),
        `${bold('vloop')} ${bold(name)} ${italic(words)} [${italic('options')}]`,
      ]),
      '.br',
      `${bold('vloop')} ${bold('--socket-path')}=${italic('PATH')} ${bold('--blk-file')}=${italic('FILE')} [${italic('options')}]`,
    ]),
    ...section('DESCRIPTION', description()),
    ...section('COMMANDS', commands.flatMap(commandSection)),
    ...section('OPTIONS OF A DISK', optionItems(serve)),
    ...section('CONFIGURATION', [
      roff(
        'vloop.config.json, or a module vloop.config.ts whose default export is the same, lists',
      ),
      roff(
        'disks: an object with the key "disks", each with options by their names with "_" for "-".',
      ),
      roff('A file is read when a command names it, or its directory, and never by itself.'),
    ]),
    ...section('METHODS', methodItems()),
    ...section('ENVIRONMENT', [
      ...item(bold('VLOOP_RUN_DIR'), 'the run directory, where control sockets are'),
      ...item(bold('XDG_RUNTIME_DIR'), 'its subdirectory vloop is the run directory of a user'),
      ...item(bold('NO_COLOR'), 'with any value: no colour in lines of the log'),
    ]),
    ...section('FILES', [
      ...item(italic('/run/vloop'), 'the run directory of root'),
      ...item(
        italic('PID.ctl'),
        'the control socket of a process in it; daemon.ctl is that of the daemon',
      ),
      ...item(
        italic('NAME.sock, NAME.log'),
        'vhost-user socket and log of a disk that was attached',
      ),
    ]),
    ...section('SIGNALS', [
      ...item(bold('SIGTERM, SIGINT'), 'end; requests under way complete first'),
      ...item(bold('SIGHUP'), 'take the size that the backing files have now'),
      ...item(bold('SIGUSR2'), 'hand the disks over to a new process of this program'),
    ]),
    ...section('EXIT STATUS', [
      roff('0: done; 1: it could not be done; 2: the command line or the configuration is wrong.'),
      roff('vloop run has that of its command.'),
    ]),
    ...section('SEE ALSO', [`${bold('qemu-system-x86_64')}(1), ${bold('losetup')}(8)`]),
  ];
  return `${lines.join('\n')}\n`;
}
