/**
 * vloop under a service manager: READY, STOPPING and MAINPID at a real notification socket, by path and by abstract
 * name, and a listening socket that is passed in, kept when the process ends. No systemd takes part; the units are
 * checked with systemd-analyze where the machine has it.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { listenAt } from '../../src/sys/unix-socket.ts';
import { DaemonRig } from '../support/daemon-rig.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { NotifySocket } from '../support/notify-socket.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const BLOCK = 4096;
const closers: Array<() => Promise<void> | void> = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function scratch(): { directory: string; image: string; socket: string } {
  const directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const image = join(directory, 'disk.img');
  writeFileSync(image, '');
  truncateSync(image, 8 * 2 ** 20);
  return { directory, image, socket: join(directory, 'disk.sock') };
}

async function serving(...options: Parameters<typeof VloopProcess.serving>): Promise<VloopProcess> {
  const vloop = await VloopProcess.serving(...options);
  closers.push(() => vloop.kill());
  return vloop;
}

function notifySocket(name: string): NotifySocket {
  const socket = new NotifySocket(name);
  closers.push(() => socket.close());
  return socket;
}

async function frontEnd(socket: string): Promise<MockFrontEnd> {
  const client = await MockFrontEnd.start(socket);
  closers.push(() => client.close());
  return client;
}

async function writeAndRead({ queue }: MockFrontEnd, sector: number, seed: number): Promise<void> {
  const data = noise(BLOCK, seed);
  await queue.mustRun(blk.write(sector, data));
  expect(Buffer.compare(await queue.mustRun(blk.read(sector, BLOCK)), data)).toBe(0);
}

describe('sd_notify', () => {
  test('READY when the disk can be connected to, STOPPING at SIGTERM', async () => {
    const { directory, image, socket } = scratch();
    const manager = notifySocket(join(directory, 'notify'));
    const env = { NOTIFY_SOCKET: manager.name };
    const vloop = await serving({ args: ['serve', image, `--socket-path=${socket}`], env });
    const ready = await manager.says('READY=1');
    expect(ready).toContain(`MAINPID=${vloop.pid}`);
    expect(ready).toContain(`STATUS=serving disk.img at ${socket}`);
    await frontEnd(socket);
    expect((await vloop.end()).status).toBe(0);
    await manager.says('STOPPING=1');
    expect(manager.messages).toHaveLength(2);
  });

  test('at an abstract socket; at a live upgrade the successor becomes the main process', async () => {
    const { directory, image, socket } = scratch();
    const manager = notifySocket(`@${directory}/notify`);
    const env = { NOTIFY_SOCKET: manager.name };
    const vloop = await serving({ args: ['serve', image, `--socket-path=${socket}`], env });
    await manager.says('READY=1');
    const first = vloop.pid;
    const client = await frontEnd(socket);
    await writeAndRead(client, 0, 1);
    await vloop.upgrade();
    expect(vloop.pid).not.toBe(first);
    // The one that is the main process says so before it ends, then the other one.
    const handed = await manager.says(`MAINPID=${vloop.pid}`);
    expect(handed).toContain('STATUS=handed over');
    expect(await manager.says('READY=1', 2)).toContain(`MAINPID=${vloop.pid}\n`);
    await writeAndRead(client, 8, 2);
    vloop.signal('SIGTERM');
    await manager.says('STOPPING=1', 3);
  });

  test('a daemon is the service, and its disks are none', async () => {
    const rig = new DaemonRig();
    closers.push(() => rig.close());
    const manager = notifySocket(rig.path('notify'));
    const daemon = await rig.startDaemon([], { NOTIFY_SOCKET: manager.name });
    const ready = await manager.says('READY=1');
    expect(ready).toContain(`MAINPID=${daemon.pid}`);
    expect(ready).toMatch(/STATUS=taking commands at \S+daemon\.ctl/);
    const rpc = await rig.rpc();
    const disk = await rpc.call('disk_attach', { blk_file: rig.image('a.img', noise(BLOCK, 7)) });
    expect(readFileSync(`/proc/${disk.pid}/environ`, 'latin1')).not.toContain('NOTIFY_SOCKET');
    await writeAndRead(await rig.frontEnd(disk), 0, 8);
    daemon.signal('SIGTERM');
    await manager.says('STOPPING=1');
    expect((await daemon.ended).status).toBe(0);
    expect(manager.messages).toHaveLength(2);
  });

  test('nobody at the socket is a warning, and the disk is served', async () => {
    const { directory, image, socket } = scratch();
    const env = { NOTIFY_SOCKET: join(directory, 'nobody') };
    const vloop = await serving({ args: ['serve', image, `--socket-path=${socket}`], env });
    const [warning] = await vloop.logged('service manager cannot be told');
    expect(warning).toMatchObject({ error: 'ENOENT' });
    await writeAndRead(await frontEnd(socket), 0, 3);
  });
});

describe('socket activation', () => {
  /** A shell that passes the sockets on to the process that it becomes, as a service manager does. */
  const activated = (count: number, names = '') => [
    'sh',
    '-c',
    `LISTEN_PID=$$ LISTEN_FDS=${count} LISTEN_FDNAMES=${names} exec "$@"`,
    'sh',
  ];

  test('the passed socket is served, across a live upgrade, and left for the next start', async () => {
    const { image, socket } = scratch();
    const listening = listenAt(socket);
    closers.push(() => closeSync(listening));
    const start = () =>
      serving({
        args: ['serve', image, '--socket-path=/nowhere/unused.sock'],
        inheritedFds: [listening],
        through: activated(1, 'disk'),
      });
    // Connected before anybody serves: that is what starts a service.
    const early = frontEnd(socket);
    const vloop = await start();
    const client = await early;
    await writeAndRead(client, 0, 4);
    const environment = readFileSync(`/proc/${vloop.pid}/environ`, 'latin1');
    expect(environment).toContain('LISTEN_FDS=1');
    await vloop.upgrade();
    // It was for the first process alone.
    expect(readFileSync(`/proc/${vloop.pid}/environ`, 'latin1')).not.toContain('LISTEN_');
    await writeAndRead(client, 8, 5);
    await client.close();
    vloop.signal('SIGTERM');
    await vloop.logged('summary');
    expect(existsSync(socket)).toBe(true);
    await start();
    await writeAndRead(await frontEnd(socket), 16, 6);
  });

  test('another number of sockets than disks is refused', async () => {
    const { image, socket } = scratch();
    const listening = listenAt(socket);
    closers.push(() => closeSync(listening));
    const vloop = new VloopProcess({
      args: ['serve', image],
      inheritedFds: [listening, listening],
      through: activated(2),
    });
    expect((await vloop.end(null)).status).toBe(1);
    expect(vloop.stderr).toContain(
      'LISTEN_FDS=2: expected a socket for each disk, and 1 are served',
    );
  });

  test('a descriptor that is no socket is refused', async () => {
    const { image } = scratch();
    const vloop = new VloopProcess({ args: ['serve', image], through: activated(1) });
    expect((await vloop.end(null)).status).toBe(1);
    expect(vloop.stderr).toMatch(/--fd=3: expected a listening or connected unix socket/);
  });
});

const ANALYZE_LIMIT_MS = 30_000;
const analyze = (...args: string[]) =>
  spawnSync('systemd-analyze', args, { encoding: 'utf8', timeout: ANALYZE_LIMIT_MS });
const noAnalyze = analyze('--version').status === 0 ? null : 'no systemd-analyze on this machine';
if (noAnalyze !== null) process.stderr.write(`skipped: units: ${noAnalyze}\n`);

describe.skipIf(noAnalyze !== null)('the units', () => {
  const units = join(import.meta.dirname, '../../src/systemd');

  const files = ['vloop@.service', 'vloop@.socket', 'vloop-daemon.service'];

  test.each(files)('%s is one that systemd understands', (unit) => {
    const { status, stderr } = analyze('verify', '--man=no', join(units, unit));
    expect(stderr.split('\n').filter((line) => line.includes('vloop'))).toEqual([]);
    expect(status).toBe(0);
  });

  const services = files.filter((file) => file.endsWith('.service'));

  test.each(services)('%s is exposed little, by systemd’s own measure', (unit) => {
    // Of 10; the same file without its hardening is at 9.
    const args = ['security', '--offline=yes', '--threshold=25', '--no-pager'];
    const { status, stdout } = analyze(...args, join(units, unit));
    expect(stdout).toContain('Overall exposure level');
    expect(status).toBe(0);
  });
});
