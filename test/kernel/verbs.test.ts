/**
 * The verbs as a user at a terminal has them: words on stdout, one line on stderr, exit statuses 0, 1 and 2. In a
 * run directory of their own, with two disks of one process, one of another, and a socket that nobody listens on.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { closeFile } from '../../src/sys/block-file.ts';
import { listenAt } from '../../src/sys/unix-socket.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const MIB = 2 ** 20;
const directory = mkdtempSync(join(tmpdir(), 'vloop-verbs-'));
const runDirectory = join(directory, 'run');
const through = ['env', '-C', directory, `VLOOP_RUN_DIR=${runDirectory}`];
const started: VloopProcess[] = [];

async function vloop(...args: string[]) {
  const process = new VloopProcess({ args, through });
  const { status } = await process.end(null);
  return { status, stdout: process.stdout, stderr: process.stderr };
}

beforeAll(async () => {
  for (const name of ['a.img', 'b.img', 'two words.img']) {
    writeFileSync(join(directory, name), new Uint8Array(MIB));
  }
  mkdirSync(runDirectory, { mode: 0o700 });
  const dead = listenAt(join(runDirectory, '1.ctl'));
  closeFile(dead);
  for (const args of [
    ['serve', 'a.img', 'b.img'],
    ['serve', 'two words.img', '--read-only'],
  ]) {
    started.push(await VloopProcess.serving({ args, through }));
  }
});

afterAll(async () => {
  for (const process of started) await process.kill();
  rmSync(directory, { recursive: true, force: true });
});

describe('list', () => {
  test('prints columns under headings, and removes what nobody listens on', async () => {
    const { status, stdout, stderr } = await vloop('list');
    expect([status, stderr]).toEqual([0, '']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^NAME +SIZELIMIT +OFFSET .*RO +BACK-FILE .*SOCKET +QUEUES/);
    const names = lines.slice(1).map((line) => line.split(/ +/)[0]);
    expect(names.sort()).toEqual(['a.img', 'b.img', 'two_words.img']);
    expect(existsSync(join(runDirectory, '1.ctl'))).toBe(false);
  });

  test('--raw escapes what would be read as two fields', async () => {
    const { stdout } = await vloop(
      'list',
      '--raw',
      '-n',
      '-O',
      'NAME,RO,BACK-FILE',
      'two_words.img',
    );
    expect(stdout).toBe(`two_words.img 1 ${directory}/two\\x20words.img\n`);
  });

  test('--json is JSON of the same columns', async () => {
    const { stdout } = await vloop('list', '--json', '--output=name,size,log-sec', 'a.img');
    expect(JSON.parse(stdout)).toEqual({
      disks: [{ name: 'a.img', size: MIB, 'log-sec': 512 }],
    });
  });

  test('--output-all has every column, --associated only the disks of a file', async () => {
    const { stdout } = await vloop('list', '--output-all', '--json', '-j', 'b.img');
    const { disks } = JSON.parse(stdout) as { disks: Array<Record<string, unknown>> };
    expect(disks).toHaveLength(1);
    expect(disks[0]).toMatchObject({ name: 'b.img', pid: started[0]!.pid });
    const file = statSync(join(directory, 'b.img'), { bigint: true });
    const [major, minor] = [
      (file.dev >> 8n) & 0xfffn,
      (file.dev & 0xffn) | ((file.dev >> 12n) & 0xfff00n),
    ];
    expect(disks[0]).toMatchObject({
      'back-ino': Number(file.ino),
      'back-maj:min': `${major}:${minor}`,
      autoclear: false,
      inflight: 0,
    });
  });

  test('a socket of another program costs the disks nothing, and is told', async () => {
    const babbles = createServer((socket) => socket.end('220 hello\n'));
    await new Promise<void>((resolve) => {
      babbles.listen(join(runDirectory, '3.ctl'), resolve);
    });
    try {
      const all = await vloop('list', '-n', '-O', 'NAME');
      expect(all.status).toBe(1);
      expect(all.stdout.trimEnd().split('\n').sort()).toEqual(['a.img', 'b.img', 'two_words.img']);
      expect(all.stderr).toMatch(/^vloop: .*3\.ctl: whoever answers is no vloop: .* left out\n$/);
      expect(await vloop('status', 'a.img')).toMatchObject({ status: 0, stderr: all.stderr });
    } finally {
      babbles.close();
    }
  });

  test('prints nothing where there is nothing', async () => {
    const { status, stdout } = await vloop('list', '-j', '/nowhere');
    expect([status, stdout]).toEqual([0, '']);
  });
});

test('a disk is meant by its name, its file and its socket', async () => {
  const words = ['a.img', './a.img', join(directory, 'a.img'), join(directory, 'a.img.sock')];
  for (const word of words) {
    const { status, stdout } = await vloop('status', word, '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'a.img', size: MIB });
  }
});

test('quiesce, resume and resize say what they did', async () => {
  expect(await vloop('quiesce', 'b.img', '--timeout-ms=1000')).toMatchObject({
    status: 0,
    stdout: 'b.img: stands still\n',
  });
  expect(await vloop('resume', 'b.img')).toMatchObject({ status: 0, stdout: 'b.img: goes on\n' });
  truncateSync(join(directory, 'b.img'), 2 * MIB);
  expect(await vloop('resize', 'b.img')).toMatchObject({
    status: 0,
    stdout: `b.img: ${MIB} → ${2 * MIB} bytes\n`,
  });
});

test('set says what it has set, and what came of it', async () => {
  expect(await vloop('set', 'a.img', '--direct-io=off', '--autoclear=off')).toMatchObject({
    status: 0,
    stdout: 'a.img: autoclear off, direct-io off (switched off)\n',
  });
});

test('rpc calls any method', async () => {
  const { status, stdout } = await vloop('rpc', 'disk_get_status', '{"disk": "a.img"}');
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ name: 'a.img' });
});

test.each<[string[], number, RegExp]>([
  [['status'], 2, /^vloop: status: expected DISK, got 0 words\n$/],
  [['status', 'nope'], 1, /^vloop: nope: no such disk; there are: .*a\.img.*\n$/],
  [['resume', 'a.img'], 1, /^vloop: a\.img: the disk does not stand still\n$/],
  [['set', 'a.img'], 2, /^vloop: set: which setting\? \(see vloop set --help\)\n$/],
  [
    ['set', 'a.img', '--block-size=3'],
    2,
    /^vloop: --block-size=3: expected one of 512, 1024, 2048, 4096\n$/,
  ],
  [['set', 'a.img', '--autoclear=maybe'], 2, /^vloop: --autoclear=maybe: expected on or off\n$/],
  [['set', 'a.img', '--read-only=on'], 1, /^vloop: a\.img: --read-only=on: the disk is writable/],
  [
    ['change-file', 'a.img', 'b.img'],
    1,
    /^vloop: a\.img: the disk is writable: .*; --quiesced does/,
  ],
  [
    ['list', '--output=size,wat'],
    2,
    /^vloop: --output=size,wat: no column "WAT", expected some of/,
  ],
  [
    ['list', '--frobnicate'],
    2,
    /^vloop: Unknown option '--frobnicate' \(see vloop list --help\)\n$/,
  ],
  [['quiesce', 'a.img', '--timeout-ms=soon'], 2, /^vloop: --timeout-ms=soon: expected a number/],
  [
    ['quiesce', 'a.img', '--timeout-ms=0'],
    2,
    /^vloop: --timeout-ms=0: expected a number from 1 to 20000\n$/,
  ],
  [['rpc', 'disk_get_status', 'a.img'], 2, /^vloop: rpc: a\.img: expected params as JSON/],
  [
    ['rpc', 'disk_frobnicate'],
    1,
    /^vloop: method disk_frobnicate: unknown, see rpc_get_methods\n$/,
  ],
])('%j ends with %i and one line', async (args, expected, words) => {
  const { status, stdout, stderr } = await vloop(...args);
  expect([status, stdout]).toEqual([expected, '']);
  expect(stderr).toMatch(words);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});

test.each(['list', 'status', 'quiesce', 'resume', 'resize', 'detach', 'rpc', 'stats', 'why'])(
  '%s --help says how it is used',
  async (verb) => {
    const { status, stdout } = await vloop(verb, '--help');
    expect(status).toBe(0);
    expect(stdout.startsWith(`usage: vloop ${verb}`)).toBe(true);
  },
);
