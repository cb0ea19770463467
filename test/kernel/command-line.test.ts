/**
 * The program as people and supervisors call it: what it prints, what it refuses, in one line, and the
 * exit status that goes with it.
 */
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { optionTable } from '../../src/control/schema/options.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const isRoot = process.getuid?.() === 0;
if (isRoot) process.stdout.write('skipped: a file that may not be written: root may write all\n');

let disk: ServedDisk;

beforeEach(() => {
  disk = new ServedDisk();
});

afterEach(async () => {
  await disk.close();
});

const serving = (file: string, ...args: string[]) =>
  VloopProcess.run([`--blk-file=${file}`, `--socket-path=${disk.socket}`, ...args]);

describe('exit status 1, one line: the disk cannot be used', () => {
  async function refused(file: string, reason: RegExp, ...args: string[]): Promise<void> {
    const { status, stdout, stderr } = await serving(file, ...args);
    expect(stderr).toMatch(/^vloop: [^\n]+\n$/);
    expect(stderr).toMatch(reason);
    expect([status, stdout]).toEqual([1, '']);
  }

  test('a missing file', async () => {
    await refused(join(disk.directory, 'no.img'), /no such file \(make one with: truncate/);
  });

  test('a directory', async () => {
    await refused(disk.directory, /it is a directory, expected a regular file or a block device/);
    await refused(disk.directory, /it is a directory/, '--read-only');
  });

  test('an empty file', async () => {
    truncateSync(disk.image, 0);
    await refused(disk.image, /size=0 bytes, expected at least one block of 512/);
  });

  test('a file smaller than a block', async () => {
    truncateSync(disk.image, 4095);
    await refused(
      disk.image,
      /size=4095 bytes, expected at least one block of 4096/,
      '--block-size=4096',
    );
  });

  test('a character device', async () => {
    await refused('/dev/null', /it is a special file/);
  });

  test('direct I/O where it is impossible', async () => {
    const inMemory = new ServedDisk({ parent: '/dev/shm' });
    try {
      await refused(
        inMemory.image,
        /^vloop: --direct-io=on: .*in memory \(tmpfs\)/,
        '--direct-io=on',
      );
    } finally {
      await inMemory.close();
    }
  });

  test.skipIf(isRoot)('a file that may not be written', async () => {
    chmodSync(disk.image, 0o444);
    await refused(disk.image, /not allowed to open it for writing \(--read-only serves it/);
  });
});

test.each([
  [['--no-such-option']],
  [['--num-queues=0']],
  [['--num-queues=many']],
  [['--block-size=513']],
  [['--direct-io=perhaps']],
  [['--fd=3']],
  [['--workers=9', '--num-queues=8']],
])('exit status 2, one line: %j', async (args) => {
  const { status, stdout, stderr } = await serving(disk.image, ...args);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^vloop: [^\n]+\n$/);
});

test('without a disk, and without a socket', async () => {
  expect(await VloopProcess.run([])).toMatchObject({ status: 2 });
  const { status, stderr } = await VloopProcess.run([`--blk-file=${disk.image}`]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/--socket-path=PATH and --fd=FDNUM/);
});

test('--print-capabilities ignores all else and answers JSON', async () => {
  const { status, stdout, stderr } = await VloopProcess.run([
    '--print-capabilities',
    '--blk-file=/no/such/file',
    '--socket-path=',
  ]);
  expect([status, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual({ type: 'block', features: ['read-only', 'blk-file'] });
});

test('--help lists every option; --version is one line', async () => {
  const help = await VloopProcess.run(['serve', '--help']);
  expect([help.status, help.stderr]).toEqual([0, '']);
  for (const name of Object.keys(optionTable)) expect(help.stdout).toContain(`--${name}`);
  const version = await VloopProcess.run(['--version']);
  expect([version.status, version.stderr]).toEqual([0, '']);
  expect(version.stdout).toMatch(/^vloop \d+\.\d+\.\d+\n$/);
});

test('the friendly form says where the disk is and how to attach it', async () => {
  const vloop = await VloopProcess.serving({
    args: ['serve', disk.image, `--socket-path=${disk.socket}`, '--serial=friendly'],
  });
  try {
    // stdout is another pipe than the log's: it may come later.
    await eventually('words', 5000, () => vloop.stdout.includes('share=on') || undefined);
    expect(vloop.stdout).toContain(disk.image);
    expect(vloop.stdout).toContain('serial  friendly');
    expect(vloop.stdout).toContain(`-chardev socket,id=vloop0,path=${disk.socket}`);
    expect(await vloop.end('SIGINT')).toMatchObject({ status: 0 });
  } finally {
    await vloop.kill();
  }
});

test('a qcow2 file is served raw, whole blocks of it, and warned of', async () => {
  writeFileSync(disk.image, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(4100)]));
  const vloop = await VloopProcess.serving({
    args: ['serve', disk.image, `--socket-path=${disk.socket}`],
  });
  try {
    await eventually('words', 15_000, () => vloop.stdout.includes('share=on') || undefined);
    expect(vloop.stdout).toMatch(
      /^disk .* \(4 KiB, read-write\)\nnote .* qcow2 image, and is served/,
    );
    expect(vloop.stdout).toMatch(/^note +the last 8 bytes are left out/m);
    expect(vloop.log('serving')[0]).toMatchObject({ sizeBytes: 4096 });
  } finally {
    await vloop.kill();
  }
});

test('the log says what is served and why it is direct or not', async () => {
  await disk.startVloop(['--direct-io=off', '--num-queues=3', '--block-size=4096']);
  expect(disk.vloop.log('serving')[0]).toMatchObject({
    file: disk.image,
    sizeBytes: 16 * 2 ** 20,
    readOnly: false,
    directIo: false,
    directIoReason: 'switched off',
    blockSize: 4096,
    queues: 3,
    workers: 1,
    engine: 'io_uring',
    socket: disk.socket,
  });
});

test('--log-level=warn leaves out what is not a warning', async () => {
  const directory = join(disk.directory, 'quiet');
  mkdirSync(directory);
  const image = join(directory, 'disk.img');
  writeFileSync(image, new Uint8Array(4096));
  const vloop = new VloopProcess({
    args: ['serve', image, `--socket-path=${disk.socket}`, '--log-level=warn'],
  });
  await eventually('socket line', 10_000, () => vloop.stdout.includes('socket') || undefined);
  (await MockFrontEnd.start(disk.socket)).close();
  expect(await vloop.end()).toMatchObject({ status: 0 });
  expect(vloop.stderr).toBe('');
});
