/**
 * The daemon and its disk processes: methods reach the process that has the disk, a killed process is started again
 * while others go on, the daemon's own end takes nothing along, and a new one finds everything again.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DaemonRig } from '../support/daemon-rig.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { isAlive } from '../support/process-alive.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { eventually } from '../support/waiting.ts';

const WAIT_MS = 20_000;
const DISK_BYTES = 8 * 2 ** 20;

let rig: DaemonRig;

beforeEach(() => {
  rig = new DaemonRig();
});

afterEach(async () => {
  await rig.close();
});

/** A load that runs until it is stopped, and then everything it wrote is looked for in the image. */
class RunningLoad {
  readonly #load: VerifiedLoad;
  readonly #loading: Promise<void>;
  #stopped = false;

  constructor(frontEnd: MockFrontEnd, content: Uint8Array) {
    this.#load = new VerifiedLoad(frontEnd, content.slice());
    this.#loading = this.#load.runUntil(() => this.#stopped);
  }

  async moreAnswers(): Promise<void> {
    const before = this.#load.answered;
    await eventually('answers', WAIT_MS, () => this.#load.answered > before + 100 || undefined);
  }

  async endsRight(image: string): Promise<void> {
    this.#stopped = true;
    await this.#loading;
    await this.#load.run(10);
    expect(this.#load.difference(readFileSync(image))).toBeNull();
  }
}

const loaded = { inflight: true, moreRegions: [loadRegion(1)] };

test('of two disks under load one is killed: it comes back with its requests, the other notices nothing', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const contents = [noise(DISK_BYTES, 1), noise(DISK_BYTES, 2)];
  const images = contents.map((content, i) => rig.image(`${i}.img`, content));
  const [first, second] = [
    await rpc.call('disk_attach', { blk_file: images[0]!, name: 'first' }),
    await rpc.call('disk_attach', { blk_file: images[1]!, num_queues: 2 }),
  ];
  expect([first.name, second.name, second.queues]).toEqual(['first', '1.img', 2]);
  expect(new Set([first.pid, second.pid, rig.daemon.pid]).size).toBe(3);
  const frontEnds = [await rig.frontEnd(first, loaded), await rig.frontEnd(second, loaded)];
  const loads = frontEnds.map((frontEnd, i) => new RunningLoad(frontEnd, contents[i]!));
  await Promise.all(loads.map((load) => load.moreAnswers()));
  const heard = await rig.events();
  process.kill(first.pid, 'SIGKILL');
  await loads[1]!.moreAnswers();
  const again = await rig.anew(rpc, 'first', first.pid);
  await frontEnds[0]!.reconnect(again.socket!);
  await Promise.all(loads.map((load) => load.moreAnswers()));
  for (const [i, load] of loads.entries()) await load.endsRight(images[i]!);
  const told = () => heard.filter(({ disk }) => disk === 'first').map(({ name }) => name);
  // Of what the new process says, whatever it has said since the daemon listens to it.
  await eventually('events', WAIT_MS, () => told().includes('disk_attached') || undefined);
  expect(told().slice(0, 2)).toEqual(['disk_detached', 'disk_attached']);
  expect(heard.filter(({ disk }) => disk !== 'first')).toEqual([]);
  const still = await rpc.call('disk_get_status', { disk: '1.img' });
  expect(still).toMatchObject({ pid: second.pid, connections: 1, connected: true });
  expect(rig.daemon.log('started again')).toHaveLength(1);
});

test('a disk whose file was changed, by whomever, is started again with the file that it has', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const content = noise(DISK_BYTES, 3);
  const [old, copy] = [rig.image('old.img', content), rig.image('copy.img', content)];
  const before = await rpc.call('disk_attach', { blk_file: old, name: 'd' });
  // Not by the daemon: at the disk's own socket.
  const own = await rig.rpc(before.pid);
  await own.call('disk_change_file', { disk: 'd', file: copy, quiesced: true });
  const frontEnd = await rig.frontEnd(before, { inflight: true });
  await frontEnd.queue.mustRun(blk.write(0, noise(4096, 4)));
  process.kill(before.pid, 'SIGKILL');
  const after = await rig.anew(rpc, 'd', before.pid);
  expect(after).toMatchObject({ back_file: copy });
  await frontEnd.reconnect(after.socket!);
  const read = await frontEnd.queue.mustRun(blk.read(0, 4096));
  expect(Buffer.compare(read, noise(4096, 4))).toBe(0);
  expect(Buffer.compare(readFileSync(old), content)).toBe(0);
});

test('methods reach a disk by its name, file or socket, also one that others serve', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const image = rig.image('a.img', noise(DISK_BYTES, 1));
  const { socket, pid } = await rpc.call('disk_attach', { blk_file: image, read_only: true });
  for (const disk of ['a.img', image, socket!]) {
    expect(await rpc.call('disk_get_status', { disk })).toMatchObject({ name: 'a.img', pid });
  }
  const args = ['serve', '--memory=1M', '--name=alone', `--socket-path=${rig.path('m')}`];
  const alone = rig.own(await rig.serving(args));
  expect(await rpc.call('disk_get_status', { disk: 'alone' })).toMatchObject({ pid: alone.pid });
  const names = (await rpc.call('disk_list', {})).map(({ name }) => name);
  expect(names).toEqual(['a.img', 'alone']);
  await expect(rpc.callAny('disk_frobnicate', {})).rejects.toThrow(
    /method disk_frobnicate: unknown/,
  );
  await expect(rpc.call('disk_get_status', { disk: 'x' })).rejects.toThrow(
    /disk=x: no such disk; there are: a\.img, alone|alone, a\.img/,
  );
  await expect(rpc.callAny('disk_get_status', { disk: 7 })).rejects.toThrow(/params\.disk=7/);
  const direct = await rig.rpc(pid);
  await expect(direct.callAny('disk_attach', { blk_file: image })).rejects.toThrow(
    /disk_attach: vloop daemon does that/,
  );
});

test('what cannot be attached is refused in words, and leaves nothing', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const cases: ReadonlyArray<readonly [params: object, words: RegExp]> = [
    [{ blk_file: '/no/such.img' }, /\/no\/such\.img: no such file/],
    [{ blk_file: 'a.img' }, /a\.img: expected an absolute path/],
    [{ name: 'a' }, /expected one of blk_file and memory/],
    [{ blk_file: '/a', memory: '1M' }, /expected one of blk_file and memory/],
    [{ blk_file: '/a', direct_oi: 'on' }, /direct_oi/],
    [{ blk_file: '/a', num_queues: '4' }, /num_queues="4"/],
    [{ blk_file: '/a', direct_io: 'x' }, /direct_io="x": expected one of on, off, auto/],
    [{ blk_file: '/a', fd: 3 }, /fd/],
  ];
  for (const [params, words] of cases) {
    await expect(rpc.callAny('disk_attach', params)).rejects.toThrow(words);
  }
  expect(await rpc.call('disk_list', {})).toEqual([]);
  expect(rig.pids()).toEqual([]);
  const [image, other] = ['a.img', 'b.img'].map((name) => rig.image(name, new Uint8Array(4096)));
  const { pid } = await rpc.call('disk_attach', { blk_file: image! });
  await expect(rpc.call('disk_attach', { blk_file: other!, name: 'a.img' })).rejects.toThrow(
    /name=a\.img: another disk is called so/,
  );
  expect(rig.pids()).toEqual([pid]);
});

test('the daemon is killed under load: its disks go on, and a new one looks after them', async () => {
  const killed = await rig.startDaemon();
  const content = noise(DISK_BYTES, 3);
  const image = rig.image('a.img', content);
  const disk = await (await rig.rpc()).call('disk_attach', { blk_file: image, serial: 'kept' });
  const frontEnd = await rig.frontEnd(disk, loaded);
  const load = new RunningLoad(frontEnd, content);
  await load.moreAnswers();
  await killed.kill();
  await load.moreAnswers();
  await rig.startDaemon();
  await load.moreAnswers();
  const rpc = await rig.rpc();
  expect(await rpc.call('disk_list', {})).toMatchObject([{ pid: disk.pid, connections: 1 }]);
  process.kill(disk.pid, 'SIGKILL');
  const again = await rig.anew(rpc, 'a.img', disk.pid);
  expect(again.serial).toBe('kept');
  await frontEnd.reconnect(disk.socket!);
  await load.moreAnswers();
  await load.endsRight(image);
});

test('a disk that died while there was no daemon is started by the next one', async () => {
  const first = await rig.startDaemon();
  const image = rig.image('a.img', new Uint8Array(4096));
  const disk = await (await rig.rpc()).call('disk_attach', { blk_file: image });
  expect(await first.end()).toMatchObject({ status: 0 });
  expect(isAlive(disk.pid)).toBe(true);
  process.kill(disk.pid, 'SIGKILL');
  await rig.gone(disk.pid);
  await rig.startDaemon();
  await rig.anew(await rig.rpc(), 'a.img', disk.pid);
  await (await rig.frontEnd(disk)).queue.mustRun(blk.read(0, 512));
});

test('a disk that is told to end is left alone, and gone with its socket', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const disk = await rpc.call('disk_attach', {
    blk_file: rig.image('a.img', new Uint8Array(4096)),
  });
  expect(await rpc.call('disk_detach', { disk: 'a.img' })).toMatchObject({ state: 'rundown' });
  await rig.daemon.logged('the disk has ended');
  expect(await rpc.call('disk_list', {})).toEqual([]);
  expect(existsSync(disk.socket!)).toBe(false);
  expect(JSON.parse(readFileSync(`${rig.runDirectory}/daemon.json`, 'utf8'))).toMatchObject({
    disks: [],
  });
});

test('a disk in memory that dies is not replaced by an empty one', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const disk = await rpc.call('disk_attach', { memory: '1M', name: 'm' });
  process.kill(disk.pid, 'SIGKILL');
  await rig.daemon.logged('what was in its memory with it');
  expect(await rpc.call('disk_list', {})).toEqual([]);
});

test('a live upgrade of a disk: the daemon goes on with the successor', async () => {
  await rig.startDaemon();
  const rpc = await rig.rpc();
  const disk = await rpc.call('disk_attach', {
    blk_file: rig.image('a.img', new Uint8Array(4096)),
  });
  const frontEnd = await rig.frontEnd(disk);
  process.kill(disk.pid, 'SIGUSR2');
  const successor = await rig.anew(rpc, 'a.img', disk.pid);
  await frontEnd.queue.mustRun(blk.read(0, 512));
  expect(rig.daemon.log('started again')).toEqual([]);
  await eventually('successor that is looked after', WAIT_MS, async () => {
    const status = await rpc.call('disk_get_status', { disk: 'a.img' }).catch(() => null);
    return status?.pid === successor.pid || undefined;
  });
  process.kill(successor.pid, 'SIGKILL');
  await rig.anew(rpc, 'a.img', successor.pid);
  expect(rig.daemon.log('started again')).toHaveLength(1);
});

test('a configuration is attached once, and a page shows its disks', async () => {
  const image = rig.image('a.img', noise(DISK_BYTES, 1));
  const file = rig.path('disks.json');
  writeFileSync(file, JSON.stringify({ disks: [{ blk_file: image, name: 'configured' }] }));
  const args = [`--config=${file}`, '--http=127.0.0.1:0'];
  await rig.startDaemon(args);
  const rpc = await rig.rpc();
  const [disk, ...others] = await rpc.call('disk_list', {});
  expect([disk?.name, others]).toEqual(['configured', []]);
  const { http } = await rpc.call('get_version', {});
  const healthy = await fetch(new URL('/healthz', http!));
  expect([healthy.status, (await healthy.text()).trim()]).toEqual([200, 'ok']);
  expect((await fetch(new URL('/metrics', http!))).status).toBe(401);
  // Whoever starts it again finds the disk there already.
  await rig.daemon.kill();
  await rig.startDaemon(args);
  const again = await (await rig.rpc()).call('disk_list', {});
  expect(again.map(({ name, pid }) => [name, pid])).toEqual([['configured', disk!.pid]]);
});

test('a second daemon is refused, and a stale socket is not in the way', async () => {
  const first = await rig.startDaemon();
  const { status, stderr } = await rig.run('daemon');
  expect(status).toBe(1);
  expect(stderr).toMatch(/^vloop: run directory .*: process \d+ is its daemon\n$/);
  expect(await (await rig.rpc()).call('get_version', {})).toMatchObject({ pid: first.pid });
  await first.kill();
  expect(existsSync(`${rig.runDirectory}/daemon.ctl`)).toBe(true);
  const second = await rig.startDaemon();
  expect(await second.end()).toMatchObject({ status: 0 });
  expect(existsSync(`${rig.runDirectory}/daemon.ctl`)).toBe(false);
});
