/**
 * `vloop run` around a command that stands for the machine: what it is given, what it passes on, what happens when
 * a disk dies under a front-end's load, and that nothing is left however it ends.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { isAlive, killIfAlive } from '../support/process-alive.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const WAIT_MS = 20_000;
const DISK_BYTES = 8 * 2 ** 20;
/** Writes its words down, waits for a file that says how it shall end. */
const MACHINE =
  'printf "%s\\n" "$@" >words.tmp; mv words.tmp words; while [ ! -e go ]; do sleep 0.02; done; . ./go';

interface LogLine {
  readonly msg: string;
  readonly pid: number;
  readonly file?: string;
}

let disk: ServedDisk;
let temporary: string;
let vloop: VloopProcess | null = null;

beforeEach(() => {
  disk = new ServedDisk({ content: noise(DISK_BYTES, 5) });
  temporary = path('tmp');
  mkdirSync(temporary);
});

afterEach(async () => {
  writeFileSync(path('go'), 'exit 0');
  // SIGTERM, not SIGKILL: it has disks to end.
  if (vloop?.alive) await vloop.end();
  vloop = null;
  const left = existsSync(path('log')) ? serving().filter(({ pid }) => isAlive(pid)) : [];
  for (const { pid } of left) killIfAlive(pid);
  await disk.close();
});

function run(args: readonly string[], command: readonly string[]): VloopProcess {
  const env = { TMPDIR: temporary, VLOOP_RUN_DIR: path('run') };
  const through = ['env', '-C', disk.directory];
  vloop = new VloopProcess({ args: ['run', ...args, '--', ...command], env, through });
  return vloop;
}

const machine = (...words: readonly string[]) => [
  ...['sh', '-c', MACHINE, 'qemu-system-x86_64'],
  ...words,
];
const path = (name: string) => join(disk.directory, name);
const log = () => ['--log', path('log')];

/** What the machine was started with, once it runs. */
async function wordsOfMachine(): Promise<string[]> {
  await eventually(
    () => `machine; vloop said: ${vloop!.stderr}`,
    WAIT_MS,
    () => existsSync(path('words')) || undefined,
  );
  return readFileSync(path('words'), 'utf8').trimEnd().split('\n');
}

const socketsOf = (words: readonly string[]) =>
  words.flatMap((word) => /^socket,.*path=([^,]*)/.exec(word)?.[1] ?? []);
const logLines = () =>
  readFileSync(path('log'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine);
const serving = () => logLines().filter(({ msg }) => msg === 'serving');
const pidOf = (file: string) => serving().findLast((line) => line.file === file)!.pid;

async function endsWith(status: number, how = 'exit 0'): Promise<void> {
  writeFileSync(path('go'), how);
  expect(await vloop!.end(null)).toMatchObject({ status, signal: null });
  expectNothingLeft();
}

function expectNothingLeft(): void {
  expect(readdirSync(temporary)).toEqual([]);
  for (const { pid } of serving()) expect(isAlive(pid)).toBe(false);
}

test('private sockets that listen, the options of each disk, the exit status of the command', async () => {
  writeFileSync(path('b,c.img'), new Uint8Array(4096));
  const disks = ['--disk', 'disk.img,serial=one', '--disk', 'b,,c.img,ro,num_queues=3'];
  run([...disks, ...log()], machine('-m', '64', '{disks}', '-S'));
  const words = await wordsOfMachine();
  expect(words.slice(0, 2)).toEqual(['-m', '64']);
  expect(words.at(-1)).toBe('-S');
  expect(words).toContain('memory-backend-memfd,id=vloop-mem,size=64M,share=on');
  const sockets = socketsOf(words);
  expect(sockets).toHaveLength(2);
  const { mode } = statSync(join(sockets[0]!, '..'));
  expect((mode & 0o777).toString(8)).toBe('700');
  const ids = [];
  for (const socket of sockets) {
    const frontEnd = disk.own(await MockFrontEnd.start(socket));
    ids.push(Buffer.from(await frontEnd.queue.mustRun(blk.getId())).toString('latin1'));
  }
  expect(ids[0]).toMatch(/^one\0/);
  expect(ids[1]).toMatch(/^vloop-/);
  await endsWith(7, 'exit 7');
  expect(vloop!.stderr).toBe('');
});

test('without a log only warnings are seen, with one all of it is in the file', async () => {
  writeFileSync(path('go'), 'exit 0');
  run(['--disk', 'disk.img'], machine());
  expect(await vloop!.end(null)).toMatchObject({ status: 0 });
  expect(vloop!.stderr + vloop!.stdout).toBe('');
  run(['--disk', 'disk.img', ...log()], machine());
  expect(await vloop!.end(null)).toMatchObject({ status: 0 });
  expect(vloop!.stderr + vloop!.stdout).toBe('');
  expect(logLines().map(({ msg }) => msg)).toEqual(expect.arrayContaining(['serving', 'summary']));
  expectNothingLeft();
});

describe('a disk that dies', () => {
  test('is started again: nothing of a verified load is lost', async () => {
    run(['--disk', 'disk.img,num_queues=2', ...log()], machine('-m', '64'));
    const [socket] = socketsOf(await wordsOfMachine());
    const options = { queueCount: 2, inflight: true, moreRegions: [loadRegion(2)] };
    const frontEnd = disk.own(await MockFrontEnd.start(socket!, options));
    const load = new VerifiedLoad(frontEnd, noise(DISK_BYTES, 5).slice());
    let stopped = false;
    const loading = load.runUntil(() => stopped);
    const moreAnswers = async () => {
      const before = load.answered;
      await eventually('answers', WAIT_MS, () => load.answered > before + 100 || undefined);
    };
    for (let kill = 1; kill <= 2; kill++) {
      await moreAnswers();
      process.kill(pidOf('disk.img'), 'SIGKILL');
      await eventually(
        () => `disk that serves again; vloop said: ${vloop!.stderr}`,
        WAIT_MS,
        () => serving().length > kill || undefined,
      );
      await frontEnd.reconnect(socket!);
    }
    await moreAnswers();
    stopped = true;
    await loading;
    await load.run(20);
    expect(load.difference(disk.imageBytes())).toBeNull();
    await eventually('words', WAIT_MS, () => vloop!.stderr.split('\n').length === 3 || undefined);
    expect(vloop!.stderr).toBe(
      'vloop: disk disk.img: its process was killed by SIGKILL: started again\n'.repeat(2),
    );
    await endsWith(0);
  });

  test('because somebody ended it stays ended, and the other goes on', async () => {
    writeFileSync(path('other.img'), new Uint8Array(4096));
    run(['--disk', 'disk.img', '--disk', 'other.img', ...log()], machine());
    const sockets = socketsOf(await wordsOfMachine());
    process.kill(pidOf('disk.img'), 'SIGTERM');
    await eventually('words', WAIT_MS, () => vloop!.stderr.endsWith('\n') || undefined);
    expect(vloop!.stderr).toBe(
      'vloop: disk disk.img: its process ended with status 0: the machine goes on without it\n',
    );
    const frontEnd = disk.own(await MockFrontEnd.start(sockets[1]!));
    await frontEnd.queue.mustRun(blk.read(0, 512));
    await endsWith(0);
  });

  test('for a live upgrade has a successor, which ends with the machine', async () => {
    run(['--disk', 'disk.img', ...log()], machine());
    const [socket] = socketsOf(await wordsOfMachine());
    process.kill(pidOf('disk.img'), 'SIGUSR2');
    await eventually('successor', WAIT_MS, () => serving().length > 1 || undefined);
    const frontEnd = disk.own(await MockFrontEnd.start(socket!));
    await frontEnd.queue.mustRun(blk.read(0, 512));
    await endsWith(0);
    expect(vloop!.stderr).toBe('');
  });

  test('is not left alone when vloop run is killed: it ends when no machine is at it', async () => {
    writeFileSync(path('idle.img'), new Uint8Array(4096));
    run(['--disk', 'disk.img', '--disk', 'idle.img', ...log()], machine());
    const sockets = socketsOf(await wordsOfMachine());
    const frontEnd = disk.own(await MockFrontEnd.start(sockets[0]!));
    const gone = (file: string) =>
      eventually(`end of ${file}`, WAIT_MS, () => !isAlive(pidOf(file)) || undefined);
    // Its end is not waited for: the machine still has its standard output.
    vloop!.signal('SIGKILL');
    await gone('idle.img');
    await frontEnd.queue.mustRun(blk.read(0, 512));
    frontEnd.close();
    await gone('disk.img');
    expect(sockets.filter((socket) => existsSync(socket))).toEqual([]);
    writeFileSync(path('go'), 'exit 0');
    expect(await vloop!.end(null)).toMatchObject({ signal: 'SIGKILL' });
  });
});

describe('signals', () => {
  // Not a shell's trap: a shell may not trap what was ignored when it was started, as in a job of a script.
  const answers = `process.on("SIGINT", () => process.exit(9));
    require("fs").writeFileSync("trapped", ""); setInterval(() => {}, 1000);`;
  const trap = `exec ${process.execPath} -e '${answers}'`;

  test.each([
    ['SIGTERM', 'the command dies of it', 143, 'exec sleep 60'],
    ['SIGHUP', 'the command dies of it', 129, 'exec sleep 60'],
    ['SIGINT', 'the command has its own answer', 9, trap],
  ] as const)('%s is passed on: %s', async (signal, _, status, end) => {
    run(['--disk', 'disk.img', ...log()], machine());
    await wordsOfMachine();
    writeFileSync(path('go'), end);
    if (signal === 'SIGINT') {
      await eventually('trap', WAIT_MS, () => existsSync(path('trapped')) || undefined);
    }
    expect(await vloop!.end(signal)).toMatchObject({ status, signal: null });
    expectNothingLeft();
  });

  test('a command that kills itself', async () => {
    run(['--disk', 'disk.img', ...log()], machine());
    await endsWith(137, 'kill -9 $$');
  });
});

describe('refused in one line, before the machine starts', () => {
  async function refused(
    args: readonly string[],
    words: RegExp,
    status: number,
    command = machine(),
  ): Promise<void> {
    run(args, command);
    expect(await vloop!.end(null)).toMatchObject({ status });
    expect(vloop!.stderr).toMatch(/^vloop: [^\n]+\n$/);
    expect(vloop!.stderr).toMatch(words);
    expect(existsSync(path('words'))).toBe(false);
    expect(readdirSync(temporary)).toEqual([]);
  }

  test('a file that is not there, beside one that is', async () => {
    await refused(['--disk', 'disk.img', '--disk', 'no.img'], /no\.img: no such file/, 1);
  });

  test('memory that is not shared', async () => {
    const memory = ['-object', 'memory-backend-ram,id=m,size=64M', '-M', 'q35,memory-backend=m'];
    await refused(['--disk', 'disk.img'], /without share=on is not shared/, 2, machine(...memory));
  });

  test('a log that cannot be written', async () => {
    await refused(['--disk', 'disk.img', '--log', '/no/such/log'], /cannot be written/, 1);
  });

  test('a command that is not there, and one that is no program', async () => {
    await refused(['--disk', 'disk.img'], /no-such-qemu: command not found/, 127, ['no-such-qemu']);
    await refused(['--disk', 'disk.img'], /cannot be run \(EACCES\)/, 126, ['/etc/passwd']);
  });
});

test('vloop run --help', async () => {
  const { status, stdout, stderr } = await VloopProcess.run(['run', '--help']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain('vloop run [options] --disk FILE');
});
