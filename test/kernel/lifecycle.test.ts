/**
 * How a vloop process starts, is shared, loses its front-ends and ends.
 */
import { closeSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { acceptConnection, connectTo, listenAt } from '../../src/sys/unix-socket.ts';
import { BusyFrontEnd } from '../support/busy-frontend-process.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { VloopProcess } from '../support/vloop-process.ts';

let disk: ServedDisk;
const busy: BusyFrontEnd[] = [];

afterEach(async () => {
  for (const frontEnd of busy.splice(0)) await frontEnd.kill();
  await disk.close();
});

async function underLoad(queueCount = 4): Promise<BusyFrontEnd> {
  const frontEnd = new BusyFrontEnd(disk.socket, queueCount);
  busy.push(frontEnd);
  await frontEnd.busy();
  return frontEnd;
}

describe('a front-end that is killed under load', () => {
  test('bug class 16: the next is served; fds and mappings are back where they were', async () => {
    disk = await ServedDisk.serve({ args: ['--workers=2'] });
    // The first front-end warms up what stays: lazily opened things would look like a leak.
    await (await underLoad()).kill();
    await disk.vloop.logged('front-end disconnected');
    const fds = disk.vloop.openFds();
    expect(disk.vloop.guestMappings()).toBe(0);
    for (let round = 2; round <= 4; round++) {
      await (await underLoad()).kill();
      await disk.vloop.logged('front-end disconnected', round);
      expect(disk.vloop.openFds()).toBe(fds);
      expect(disk.vloop.guestMappings()).toBe(0);
    }
    const { queue } = await disk.connect();
    const data = noise(4096, 77);
    await queue.mustRun(blk.write(0, data));
    expect(Buffer.compare(await queue.mustRun(blk.read(0, 4096)), data)).toBe(0);
    expect(disk.vloop.log('broke')).toEqual([]);
  });

  test('what it wrote last is either there or not, block by block', async () => {
    disk = await ServedDisk.serve();
    await (await underLoad()).kill();
    await disk.vloop.logged('front-end disconnected');
    const image = disk.imageBytes();
    for (let at = 0; at < image.length; at += 4096) {
      const block = image.subarray(at, at + 4096);
      expect(
        block.every((byte) => byte === block[0]),
        `block at ${at}`,
      ).toBe(true);
    }
  });
});

test('a second front-end waits until the first has gone', async () => {
  disk = await ServedDisk.serve();
  const first = await disk.connect();
  const second = await VhostUserClient.connect(disk.socket);
  second.send('GET_FEATURES');
  await first.queue.mustRun(blk.read(0, 512));
  expect(second.hasUnread).toBe(false);
  first.close();
  expect((await second.reply('GET_FEATURES')).payload.byteLength).toBe(8);
  second.close();
});

test('a connection that says nothing is no obstacle', async () => {
  disk = await ServedDisk.serve();
  const silent = await VhostUserClient.connect(disk.socket);
  await disk.vloop.logged('front-end connected');
  silent.close();
  const { queue } = await disk.connect();
  await queue.mustRun(blk.read(0, 512));
});

describe('sockets', () => {
  test('a stale socket file is taken over', async () => {
    disk = new ServedDisk();
    const dead = listenAt(disk.socket);
    closeSync(dead);
    expect(existsSync(disk.socket)).toBe(true);
    await disk.startVloop();
    await (await disk.connect()).queue.mustRun(blk.read(0, 512));
  });

  test('a socket in use is refused, and its owner goes on', async () => {
    disk = new ServedDisk();
    const owner = createServer();
    await new Promise<void>((resolve) => owner.listen(disk.socket, resolve));
    const { status, stderr } = await VloopProcess.run([
      `--blk-file=${disk.image}`,
      `--socket-path=${disk.socket}`,
    ]);
    expect(status).toBe(1);
    expect(stderr).toBe(`vloop: socket ${disk.socket}: in use by another process\n`);
    const probe = connectTo(disk.socket);
    expect(probe).toBeGreaterThan(0);
    closeSync(probe);
    await new Promise((resolve) => owner.close(resolve));
  });

  test('a file in the way that is no socket is refused and left alone', async () => {
    disk = new ServedDisk();
    writeFileSync(disk.socket, 'precious');
    const { status, stderr } = await VloopProcess.run([
      `--blk-file=${disk.image}`,
      `--socket-path=${disk.socket}`,
    ]);
    expect([status, stderr]).toEqual([
      1,
      `vloop: socket ${disk.socket}: a file is in the way that is not a socket\n`,
    ]);
    expect(readFileSync(disk.socket, 'utf8')).toBe('precious');
  });

  test('a path that is too long for a socket, and one in no directory', async () => {
    disk = new ServedDisk();
    const long = join(disk.directory, 'x'.repeat(108));
    const tooLong = await VloopProcess.run([`--blk-file=${disk.image}`, `--socket-path=${long}`]);
    expect(tooLong.status).toBe(1);
    expect(tooLong.stderr).toMatch(
      /^vloop: socket .*: the path has \d+ bytes, expected at most 107\n$/,
    );
    const nowhere = join(disk.directory, 'no', 'socket');
    const missing = await VloopProcess.run([
      `--blk-file=${disk.image}`,
      `--socket-path=${nowhere}`,
    ]);
    expect([missing.status, missing.stderr]).toEqual([
      1,
      `vloop: socket ${nowhere}: there is no directory ${dirname(nowhere)}/\n`,
    ]);
  });
});

describe('--fd', () => {
  test('of a listening socket serves front-ends there', async () => {
    disk = new ServedDisk();
    const listening = listenAt(disk.socket);
    const vloop = await VloopProcess.serving({
      args: [`--blk-file=${disk.image}`, '--fd=3'],
      inheritedFds: [listening],
    });
    try {
      for (let round = 0; round < 2; round++) {
        const frontEnd = await MockFrontEnd.start(disk.socket);
        await frontEnd.queue.mustRun(blk.read(0, 512));
        frontEnd.close();
      }
      expect(await vloop.end()).toMatchObject({ status: 0 });
      expect(existsSync(disk.socket), 'the socket is not its own to remove').toBe(true);
    } finally {
      await vloop.kill();
      closeSync(listening);
    }
  });

  test('of a connected socket serves that front-end and ends with it', async () => {
    disk = new ServedDisk();
    const listening = listenAt(disk.socket);
    const client = await VhostUserClient.connect(disk.socket);
    const server = acceptConnection(listening);
    closeSync(listening);
    const vloop = await VloopProcess.serving({
      args: [`--blk-file=${disk.image}`, '--fd=3'],
      inheritedFds: [server],
    });
    closeSync(server);
    try {
      const frontEnd = disk.own(new MockFrontEnd(client));
      await frontEnd.realize();
      await frontEnd.startQueues();
      await frontEnd.queue.mustRun(blk.read(0, 512));
      frontEnd.close();
      expect(await vloop.end(null)).toMatchObject({ status: 0 });
    } finally {
      await vloop.kill();
    }
  });

  test('of something else is refused', async () => {
    disk = new ServedDisk();
    const { status, stderr } = await VloopProcess.run([`--blk-file=${disk.image}`, '--fd=0']);
    expect([status, stderr]).toEqual([
      1,
      'vloop: --fd=0: expected a listening or connected unix socket\n',
    ]);
  });
});

test('--once ends after the first front-end, with status 0', async () => {
  disk = await ServedDisk.serve({ args: ['--once'] });
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  frontEnd.close();
  expect(await disk.vloop.end(null)).toMatchObject({ status: 0 });
  expect(existsSync(disk.socket)).toBe(false);
});

describe('two disks on one file', () => {
  const second = (...args: string[]) =>
    VloopProcess.run([`--blk-file=${disk.image}`, `--socket-path=${disk.socket}2`, ...args]);

  test('a second writer is refused with exit status 1', async () => {
    disk = await ServedDisk.serve();
    const { status, stderr } = await second();
    expect([status, stderr]).toEqual([
      1,
      `vloop: backing file ${disk.image}: locked, another process has it open as a disk\n`,
    ]);
  });

  test('a reader of a file that is being written is refused', async () => {
    disk = await ServedDisk.serve();
    const { status, stderr } = await second('--read-only');
    expect(status).toBe(1);
    expect(stderr).toMatch(/locked, another process is writing it/);
  });

  test('two readers share it', async () => {
    disk = await ServedDisk.serve({ args: ['--read-only'] });
    const other = await VloopProcess.serving({
      args: [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}2`, '--read-only'],
    });
    expect(await other.end()).toMatchObject({ status: 0 });
  });

  test('the lock goes with its holder, however that ends', async () => {
    disk = await ServedDisk.serve();
    await disk.vloop.kill();
    await disk.startVloop();
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  });
});
