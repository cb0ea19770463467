/**
 * SIGHUP: a disk takes the new size of its backing file, larger or smaller, with or without a front-end,
 * under load; the front-end is told over its channel, and one that hangs there holds nothing up.
 */
import { existsSync, statSync, truncateSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { vhostUserBackendMessages as B } from '../../protocol/vhost-user-backend-messages.ts';
import { VIRTIO_BLK_S_IOERR, virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { ChannelEnd } from '../support/channel-end.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** SIGHUP, and the log line that says what came of it. */
async function hangUp(says = 'the disk has a new size'): Promise<void> {
  const before = disk.vloop.log(says).length;
  process.kill(disk.vloop.pid, 'SIGHUP');
  await disk.vloop.logged(says, before + 1);
}

async function resize(sizeBytes: number): Promise<void> {
  truncateSync(disk.image, sizeBytes);
  await hangUp();
}

async function capacityBytes(frontEnd: MockFrontEnd): Promise<number> {
  const config = await frontEnd.config();
  const view = new DataView(config.buffer, config.byteOffset);
  return Number(view.getBigUint64(virtioBlkConfig.at.capacity, true)) * 512;
}

async function withChannel(frontEnd: MockFrontEnd): Promise<ChannelEnd> {
  return disk.own(await ChannelEnd.give(frontEnd.client));
}

test('a running front-end is told, reads the new capacity and uses it', async () => {
  disk = await ServedDisk.serve({ sizeBytes: MIB, args: ['--workers=2'] });
  const frontEnd = await disk.connect({ queueCount: 2 });
  const channel = await withChannel(frontEnd);
  const past = frontEnd.queues.map((queue) => queue.run(blk.read(MIB / 512, BLOCK)));
  for (const answer of await Promise.all(past)) expect(answer.status).toBe(VIRTIO_BLK_S_IOERR);
  await resize(3 * MIB);
  const message = await channel.next();
  expect(message).toMatchObject({ request: B.CONFIG_CHANGE_MSG.code, flags: 9 });
  // As QEMU does: it reads the config space before it answers.
  expect(await capacityBytes(frontEnd)).toBe(3 * MIB);
  channel.answer(message);
  await disk.vloop.logged('the front-end has been told of the new size');
  for (const [i, queue] of frontEnd.queues.entries()) {
    const data = noise(BLOCK, 5 + i);
    await queue.mustRun(blk.write((2 + i / 2) * (MIB / 512), data));
    expect(
      disk
        .imageBytes()
        .subarray((2 + i / 2) * MIB)
        .subarray(0, BLOCK),
    ).toEqual(Buffer.from(data));
  }
});

test('a smaller disk: requests past the new end fail, and the file stays as small as it is', async () => {
  disk = await ServedDisk.serve({ sizeBytes: 4 * MIB });
  const { queue } = await disk.connect();
  await queue.mustRun(blk.write((2 * MIB) / 512, noise(BLOCK, 1)));
  await resize(2 * MIB);
  for (const text of [
    blk.read((2 * MIB) / 512, BLOCK),
    blk.read((2 * MIB) / 512 - 4, BLOCK),
    blk.write((2 * MIB) / 512, noise(BLOCK, 2)),
  ]) {
    expect((await queue.run(text)).status).toBe(VIRTIO_BLK_S_IOERR);
  }
  await queue.mustRun(blk.read((2 * MIB) / 512 - 8, BLOCK));
  expect(statSync(disk.image).size).toBe(2 * MIB);
});

test('without a front-end, the next one sees the new size; the one after it, too', async () => {
  disk = await ServedDisk.serve({ sizeBytes: MIB });
  await resize(2 * MIB);
  for (let i = 0; i < 2; i++) {
    const frontEnd = await disk.connect();
    expect(await capacityBytes(frontEnd)).toBe(2 * MIB);
    await frontEnd.queue.mustRun(blk.read((2 * MIB - BLOCK) / 512, BLOCK));
    frontEnd.close();
  }
});

test('a size that is no multiple of the block, the same size, none at all', async () => {
  disk = await ServedDisk.serve({ sizeBytes: MIB, args: ['--block-size=4096'] });
  const frontEnd = await disk.connect();
  truncateSync(disk.image, MIB + 4095);
  await hangUp('the size that it had');
  truncateSync(disk.image, 4095);
  await hangUp('the size is kept');
  expect(await capacityBytes(frontEnd)).toBe(MIB);
});

test('a disk in memory keeps its size', async () => {
  disk = new ServedDisk();
  await disk.startVloop([], { args: ['--memory=1M', `--socket-path=${disk.socket}`] });
  const frontEnd = await disk.connect();
  await hangUp('keeps its size');
  expect(await capacityBytes(frontEnd)).toBe(MIB);
});

test('under load, larger and smaller twenty times: every answer is right', async () => {
  disk = await ServedDisk.serve({ sizeBytes: 16 * MIB, args: ['--workers=2'] });
  const frontEnd = await disk.connect({ queueCount: 2, moreRegions: [loadRegion(2)] });
  const channel = await withChannel(frontEnd);
  const load = new VerifiedLoad(frontEnd, new Uint8Array(16 * MIB));
  let resized = false;
  const running = load.runUntil(() => resized);
  for (let round = 0; round < 20; round++) {
    await resize((round % 2 === 0 ? 32 : 16) * MIB);
    const message = await channel.next();
    expect(message.request).toBe(B.CONFIG_CHANGE_MSG.code);
    channel.answer(message);
  }
  resized = true;
  await running;
});

test('a terminal that goes away ends vloop, as it ends any program', async () => {
  disk = new ServedDisk({ sizeBytes: MIB });
  const args = [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}`, '--log-format=json'];
  // Everything that vloop says comes from the terminal then.
  const through = ['sh', '-c', 'exec script -qfc "$*" /dev/null', 'sh'];
  const terminal = new VloopProcess({ args, through });
  const pid = await eventually(
    () => `"serving" on the terminal; it says: ${terminal.stdout}${terminal.stderr}`,
    15_000,
    () => /"pid":(\d+).*"msg":"serving"/.exec(terminal.stdout)?.[1],
  );
  process.kill(terminal.pid, 'SIGKILL');
  await eventually('end of vloop', 5000, () => !existsSync(`/proc/${pid}`) || undefined);
  await terminal.kill();
});

describe('a front-end', () => {
  test('without a channel: a line says that it does not know', async () => {
    disk = await ServedDisk.serve({ sizeBytes: MIB });
    const frontEnd = await disk.connect();
    await resize(2 * MIB);
    await disk.vloop.logged('it gave no channel');
    expect(await capacityBytes(frontEnd)).toBe(2 * MIB);
  });

  test('that stands still is told when its vring runs', async () => {
    disk = await ServedDisk.serve({ sizeBytes: MIB });
    const frontEnd = await disk.connect();
    const channel = await withChannel(frontEnd);
    await frontEnd.stopQueues();
    await resize(2 * MIB);
    await frontEnd.startQueues();
    expect((await channel.next()).request).toBe(B.CONFIG_CHANGE_MSG.code);
  });

  test('that never answers: requests go on, the session ends as ever, the next is served', async () => {
    disk = await ServedDisk.serve({ sizeBytes: MIB });
    const frontEnd = await disk.connect();
    await withChannel(frontEnd);
    await resize(2 * MIB);
    await frontEnd.queue.mustRun(blk.read((2 * MIB - BLOCK) / 512, BLOCK));
    expect(await capacityBytes(frontEnd)).toBe(2 * MIB);
    frontEnd.close();
    await disk.vloop.logged('front-end disconnected');
    expect(await capacityBytes(await disk.connect())).toBe(2 * MIB);
    expect((await disk.stopVloop()).status).toBe(0);
  });
});
