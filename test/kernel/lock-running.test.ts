/**
 * Two vloops on one file that hand its lock from one to the other (`--lock=running`): at no time do both
 * write, whoever comes too early is refused in words, and each sees what the other has left.
 */
import { truncateSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
const TAKEN = 'the backing file is locked';
const GIVEN_UP = 'the backing file is unlocked';
let disk: ServedDisk;
let other: VloopProcess;
let otherSocket: string;

async function second(args: readonly string[]): Promise<VloopProcess> {
  const conventions = [`--blk-file=${disk.image}`, `--socket-path=${otherSocket}`];
  return await VloopProcess.serving({ args: [...conventions, ...args] });
}

beforeEach(async () => {
  disk = await ServedDisk.serve({ sizeBytes: 16 * MIB, args: ['--lock=running'] });
  otherSocket = `${disk.socket}2`;
  other = await second(['--lock=running']);
});

afterEach(async () => {
  await other.kill();
  await disk.close();
});

/** A front-end that has said everything but its kicks. */
async function realized(socket: string): Promise<MockFrontEnd> {
  const frontEnd = disk.own(new MockFrontEnd(await VhostUserClient.connect(socket)));
  await frontEnd.realize();
  return frontEnd;
}

test('there and back twenty times: each side sees what the other wrote last', async () => {
  const sides = [await realized(disk.socket), await realized(otherSocket)];
  for (let round = 0; round < 20; round++) {
    const frontEnd = sides[round % 2]!;
    await frontEnd.startQueues();
    if (round > 0) {
      const data = await frontEnd.queue.mustRun(blk.read(8 * (round - 1), BLOCK));
      expect(data).toEqual(new Uint8Array(noise(BLOCK, round - 1)));
    }
    await frontEnd.queue.mustRun(blk.write(8 * round, noise(BLOCK, round)));
    await frontEnd.stopQueues();
  }
  for (const vloop of [disk.vloop, other]) {
    expect(vloop.log(TAKEN)).toHaveLength(10);
    expect(vloop.log(GIVEN_UP)).toHaveLength(10);
  }
});

test('several queues: the first start takes it, the last stop gives it up', async () => {
  const frontEnd = await disk.connect({ queueCount: 3 });
  expect(disk.vloop.log(TAKEN)).toHaveLength(1);
  for (const index of [0, 2]) await frontEnd.stopQueue(index);
  expect(disk.vloop.log(GIVEN_UP)).toHaveLength(0);
  await frontEnd.stopQueue(1);
  await disk.vloop.logged(GIVEN_UP);
});

describe('while one side runs', () => {
  test('the other is refused in time and in words; the one that runs does not notice', async () => {
    const { queue } = await disk.connect();
    const late = await realized(otherSocket);
    await expect(late.startQueues()).rejects.toThrow('closed the connection');
    const [said] = await other.logged('it broke the protocol');
    expect(said?.['error']).toMatch(/SET_VRING_KICK: .*locked, another process serves it \(waited/);
    await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    expect(other.log(TAKEN)).toHaveLength(0);
  });

  test('the other waits a moment, and runs when the first has stopped', async () => {
    const first = await disk.connect();
    await first.queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    const next = await realized(otherSocket);
    const starting = next.startQueues();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(other.log(TAKEN)).toHaveLength(0);
    await first.stopQueues();
    await starting;
    const data = await next.queue.mustRun(blk.read(0, BLOCK));
    expect(data).toEqual(new Uint8Array(noise(BLOCK, 1)));
  });

  test('one that dies with SIGKILL leaves no lock behind', async () => {
    const { queue } = await disk.connect();
    await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    await disk.vloop.kill();
    const next = await realized(otherSocket);
    await next.startQueues();
    const data = await next.queue.mustRun(blk.read(0, BLOCK));
    expect(data).toEqual(new Uint8Array(noise(BLOCK, 1)));
  });

  test('a front-end that hangs up gives it up', async () => {
    const frontEnd = await disk.connect();
    frontEnd.close();
    await disk.vloop.logged(GIVEN_UP);
    await (await realized(otherSocket)).startQueues();
  });
});

describe('a process that takes over (SIGUSR2)', () => {
  test('has the lock while the rings run, and gives it up when they stop', async () => {
    const frontEnd = await disk.connect();
    await frontEnd.queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    await disk.vloop.upgrade();
    await frontEnd.queue.mustRun(blk.write(8, noise(BLOCK, 2)));
    const late = await realized(otherSocket);
    await expect(late.startQueues()).rejects.toThrow('closed the connection');
    await frontEnd.stopQueues();
    await disk.vloop.logged(GIVEN_UP);
    const next = await realized(otherSocket);
    await next.startQueues();
    const data = await next.queue.mustRun(blk.read(8, BLOCK));
    expect(data).toEqual(new Uint8Array(noise(BLOCK, 2)));
  });

  test('while no ring runs has none, and takes it with the first', async () => {
    const frontEnd = await realized(disk.socket);
    await disk.vloop.upgrade();
    const first = await realized(otherSocket);
    await first.startQueues();
    await first.stopQueues();
    await frontEnd.startQueues();
    expect(disk.vloop.log(TAKEN)).toHaveLength(1);
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
  });
});

test('a file that grew on the other side is as large here, and the guest is told', async () => {
  truncateSync(disk.image, 24 * MIB);
  const frontEnd = await disk.connect();
  await disk.vloop.logged('the disk has a new size');
  const config = await frontEnd.config();
  const view = new DataView(config.buffer, config.byteOffset);
  expect(view.getBigUint64(virtioBlkConfig.at.capacity, true)).toBe(BigInt((24 * MIB) / 512));
  await frontEnd.queue.mustRun(blk.read((24 * MIB - BLOCK) / 512, BLOCK));
});

describe('with a vloop that holds its lock always', () => {
  test('one that runs keeps it out', async () => {
    await disk.connect();
    await other.kill();
    await expect(second([])).rejects.toThrow('locked, another process has it open as a disk');
  });

  test('it keeps those out that would run', async () => {
    await other.kill();
    other = await second([]);
    await expect(disk.connect()).rejects.toThrow('closed the connection');
  });
});
