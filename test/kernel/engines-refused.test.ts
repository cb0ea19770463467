/**
 * Engines, paths and poll times that make no sense for a file or at all: one line that says what would,
 * and the exit status. Nothing is left behind at the socket's path.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

async function refused(...args: string[]): Promise<{ status: number | null; said: string }> {
  const files = [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}`];
  const { status, stdout, stderr } = await VloopProcess.run([...files, ...args]);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^vloop: [^\n]+\n$/);
  expect(existsSync(disk.socket)).toBe(false);
  return { status, said: stderr.slice('vloop: '.length, -1) };
}

describe('exit status 1: the engine cannot serve this file', () => {
  const NATIVE =
    '--aio=native needs direct I/O, and this file is buffered (--aio=threads serves it)';

  test('--aio=native for a buffered file', async () => {
    disk = new ServedDisk();
    expect(await refused('--aio=native', '--direct-io=off')).toEqual({ status: 1, said: NATIVE });
  });

  test('--aio=native for a file in memory, which has no direct I/O', async () => {
    disk = new ServedDisk({ parent: '/dev/shm' });
    expect(await refused('--aio=native')).toEqual({ status: 1, said: NATIVE });
  });
});

test.each([
  ['--aio=posix', 'expected one of auto, io_uring, native, threads'],
  ['--aio=', 'expected one of auto, io_uring, native, threads'],
  ['--aio=IO_URING', 'expected one of auto, io_uring, native, threads'],
  ['--io-path=writes', 'expected one of auto, engine, calls'],
  ['--io-path=', 'expected one of auto, engine, calls'],
  ['--poll-us=5000', 'expected a number from 0 to 1000'],
  ['--poll-us=1001', 'expected a number from 0 to 1000'],
  ['--poll-us=-1', 'expected a number from 0 to 1000'],
  ['--poll-us=1.5', 'expected a number from 0 to 1000'],
  ['--poll-us=', 'expected a number from 0 to 1000'],
  ['--poll-us=never', 'expected a number from 0 to 1000'],
  ['--cpu-latency-us=1001', 'expected a number from 0 to 1000'],
  ['--cpu-latency-us=', 'expected a number from 0 to 1000'],
  ['--workers=0', 'expected a number from 1 to 64'],
  ['--workers=65', 'expected a number from 1 to 64'],
  ['--num-queues=257', 'expected a number from 1 to 256'],
])('exit status 2: %s', async (option, expected) => {
  disk = new ServedDisk();
  expect(await refused(option)).toEqual({ status: 2, said: `${option}: ${expected}` });
});

test.each(['4096', '0-4096', '-1', '0,', 'all'])('exit status 2: --cpus=%s', async (list) => {
  disk = new ServedDisk();
  expect(await refused(`--cpus=${list}`)).toEqual({
    status: 2,
    said: `--cpus=${list}: expected CPU numbers below ${cpus().length}, as 0,2-3`,
  });
});

test('exit status 2: more workers than queues, with both numbers', async () => {
  disk = new ServedDisk();
  expect(await refused('--workers=3', '--num-queues=2')).toEqual({
    status: 2,
    said: '--workers=3: more than --num-queues=2',
  });
});

test.each([['--poll-us=0'], ['--poll-us=1000'], ['--poll-us=auto']])(
  '%s is served',
  async (option) => {
    disk = await ServedDisk.serve({ args: [option] });
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  },
);
