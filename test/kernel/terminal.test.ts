/**
 * What vloop writes to, and who signals it, at the wrong moment: a terminal that is hung up, a log that takes nothing,
 * SIGUSR2 before vloop has come to listen for it. None of that leaves anything behind or ends a disk that is served.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { blk } from '../support/mock-driver-blk.ts';
import { isAlive } from '../support/process-alive.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { vloopCommand } from '../support/vloop-process.ts';
import { eventually, within } from '../support/waiting.ts';

const WAIT_MS = 30_000;
let disk: ServedDisk;
let runDirectory: string;

beforeEach(() => {
  disk = new ServedDisk();
  runDirectory = mkdtempSync(join(tmpdir(), 'vloop-test-run-'));
});

afterEach(async () => {
  await disk.close();
  rmSync(runDirectory, { recursive: true, force: true });
});

const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** vloop in a terminal of its own; what it shows, and its end when the terminal is hung up. */
async function inTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = [...vloopCommand(), 'serve', disk.image, `--socket-path=${disk.socket}`, ...args];
  const line = `exec ${command.map(quoted).join(' ')}`;
  const script = ['script', '--quiet', '--command', line, '/dev/null'];
  const terminal = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...script], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TERM: 'xterm', VLOOP_RUN_DIR: runDirectory, ...env },
  });
  const gone = new Promise((resolve) => terminal.once('close', resolve));
  let shown = '';
  terminal.stdout.on('data', (text: Buffer) => {
    shown += text.toString();
  });
  // The friendly form ends with this, after the log's first line.
  await eventually(
    () => `a disk in a terminal; it shows: ${shown}`,
    WAIT_MS,
    () => shown.includes('-device vhost-user-blk-pci') || undefined,
  );
  const pid = Number(readdirSync(runDirectory)[0]?.replace('.ctl', ''));
  return {
    shown,
    pid,
    async hangUp(): Promise<void> {
      terminal.kill('SIGKILL');
      await within('end of the terminal', WAIT_MS, gone);
      await eventually('end of vloop', WAIT_MS, () => !isAlive(pid) || undefined);
    },
  };
}

const ESCAPE = '\u001b';
const CLOCK = '\\d\\d:\\d\\d\\.\\d{3}';

test.each<[string, string[], Record<string, string>, RegExp]>([
  [
    'as lines for people, in colour',
    [],
    {},
    new RegExp(`${CLOCK}${ESCAPE}\\[0m ${ESCAPE}\\[32mINFO ${ESCAPE}\\[0m .* serving `),
  ],
  [
    'without colour where NO_COLOR says so',
    [],
    { NO_COLOR: '1' },
    new RegExp(`${CLOCK} INFO {2}\\[\\d+\\] serving file=[^${ESCAPE}]* queues=64 `),
  ],
  [
    'as JSON where that is asked for',
    ['--log-format=json'],
    {},
    /^\{"level":30,.*"msg":"serving"\}/,
  ],
])(
  'a terminal shows the log %s; when it goes away, vloop ends and leaves nothing',
  async (_, args, env, expected) => {
    const terminal = await inTerminal(args, env);
    expect(terminal.shown).toMatch(expected);
    expect(existsSync(disk.socket)).toBe(true);
    expect(isAlive(terminal.pid)).toBe(true);
    await terminal.hangUp();
    expect(existsSync(disk.socket)).toBe(false);
    expect(readdirSync(runDirectory)).toEqual([]);
  },
);

test('a log and a standard output that take nothing end no disk', async () => {
  const full = openSync('/dev/full', 'w');
  const [node = '', ...rest] = vloopCommand();
  const vloop = spawn(node, [...rest, 'serve', disk.image, `--socket-path=${disk.socket}`], {
    stdio: ['ignore', full, full],
  });
  closeSync(full);
  const ended = new Promise((resolve) => vloop.once('close', resolve));
  try {
    await eventually('the socket', WAIT_MS, () => existsSync(disk.socket) || undefined);
    for (let i = 0; i < 3; i++) {
      const frontEnd = await disk.connect();
      await frontEnd.queue.mustRun(blk.read(0, 512));
      frontEnd.close();
    }
    vloop.kill('SIGTERM');
    await within('end of vloop', WAIT_MS, ended);
    expect(existsSync(disk.socket)).toBe(false);
  } finally {
    vloop.kill('SIGKILL');
    await ended;
  }
});

test('SIGUSR2 while vloop is being loaded does not end it', async () => {
  // The first of vloop's modules is about to be read: the signal comes before anything of vloop's has run but its entry.
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ resolve(specifier, context, next) {
      if (/\\/main\\.[jt]s$/.test(specifier)) process.kill(process.pid, 'SIGUSR2');
      return next(specifier, context);
    } });`;
  const nodeFlags = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
  await disk.startVloop([], { nodeFlags });
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
});
