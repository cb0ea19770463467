/**
 * A disk that stands still for an operator, and one that is taken away: under a load that knows every byte, and
 * with a front-end that does meanwhile what front-ends do.
 */
import { truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
const DISK = { disk: 'd' };
let disk: ServedDisk;
let rpc: RpcClient;

beforeEach(async () => {
  disk = new ServedDisk({ content: noise(16 * MIB, 1) });
});

afterEach(async () => {
  await disk.close();
});

async function serve(...args: string[]): Promise<void> {
  await disk.startVloop([`--control=${disk.directory}/ctl`, '--name=d', ...args]);
  rpc = disk.own(await RpcClient.connect(`${disk.directory}/ctl`));
}

/** Events as they come, from now on. */
async function heard(): Promise<string[]> {
  const names: string[] = [];
  rpc.onEvent = (name) => names.push(name);
  await rpc.call('subscribe', {});
  return names;
}

describe.each([['io_uring'], ['threads'], ['native']])('--aio=%s', (engine) => {
  test('nothing moves while it stands still, nothing is lost when it goes on', async () => {
    await serve(`--aio=${engine}`, '--num-queues=2', '--workers=2');
    const frontEnd = await disk.connect({ queueCount: 2, moreRegions: [loadRegion(2)] });
    const load = new VerifiedLoad(frontEnd, new Uint8Array(disk.imageBytes()));
    let stopped = false;
    const running = load.runUntil(() => stopped);
    for (let round = 0; round < 5; round++) {
      const before = load.answered;
      await eventually('answers', 20_000, () => load.answered > before + 100 || undefined);
      await rpc.call('disk_quiesce', DISK);
      // Its last answers are in the rings: the load takes them in its next turn.
      await rpc.call('get_version', {});
      const [answered, image] = [load.answered, disk.imageBytes()];
      for (let turn = 0; turn < 20; turn++) await rpc.call('get_version', {});
      expect(load.answered).toBe(answered);
      expect(Buffer.compare(disk.imageBytes(), image)).toBe(0);
      await rpc.call('disk_resume', DISK);
    }
    stopped = true;
    await running;
    await Promise.all(frontEnd.queues.map((queue) => queue.drained()));
    expect(load.difference(disk.imageBytes())).toBeNull();
  });
});

describe('while it stands still', () => {
  beforeEach(async () => {
    await serve('--num-queues=2');
  });

  test('a request is taken and answered afterwards', async () => {
    const frontEnd = await disk.connect();
    await rpc.call('disk_quiesce', DISK);
    expect(await rpc.call('disk_get_status', DISK)).toMatchObject({ quiesced: true });
    const pending = frontEnd.queue.offer(blk.read(0, 512));
    frontEnd.queue.kick();
    await rpc.call('disk_get_status', DISK);
    expect(frontEnd.queue.collect()).toEqual([]);
    await rpc.call('disk_resume', DISK);
    await frontEnd.queue.drained();
    expect(pending.request.status).toBe(0);
  });

  test('rings stop and start, and a front-end goes and another one comes', async () => {
    const first = await disk.connect();
    await first.queue.mustRun(blk.read(0, 512));
    await rpc.call('disk_quiesce', DISK);
    expect(await first.stopQueue(0)).toBe(1);
    await first.restart(0);
    await first.enable(0, true);
    first.close();
    await disk.vloop.logged('front-end disconnected');
    const second = await disk.connect({ inflight: true });
    const pending = second.queue.offer(blk.write(0, noise(512, 9)));
    second.queue.kick();
    await rpc.call('disk_get_status', DISK);
    expect(second.queue.collect()).toEqual([]);
    await rpc.call('disk_resume', DISK);
    await second.queue.drained();
    expect(pending.request.status).toBe(0);
    expect(Buffer.compare(disk.imageBytes().subarray(0, 512), noise(512, 9))).toBe(0);
  });

  test('a second time changes nothing, and resuming what goes on is refused', async () => {
    await rpc.call('disk_quiesce', DISK);
    await rpc.call('disk_quiesce', DISK);
    await rpc.call('disk_resume', DISK);
    await expect(rpc.call('disk_resume', DISK)).rejects.toMatchObject({
      code: 'EINVAL',
      message: 'the disk does not stand still',
    });
  });

  test('no other process takes over', async () => {
    await rpc.call('disk_quiesce', DISK);
    disk.vloop.signal('SIGUSR2');
    const [line] = await disk.vloop.logged('no hand-over: this process carries on');
    expect(line).toMatchObject({ reason: 'a disk is quiesced, or being changed' });
    await rpc.call('disk_resume', DISK);
    await disk.vloop.upgrade();
  });

  test('SIGTERM ends it as ever', async () => {
    const frontEnd = await disk.connect();
    await rpc.call('disk_quiesce', DISK);
    frontEnd.queue.offer(blk.read(0, 512));
    frontEnd.queue.kick();
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  });
});

describe('detaching', () => {
  test('ends a disk without a front-end at once', async () => {
    await serve();
    const events = await heard();
    expect(await rpc.call('disk_detach', DISK)).toMatchObject({ state: 'rundown' });
    expect(await disk.vloop.ended).toMatchObject({ status: 0 });
    expect(events).toEqual(['disk_detached']);
  });

  test('waits for the front-end, and takes no other one', async () => {
    await serve();
    const frontEnd = await disk.connect();
    expect(await rpc.call('disk_detach', DISK)).toMatchObject({ state: 'autoclear' });
    expect(await rpc.call('disk_get_status', DISK)).toMatchObject({ autoclear: true });
    await frontEnd.queue.mustRun(blk.read(0, 512));
    frontEnd.close();
    expect(await disk.vloop.ended).toMatchObject({ status: 0 });
  });

  test('by force answers what is in flight first', async () => {
    await serve();
    const frontEnd = await disk.connect();
    const pending = frontEnd.queue.offer(blk.write(0, noise(4096, 3)));
    frontEnd.queue.kick();
    expect(await rpc.call('disk_detach', { ...DISK, force: true })).toMatchObject({
      state: 'rundown',
    });
    expect(await disk.vloop.ended).toMatchObject({ status: 0 });
    frontEnd.queue.collect();
    const written = Buffer.compare(disk.imageBytes().subarray(0, 4096), noise(4096, 3)) === 0;
    expect([pending.usedBytes >= 0, written]).toEqual([written, written]);
  });

  test('leaves the other disk of the process alone', async () => {
    const other = `${disk.directory}/other.img`;
    writeFileSync(other, noise(MIB, 2));
    const both = await VloopProcess.serving({
      args: ['serve', disk.image, other, `--control=${disk.directory}/ctl`],
      through: ['env', '-C', disk.directory],
    });
    try {
      const client = disk.own(await RpcClient.connect(`${disk.directory}/ctl`));
      const frontEnd = disk.own(await MockFrontEnd.start(`${disk.directory}/disk.img.sock`));
      await client.call('disk_detach', { disk: 'other.img' });
      await eventually('end of the other disk', 15_000, async () => {
        const disks = await client.call('disk_list', {});
        return disks.map(({ name }) => name).join() === 'disk.img' ? true : undefined;
      });
      await frontEnd.queue.mustRun(blk.read(0, 4096));
    } finally {
      await both.kill();
    }
  });
});

test('events tell what happens to a disk', async () => {
  await serve();
  const events = await heard();
  const frontEnd = await disk.connect();
  await rpc.call('disk_quiesce', DISK);
  await rpc.call('disk_resume', DISK);
  truncateSync(disk.image, 32 * MIB);
  expect(await rpc.call('disk_set_capacity', DISK)).toEqual({
    size: 32 * MIB,
    old_size: 16 * MIB,
  });
  frontEnd.close();
  await disk.vloop.logged('front-end disconnected');
  await rpc.call('get_version', {});
  expect(events).toEqual([
    'disk_connected',
    'disk_quiesced',
    'disk_resumed',
    'disk_resized',
    'disk_disconnected',
  ]);
});
