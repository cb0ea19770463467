/**
 * The command line: what it means, and for each wrong one a sentence that says what was expected.
 */
import { describe, expect, test } from 'vitest';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { type DiskOptions, parseCommandLine, type ServeOptions } from '../../../src/cli/options.ts';

const CONVENTIONS = ['--blk-file=/d.img', '--socket-path=/s'];

function served(...args: string[]): ServeOptions {
  const invocation = parseCommandLine(args);
  if (invocation.verb !== 'serve') throw new Error(invocation.verb);
  return invocation.options;
}

/** The one disk that is served. */
function disk(...args: string[]): DiskOptions {
  const { disks } = served(...args);
  expect(disks).toHaveLength(1);
  return disks[0]!;
}

describe('the back-end conventions', () => {
  test('file and socket are enough', () => {
    expect(served(...CONVENTIONS)).toMatchObject({
      friendly: false,
      once: false,
      logLevel: 'info',
    });
    expect(disk(...CONVENTIONS)).toMatchObject({
      memoryBytes: 0,
      aio: 'auto',
      ioPath: 'auto',
      cpus: [],
      blkFile: '/d.img',
      socketPath: '/s',
      fd: null,
      readOnly: false,
      directIo: 'auto',
      serial: null,
      blockSizeBytes: 512,
      queueCount: 64,
      rangesMax: 16,
      workerCount: 1,
      pollUs: -1,
    });
  });

  test('--fd instead of a socket path', () => {
    expect(disk('--blk-file=/d.img', '--fd=3').fd).toBe(3);
  });

  test('values may stand apart', () => {
    expect(disk('--blk-file', '/d.img', '--socket-path', '/s').blkFile).toBe('/d.img');
  });

  test('--print-capabilities, --help and --version come before everything else', () => {
    expect(parseCommandLine(['--print-capabilities', '--num-queues=0']).verb).toBe(
      'print-capabilities',
    );
    expect(parseCommandLine(['--help', '--fd=x']).verb).toBe('help');
    expect(parseCommandLine(['--version']).verb).toBe('version');
  });
});

describe('the friendly form', () => {
  test('vloop serve disk.img: the socket is beside you', () => {
    expect(served('serve', '/images/disk.img').friendly).toBe(true);
    expect(disk('serve', '/images/disk.img')).toMatchObject({
      blkFile: '/images/disk.img',
      socketPath: 'disk.img.sock',
    });
  });

  test('takes every option, before and after', () => {
    expect(disk('--read-only', 'serve', 'disk.img', '--socket-path=/s')).toMatchObject({
      readOnly: true,
      socketPath: '/s',
    });
  });

  test('serves several files, each at a socket of its own', () => {
    const { disks } = served('serve', 'a.img', '/b/b.img', '--workers=2');
    expect(
      disks.map(({ blkFile, socketPath, workerCount }) => [blkFile, socketPath, workerCount]),
    ).toEqual([
      ['a.img', 'a.img.sock', 2],
      ['/b/b.img', 'b.img.sock', 2],
    ]);
  });
});

test('every option has its effect', () => {
  expect(
    disk(
      ...CONVENTIONS,
      '--read-only',
      '--direct-io=on',
      '--aio=threads',
      '--io-path=calls',
      '--serial=abc',
      '--block-size=4096',
      '--num-queues=16',
      '--max-ranges=2',
      '--workers=4',
      '--cpus=0,0-0',
      '--poll-us=50',
    ),
  ).toMatchObject({
    readOnly: true,
    directIo: 'on',
    aio: 'threads',
    ioPath: 'calls',
    serial: 'abc',
    blockSizeBytes: 4096,
    queueCount: 16,
    rangesMax: 2,
    workerCount: 4,
    cpus: [0, 0],
    pollUs: 50,
  });
  expect(served(...CONVENTIONS, '--once', '--log-level=debug')).toMatchObject({
    once: true,
    logLevel: 'debug',
  });
  expect(disk(...CONVENTIONS, '--poll-us=auto').pollUs).toBe(-1);
  expect(disk(...CONVENTIONS, '--poll-us=0').pollUs).toBe(0);
});

test.each([
  ['4096', 4096],
  ['64M', 64 * 2 ** 20],
  ['1GiB', 2 ** 30],
  ['10KB', 10_000],
  ['2T', 2 ** 41],
])('--memory=%s is %i bytes', (text, bytes) => {
  expect(disk('serve', `--memory=${text}`)).toMatchObject({ blkFile: null, memoryBytes: bytes });
});

test.each<[string[], RegExp]>([
  [[], /no --blk-file=PATH given \(see --help\)/],
  [['serve'], /serve: which file\? \(vloop serve disk.img\)/],
  [['--blk-file='], /an empty file name, expected a path/],
  [['--blk-file=/d.img'], /one of --socket-path=PATH and --fd=FDNUM is needed/],
  [[...CONVENTIONS, '--fd=3'], /--socket-path and --fd exclude each other/],
  [['--blk-file=/d.img', '--socket-path='], /--socket-path= is empty, expected a path/],
  [['--blk-file=/d.img', '--fd=-1'], /--fd=-1: expected a number from 0 to/],
  [['--blk-file=/d.img', '--fd=three'], /--fd=three: expected a number/],
  [['--blk-file=/d.img', '--fd='], /--fd=: expected a number/],
  [['detach', 'disk.img'], /"detach" has to be the first word \(vloop detach --help\)/],
  [
    ['serve', 'a.img', 'b.img', '--socket-path=/s'],
    /--socket-path is for one disk, and there are 2/,
  ],
  [['serve', 'a.img', 'b.img', '--serial=x'], /--serial is for one disk/],
  [['serve', 'a.img', '/other/a.img'], /two disks would share the socket a.img.sock/],
  [['serve', 'a.img', '--memory=1M'], /--memory serves no file, got one as well/],
  [['serve', '--memory=4095'], /--memory=4095: expected a size from 4096 bytes on/],
  [['serve', '--memory=1.5M'], /--memory=1.5M: expected a size/],
  [['serve', '--memory='], /--memory=: expected a size/],
  [['serve', '--memory=9999999T'], /--memory=9999999T: expected a size/],
  [[...CONVENTIONS, '--cpus=99999'], /--cpus=99999: expected CPU numbers below/],
  [[...CONVENTIONS, '--cpus=1-0'], /--cpus=1-0: expected CPU numbers/],
  [[...CONVENTIONS, '--cpus='], /--cpus=: expected CPU numbers/],
  [[...CONVENTIONS, '--aio=fast'], /--aio=fast: expected one of auto, io_uring, native, threads/],
  [[...CONVENTIONS, '--io-path=fast'], /--io-path=fast: expected one of auto, engine, calls/],
  [[...CONVENTIONS, '--num-queues=0'], /--num-queues=0: expected a number from 1 to 256/],
  [[...CONVENTIONS, '--num-queues=257'], /--num-queues=257: expected a number from 1 to 256/],
  [[...CONVENTIONS, '--num-queues=1.5'], /--num-queues=1.5: expected a number/],
  [[...CONVENTIONS, '--num-queues=1e1'], /--num-queues=1e1: expected a number/],
  [[...CONVENTIONS, '--num-queues=0x8'], /--num-queues=0x8: expected a number/],
  [[...CONVENTIONS, '--workers=0'], /--workers=0: expected a number from 1 to/],
  [[...CONVENTIONS, '--num-queues=2', '--workers=3'], /--workers=3: more than --num-queues=2/],
  [[...CONVENTIONS, '--block-size=513'], /--block-size=513: expected one of 512, 1024, 2048, 4096/],
  [[...CONVENTIONS, '--block-size=8192'], /--block-size=8192: expected one of/],
  [[...CONVENTIONS, '--direct-io=yes'], /--direct-io=yes: expected one of on, off, auto/],
  [[...CONVENTIONS, '--poll-us=1001'], /--poll-us=1001: expected a number from 0 to 1000/],
  [[...CONVENTIONS, '--log-level=loud'], /--log-level=loud: expected one of fatal, error, warn/],
  [[...CONVENTIONS, '--serial='], /--serial=: expected 1 to 20 printable ASCII/],
  [[...CONVENTIONS, `--serial=${'x'.repeat(21)}`], /expected 1 to 20 printable ASCII/],
  [[...CONVENTIONS, '--serial=with space'], /without spaces/],
  [[...CONVENTIONS, '--serial=ümlaut'], /printable ASCII/],
  [[...CONVENTIONS, '--readonly'], /--readonly.*\(see --help\)/],
  [['srve', 'disk.img'], /unknown command "srve"; did you mean "serve"\? \(see --help\)/],
  [['disk.img'], /unknown command "disk.img"; to serve a file: vloop serve disk.img/],
  [[...CONVENTIONS, '--read-olny'], /'--read-olny'; did you mean "--read-only"\? \(see --help\)/],
  [[...CONVENTIONS, '--frobnicate'], /^Unknown option '--frobnicate' \(see --help\)$/],
  [[...CONVENTIONS, '-r'], /-r.*\(see --help\)/],
  [[...CONVENTIONS, '--read-only=yes'], /--read-only.*\(see --help\)/],
  [[...CONVENTIONS, '--serial'], /--serial.*\(see --help\)/],
])('%j is refused in one line', (args, message) => {
  let thrown: unknown;
  try {
    parseCommandLine(args);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(OptionsError);
  expect((thrown as Error).message).toMatch(message);
  expect((thrown as Error).message).not.toContain('\n');
});
