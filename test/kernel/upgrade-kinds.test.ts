/**
 * SIGUSR2 for every way of serving: several disks in one process, sockets that were inherited, --once; and
 * with what a session has changed since its start: the cache mode, a ring that its driver broke.
 */
import { closeSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { acceptConnection, listenAt } from '../../src/sys/unix-socket.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const BLOCK = 4096;
const MIB = 2 ** 20;
const closers: Array<() => Promise<void> | void> = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function serving(...options: Parameters<typeof VloopProcess.serving>): Promise<VloopProcess> {
  const vloop = await VloopProcess.serving(...options);
  closers.push(() => vloop.kill());
  return vloop;
}

function owned(frontEnd: MockFrontEnd): MockFrontEnd {
  closers.push(() => frontEnd.close());
  return frontEnd;
}

/** Writes what nobody else writes, reads it back. */
async function writeAndRead({ queue }: MockFrontEnd, sector: number, seed: number): Promise<void> {
  const data = noise(BLOCK, seed);
  await queue.mustRun(blk.write(sector, data));
  expect(Buffer.compare(await queue.mustRun(blk.read(sector, BLOCK)), data)).toBe(0);
}

test('several disks of one process go together, one of them without a front-end', async () => {
  const directory = scratch();
  const names = ['a.img', 'b.img', 'c.img'];
  for (const name of names) {
    writeFileSync(join(directory, name), '');
    truncateSync(join(directory, name), 8 * MIB);
  }
  const through = ['env', `--chdir=${directory}`];
  const vloop = await serving({ args: ['serve', ...names], through });
  await vloop.logged('serving', names.length);
  const socketOf = (name: string) => join(directory, `${name}.sock`);
  const [a, b] = [
    owned(await MockFrontEnd.start(socketOf('a.img'))),
    owned(await MockFrontEnd.start(socketOf('b.img'))),
  ];
  await writeAndRead(a, 0, 1);
  await writeAndRead(b, 0, 3);
  for (let round = 1; round <= 2; round++) {
    await vloop.upgrade();
    await writeAndRead(a, round * 8, 10 * round + 1);
    await writeAndRead(b, round * 8, 10 * round + 3);
  }
  expect(Buffer.compare(await a.queue.mustRun(blk.read(0, BLOCK)), noise(BLOCK, 1))).toBe(0);
  expect(Buffer.compare(await b.queue.mustRun(blk.read(0, BLOCK)), noise(BLOCK, 3))).toBe(0);
  await writeAndRead(owned(await MockFrontEnd.start(socketOf('c.img'))), 0, 5);
  expect(await vloop.end()).toMatchObject({ status: 0 });
  const written = vloop.log('summary').map((line) => [line['disk'], line['writes']]);
  expect(written.sort()).toEqual([
    ['a.img', 3],
    ['b.img', 3],
    ['c.img', 1],
  ]);
  expect(readdirSync(directory).sort()).toEqual(names);
});

test('--once: the process that took over ends after the front-end that it took', async () => {
  const disk = await ServedDisk.serve({ args: ['--once'] });
  closers.push(() => disk.close());
  const frontEnd = await disk.connect();
  await disk.vloop.upgrade();
  await writeAndRead(frontEnd, 0, 1);
  frontEnd.close();
  await disk.vloop.logged('summary');
  expect(await disk.vloop.end(null)).toMatchObject({ status: 0 });
});

test('--fd of a listening socket: front-ends come to the process that took over', async () => {
  const disk = new ServedDisk();
  closers.push(() => disk.close());
  const listening = listenAt(disk.socket);
  closers.push(() => closeSync(listening));
  const args = [`--blk-file=${disk.image}`, '--fd=3'];
  const vloop = await serving({ args, inheritedFds: [listening] });
  const first = owned(await MockFrontEnd.start(disk.socket));
  await vloop.upgrade();
  await writeAndRead(first, 0, 1);
  first.close();
  await vloop.upgrade();
  await writeAndRead(owned(await MockFrontEnd.start(disk.socket)), 8, 3);
  expect(await vloop.end()).toMatchObject({ status: 0 });
});

test('--fd of a connected socket: the connection goes along', async () => {
  const disk = new ServedDisk();
  closers.push(() => disk.close());
  const listening = listenAt(disk.socket);
  const client = await VhostUserClient.connect(disk.socket);
  const server = acceptConnection(listening);
  closeSync(listening);
  const args = [`--blk-file=${disk.image}`, '--fd=3'];
  const vloop = await serving({ args, inheritedFds: [server] });
  closeSync(server);
  const frontEnd = owned(new MockFrontEnd(client));
  await frontEnd.realize();
  await frontEnd.startQueues();
  for (let round = 0; round < 2; round++) {
    await vloop.upgrade();
    await writeAndRead(frontEnd, round * 8, round);
  }
  frontEnd.close();
  expect(await vloop.end(null)).toMatchObject({ status: 0 });
});

test('a cache that the driver switched off stays off', async () => {
  const disk = await ServedDisk.serve();
  closers.push(() => disk.close());
  const frontEnd = await disk.connect();
  await frontEnd.setWriteback(0);
  await disk.vloop.upgrade();
  await writeAndRead(frontEnd, 0, 1);
  await frontEnd.setWriteback(1);
  await writeAndRead(frontEnd, 8, 3);
  frontEnd.close();
  const [line] = await disk.vloop.logged('front-end disconnected');
  expect(line).toMatchObject({ writes: 2, durableWrites: 1 });
});

test('a ring that its driver broke stays broken, the other one runs', async () => {
  const disk = await ServedDisk.serve();
  closers.push(() => disk.close());
  const frontEnd = await disk.connect({ queueCount: 2 });
  const [broken, whole] = frontEnd.queues;
  broken!.driver.rawAvailIdx(broken!.driver.size + 1);
  broken!.kickAnyway();
  await disk.vloop.logged('the guest broke a vring');
  await disk.vloop.upgrade();
  await whole!.mustRun(blk.write(0, noise(BLOCK, 1)));
  const unheard = broken!.offer(blk.read(0, BLOCK));
  broken!.kickAnyway();
  await whole!.mustRun(blk.read(0, BLOCK));
  expect(unheard.usedBytes, 'nothing comes out of a broken ring').toBe(-1);
  expect(disk.vloop.log('the guest broke a vring')).toHaveLength(1);
});
