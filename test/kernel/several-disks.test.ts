/**
 * Disks in memory, several disks in one process, and workers bound to CPUs: the whole daemon.
 */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const BLOCK = 4096;
const SECTORS = BLOCK / 512;
const MIB = 2 ** 20;

let directory: string;
let vloop: VloopProcess | null = null;
const frontEnds: MockFrontEnd[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
});

afterEach(async () => {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
  await vloop?.kill();
  vloop = null;
  rmSync(directory, { recursive: true, force: true });
});

async function start(...args: string[]): Promise<VloopProcess> {
  vloop = await VloopProcess.serving({ args });
  return vloop;
}

async function connect(socket: string): Promise<MockQueue> {
  const frontEnd = await MockFrontEnd.start(socket, {});
  frontEnds.push(frontEnd);
  return frontEnd.queues[0]!;
}

async function writeThenRead(queue: MockQueue, seed: number): Promise<void> {
  for (let i = 0; i < 16; i++) await queue.mustRun(blk.write(i * SECTORS, noise(BLOCK, seed + i)));
  for (let i = 0; i < 16; i++) {
    const data = await queue.mustRun(blk.read(i * SECTORS, BLOCK));
    expect(Buffer.compare(data, noise(BLOCK, seed + i)), `block ${i}`).toBe(0);
  }
}

test('a disk in memory: blank, written, read back, discarded to zeroes', async () => {
  const socket = join(directory, 's');
  const served = await start('serve', '--memory=8M', `--socket-path=${socket}`);
  expect(served.log('serving')[0]).toMatchObject({ sizeBytes: 8 * MIB, ioPath: 'memory' });
  const queue = await connect(socket);
  const zeroes = Buffer.alloc(BLOCK);
  expect(Buffer.compare(await queue.mustRun(blk.read(0, BLOCK)), zeroes)).toBe(0);
  await writeThenRead(queue, 1);
  expect((await queue.run(blk.discard({ sector: 0, sectors: 2 * SECTORS }))).status).toBe(
    VIRTIO_BLK_S_OK,
  );
  expect(Buffer.compare(await queue.mustRun(blk.read(SECTORS, BLOCK)), zeroes)).toBe(0);
  const third = await queue.mustRun(blk.read(2 * SECTORS, BLOCK));
  expect(Buffer.compare(third, noise(BLOCK, 3))).toBe(0);
  expect(await served.end()).toMatchObject({ status: 0 });
});

test('two images in one process are two disks, each with its socket, serial and summary', async () => {
  const images = ['a.img', 'b.img'].map((name) => join(directory, name));
  for (const image of images) {
    writeFileSync(image, '');
    truncateSync(image, 8 * MIB);
  }
  // The default sockets are named after the images, in the working directory.
  const before = process.cwd();
  process.chdir(directory);
  const served = await start('serve', ...images).finally(() => process.chdir(before));
  const lines = await served.logged('serving', 2);
  expect(new Set(lines.map((line) => line['serial'])).size).toBe(2);
  expect(lines.map((line) => line['socket'])).toEqual(['a.img.sock', 'b.img.sock']);
  const queues = [
    await connect(join(directory, 'a.img.sock')),
    await connect(join(directory, 'b.img.sock')),
  ];
  await Promise.all(queues.map((queue, i) => writeThenRead(queue, 100 * (i + 1))));
  expect(await served.end()).toMatchObject({ status: 0 });
  const summaries = served.log('summary').map((line) => [line['disk'], line['writes']]);
  expect(summaries.sort()).toEqual([
    [images[0], 16],
    [images[1], 16],
  ]);
  images.forEach((image, i) => {
    const bytes = readFileSync(image).subarray(0, BLOCK);
    expect(Buffer.compare(bytes, noise(BLOCK, 100 * (i + 1)))).toBe(0);
  });
  expect(readdirSync(directory).sort()).toEqual(['a.img', 'b.img']);
});

test('a dozen disks in one process: nothing is said but the log, all end', async () => {
  const images = Array.from({ length: 12 }, (_, i) => join(directory, `${i}.img`));
  for (const image of images) {
    writeFileSync(image, '');
    truncateSync(image, MIB);
  }
  const before = process.cwd();
  process.chdir(directory);
  const served = await start('serve', ...images).finally(() => process.chdir(before));
  await served.logged('serving', images.length);
  const last = await connect(join(directory, '11.img.sock'));
  await last.mustRun(blk.write(0, noise(BLOCK, 1)));
  expect(await served.end()).toMatchObject({ status: 0 });
  expect(served.log('summary')).toHaveLength(images.length);
  expect(served.stderr.split('\n').filter((line) => line !== '' && line[0] !== '{')).toEqual([]);
});

test('when the second disk cannot be opened, nothing of the first is left behind', async () => {
  const image = join(directory, 'a.img');
  writeFileSync(image, '');
  truncateSync(image, MIB);
  const before = process.cwd();
  process.chdir(directory);
  const ended = await VloopProcess.run(['serve', image, join(directory, 'missing.img')]).finally(
    () => process.chdir(before),
  );
  expect(ended.status).toBe(1);
  expect(ended.stderr).toContain('missing.img: no such file');
  expect(readdirSync(directory)).toEqual(['a.img']);
});

test('--cpus binds the worker and not the main thread', async () => {
  const socket = join(directory, 's');
  const served = await start('serve', '--memory=8M', `--socket-path=${socket}`, '--cpus=0');
  const allowed = readdirSync(`/proc/${served.pid}/task`).map((task) => {
    const status = readFileSync(`/proc/${served.pid}/task/${task}/status`, 'latin1');
    return /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1];
  });
  expect(allowed.filter((list) => list === '0')).toHaveLength(1);
  await writeThenRead(await connect(socket), 1);
});
