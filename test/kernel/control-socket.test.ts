/**
 * The control socket of a real vloop: who finds it, what it answers, and what a client that misbehaves costs.
 */
import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

let disk: ServedDisk;
let path: string;

beforeEach(async () => {
  disk = new ServedDisk();
  path = `${disk.directory}/ctl`;
  await disk.startVloop([`--control=${path}`, '--name=first']);
});

afterEach(async () => {
  await disk.close();
});

async function client(): Promise<RpcClient> {
  const made = await RpcClient.connect(path);
  return disk.own(made);
}

async function raw(): Promise<Socket> {
  const socket = connect(path);
  // A server that cuts it off may do so while it writes.
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  return disk.own(Object.assign(socket, { close: () => socket.destroy() }));
}

test('says what the disk is, before, with and after a front-end', async () => {
  const rpc = await client();
  const before = await rpc.call('disk_get_status', { disk: 'first' });
  expect(before).toMatchObject({
    name: 'first',
    state: 'bound',
    connected: false,
    back_file: disk.image,
    socket: disk.socket,
    pid: disk.vloop.pid,
    size: 16 * 2 ** 20,
    in_flight: 0,
    features: [],
  });
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  const during = await rpc.call('disk_get_status', { disk: disk.socket });
  expect(during).toMatchObject({ connected: true, connections: 1 });
  expect(during.features).toContain('VIRTIO_F_VERSION_1');
  frontEnd.close();
  await disk.vloop.logged('front-end disconnected');
  const after = await rpc.call('disk_get_status', { disk: disk.image });
  expect(after).toMatchObject({ connected: false, connections: 1, features: [] });
});

test.each<[string, string, object, RegExp]>([
  ['a method that is none', 'disk_frobnicate', {}, /method disk_frobnicate: unknown/],
  ['a disk that is none', 'disk_get_status', { disk: 'x' }, /disk=x: no such disk here; .*first/],
  ['a wrong type', 'disk_get_status', { disk: 7 }, /params\.disk=7: it must be string/],
  ['an unknown key', 'disk_get_status', { disk: 'first', a: 1 }, /params: unknown key "a"/],
])('%s is refused in words', async (_, method, params, words) => {
  await expect((await client()).callAny(method, params)).rejects.toThrow(words);
});

test('is nobody else’s: the socket and its directory', async () => {
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const own = await VloopProcess.serving({
    args: ['serve', '--memory=1M', `--socket-path=${disk.directory}/m`],
  });
  try {
    const made = `${process.env['VLOOP_RUN_DIR']}/${own.pid}.ctl`;
    expect(statSync(made).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(made)).mode & 0o777).toBe(0o700);
    await own.end();
    expect(() => statSync(made)).toThrow(/ENOENT/);
  } finally {
    await own.kill();
  }
});

test('a hundred clients are answered, and leave nothing', async () => {
  await (await client()).call('get_version', {});
  const before = disk.vloop.openFds();
  const clients = await Promise.all(Array.from({ length: 100 }, () => RpcClient.connect(path)));
  const answers = await Promise.all(clients.map((rpc) => rpc.call('disk_list', {})));
  for (const answer of answers) expect(answer.map(({ name }) => name)).toEqual(['first']);
  for (const rpc of clients) rpc.close();
  await eventually(
    () => `${before} open descriptors, there are ${disk.vloop.openFds()}`,
    15_000,
    () => (disk.vloop.openFds() === before ? true : undefined),
  );
});

test('a client that ends its side behind its last request is answered', async () => {
  const socket = await raw();
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise((resolve) => socket.once('close', resolve));
  // The workers answer the second one: it takes longer than the end to be seen.
  const methods = ['disk_get_status', 'disk_why', 'disk_get_status'];
  const asked = methods.map((method, id) =>
    JSON.stringify({ jsonrpc: '2.0', id, method, params: { disk: 'first' } }),
  );
  socket.end(`${asked.join('\n')}\n`);
  await ended;
  const answers = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: number });
  expect(answers.map(({ id }) => id)).toEqual([0, 1, 2]);
});

test('who subscribes often is told once', async () => {
  const rpc = await client();
  const heard: string[] = [];
  rpc.onEvent = (name) => heard.push(name);
  await rpc.call('subscribe', { events: ['disk_connected'] });
  for (let i = 0; i < 3; i++) await rpc.call('subscribe', { events: ['disk_quiesced'] });
  (await disk.connect()).close();
  await disk.vloop.logged('front-end disconnected');
  await rpc.call('disk_quiesce', { disk: 'first' });
  await rpc.call('get_version', {});
  expect(heard).toEqual(['disk_connected', 'disk_quiesced']);
});

test('a line without an end is cut off; others are served on', async () => {
  const rpc = await client();
  const socket = await raw();
  const gone = new Promise((resolve) => socket.once('close', resolve));
  const block = 'x'.repeat(1 << 16);
  for (let i = 0; i < 32 && !socket.destroyed; i++) socket.write(block);
  await gone;
  expect(await rpc.call('get_version', {})).toMatchObject({ pid: disk.vloop.pid });
});

test('a client that never reads is cut off; others are served on', async () => {
  const rpc = await client();
  const socket = await raw();
  const gone = new Promise((resolve) => socket.once('close', resolve));
  const ask = `${JSON.stringify({ jsonrpc: '2.0', method: 'disk_list', id: 1, params: {} })}\n`;
  socket.pause();
  const many = ask.repeat(1000);
  const flood = () => {
    while (!socket.destroyed && socket.write(many));
  };
  socket.on('drain', () => setImmediate(flood));
  flood();
  const before = disk.vloop.openFds();
  // Who does not read does not see that it was cut off: the other side's descriptors tell.
  await eventually('end of the client that never reads', 30_000, async () => {
    await rpc.call('get_version', {});
    return socket.destroyed || disk.vloop.openFds() < before ? true : undefined;
  });
  socket.resume();
  await gone;
  expect(await rpc.call('get_version', {})).toMatchObject({ pid: disk.vloop.pid });
});

test('a live upgrade keeps the place where commands are taken', async () => {
  const frontEnd = await disk.connect();
  const old = disk.vloop.pid;
  await disk.vloop.upgrade();
  const rpc = await eventually('the new process at the control socket', 15_000, async () => {
    return await RpcClient.connect(path).catch(() => undefined);
  });
  disk.own(rpc);
  const status = await rpc.call('disk_get_status', { disk: 'first' });
  expect(status.pid).not.toBe(old);
  expect(status.connected).toBe(true);
  await frontEnd.queue.mustRun(blk.read(0, 512));
});

test('a place that cannot be had is told before anything is served', async () => {
  const { status, stderr } = await VloopProcess.run([
    `--blk-file=${disk.image}`,
    `--socket-path=${disk.directory}/t`,
    `--control=${path}`,
  ]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/ctl: in use by another process|is locked|in use/);
});
