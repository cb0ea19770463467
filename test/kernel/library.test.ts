/**
 * vloop as a library, in this very process: a disk at work with a front-end, what its methods do, and that the process
 * keeps its signals, descriptors and listeners to itself.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDisk, type Disk, type DiskEvent } from '../../src/cli/create-disk.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { eventually, within } from '../support/waiting.ts';

const BLOCK = 4096;
const MIB = 2 ** 20;
const WAIT_MS = 30_000;

let directory: string;
let file: string;
let socketPath: string;
let disks: Disk[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  file = join(directory, 'disk.img');
  socketPath = join(directory, 'disk.sock');
  writeFileSync(file, '');
  truncateSync(file, 8 * MIB);
  disks = [];
});

afterEach(async () => {
  await Promise.all(disks.map((disk) => disk.close().catch(() => {})));
  rmSync(directory, { recursive: true, force: true });
});

async function create(...args: Parameters<typeof createDisk>): Promise<Disk> {
  const disk = await createDisk(...args);
  disks.push(disk);
  return disk;
}

test('serves a front-end; status, stats, quiesce, resume, resize, events, close', async () => {
  const disk = await create({ file, socketPath, num_queues: 2, serial: 'LIBRARY' });
  const heard: DiskEvent[] = [];
  const endEvents = disk.events((event) => heard.push(event));
  const heardOf = (name: DiskEvent['name']) =>
    eventually(`event ${name}`, WAIT_MS, () => heard.find((event) => event.name === name));
  expect(await disk.status()).toMatchObject({
    name: 'disk.img',
    size: 8 * MIB,
    queues: 2,
    serial: 'LIBRARY',
    connected: false,
  });
  const client = await MockFrontEnd.start(socketPath);
  const data = noise(BLOCK, 7);
  await client.queue.mustRun(blk.write(0, data));
  expect(Buffer.compare(await client.queue.mustRun(blk.read(0, BLOCK)), data)).toBe(0);
  await heardOf('disk_connected');
  const [queue] = (await disk.stats()).queues;
  expect(queue).toMatchObject({ bytes_written: BLOCK, bytes_read: BLOCK });
  await disk.quiesce();
  expect((await disk.status()).quiesced).toBe(true);
  await expect(
    disk.quiesce({ timeout_ms: 1000 }).then(() => disk.resume()),
  ).resolves.toBeUndefined();
  await expect(disk.resume()).rejects.toMatchObject({ code: 'EINVAL' });
  truncateSync(file, 12 * MIB);
  expect(await disk.resize()).toEqual({ size: 12 * MIB, old_size: 8 * MIB });
  expect(await heardOf('disk_resized')).toMatchObject({
    params: { disk: 'disk.img', size: 12 * MIB },
  });
  endEvents();
  await client.close();
  await disk.close();
  await within('end of the disk', WAIT_MS, disk.ended);
  expect(existsSync(socketPath)).toBe(false);
  expect(heard.some(({ name }) => name === 'disk_detached')).toBe(false);
});

test('leaves the process alone, and nothing behind', async () => {
  const signals = ['SIGHUP', 'SIGTERM', 'SIGINT', 'SIGUSR2', 'exit'] as const;
  const listeners = () => signals.map((signal) => process.listenerCount(signal));
  const openFiles = () => readdirSync('/proc/self/fd').length;
  // What the first disk of a process loads stays loaded.
  await (await create({ file, socketPath })).close();
  const before = { listeners: listeners(), files: openFiles() };
  const two = await Promise.all([
    create({ file, socketPath }),
    create({ memory: '16M', socketPath: `${socketPath}.2` }),
  ]);
  expect(listeners()).toEqual(before.listeners);
  await Promise.all(two.map((disk) => disk.close()));
  await eventually('as many descriptors as before', WAIT_MS, () =>
    openFiles() <= before.files ? true : undefined,
  );
  expect(readdirSync(directory)).toEqual(['disk.img']);
});

test.each([
  [{ file: 'FILE', direct: 'on' }, 'unknown option "direct"', 'VLOOP_OPTIONS'],
  [{ file: 'FILE', log_level: 'info' }, 'unknown option "log_level"', 'VLOOP_OPTIONS'],
  [{ file: 'FILE', 'direct-io': 'on' }, 'unknown option "direct-io"', 'VLOOP_OPTIONS'],
  [{ file: 'FILE', direct_io: 'perhaps' }, 'direct-io=perhaps', 'VLOOP_OPTIONS'],
  [{ file: 'FILE', read_only: 'yes' }, 'expected true or false', 'VLOOP_OPTIONS'],
  [{ file: 'FILE', num_queues: 0 }, 'num-queues=0', 'VLOOP_OPTIONS'],
  [{}, 'which file', 'VLOOP_OPTIONS'],
  [{ file: '/nowhere/disk.img' }, 'no such file', 'ENOENT'],
])('createDisk(%o) is refused, and nothing is left', async (options, message, code) => {
  const given = { ...options, ...('file' in options && options.file === 'FILE' ? { file } : {}) };
  const refused = expect(createDisk({ ...given, socketPath } as Parameters<typeof createDisk>[0]));
  await refused.rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  expect(existsSync(socketPath)).toBe(false);
});

test('a file that another disk has, and a socket that cannot be made, are refused; the file is free again', async () => {
  const disk = await create({ file, socketPath });
  await expect(createDisk({ file, socketPath: `${socketPath}.2` })).rejects.toMatchObject({
    code: 'EBUSY',
  });
  await disk.close();
  const nowhere = createDisk({ file, socketPath: '/nowhere/x.sock' });
  await expect(nowhere).rejects.toMatchObject({ code: 'VLOOP_SOCKET' });
  await (await create({ file, socketPath })).close();
});
