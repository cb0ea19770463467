/**
 * http of a real vloop: the same methods over the WebSocket as over the unix socket, while a front-end works; a
 * client that floods costs the front-end nothing; a taken port is refused; the page outlives a live upgrade.
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { pageAddress } from '../support/page-view.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually, within } from '../support/waiting.ts';

const TIMEOUT_MS = 30_000;
const BLOCK = 4096;
let disk: ServedDisk | null = null;
const sockets: WebSocket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await disk?.close();
  disk = null;
});

interface Link {
  readonly host: string;
  readonly token: string;
}

async function serve(http = '127.0.0.1:0'): Promise<{ served: ServedDisk; link: Link }> {
  const served = new ServedDisk();
  disk = served;
  await served.startVloop([`--http=${http}`]);
  const { host, hash } = new URL(await pageAddress(() => served.vloop.stdout));
  return { served, link: { host, token: hash.slice('#token='.length) } };
}

async function connect({ host, token }: Link): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${host}/ws`, ['vloop.json-rpc', `vloop.token.${token}`]);
  sockets.push(socket);
  const opened = new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  await within('WebSocket', TIMEOUT_MS, opened);
  return socket;
}

let nextId = 0;

async function call(socket: WebSocket, method: string, params: object = {}): Promise<unknown> {
  const id = ++nextId;
  const answer = new Promise<unknown>((resolve, reject) => {
    const take = (bytes: Buffer) => {
      const message = JSON.parse(bytes.toString());
      if (message.id !== id) return;
      socket.off('message', take);
      if (message.error === undefined) resolve(message.result);
      else reject(new Error(message.error.message));
    };
    socket.on('message', take);
  });
  socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
  return await within(`answer to ${method}`, TIMEOUT_MS, answer);
}

test('the methods of the unix socket, and events, while a front-end works', async () => {
  const { served, link } = await serve();
  const socket = await connect(link);
  expect(await call(socket, 'get_version')).toMatchObject({
    pid: served.vloop.pid,
    http: `http://${link.host}/`,
  });
  const events: string[] = [];
  socket.on('message', (bytes: Buffer) => events.push(JSON.parse(bytes.toString()).method));
  await call(socket, 'subscribe');
  const queue = (await served.connect()).queues[0]!;
  await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
  await eventually('event', TIMEOUT_MS, () => events.includes('disk_connected') || undefined);
  const [status] = (await call(socket, 'disk_list')) as Array<{ name: string }>;
  expect(status).toMatchObject({ name: 'disk.img', connected: true, size: 16 * 2 ** 20 });
  await call(socket, 'disk_quiesce', { disk: 'disk.img' });
  await expect(call(socket, 'disk_resume', { disk: 'other' })).rejects.toThrow('no such disk');
  await expect(call(socket, 'disk_resume', {})).rejects.toThrow('disk');
  await expect(call(socket, 'disk_attach_all')).rejects.toThrow('unknown');
  await call(socket, 'disk_resume', { disk: 'disk.img' });
  await queue.mustRun(blk.write(0, noise(BLOCK, 2)));
  expect(served.vloop.stderr).not.toContain(link.token);
});

test('a journal, which keeps what is printed, is not given the token', async () => {
  const served = new ServedDisk();
  disk = served;
  // What systemd says of a standard output that is the journal's.
  const journal = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1) exec "$0" "$@"';
  await served.startVloop(['--http=127.0.0.1:0'], { through: ['sh', '-c', journal] });
  const line = await eventually(
    'line of the page',
    TIMEOUT_MS,
    () => /^page .*$/m.exec(served.vloop.stdout)?.[0],
  );
  expect(line).toMatch(
    /^page {4}http:\/\/127\.0\.0\.1:\d+\/ \(its token is in http\.token of the run directory\)$/,
  );
});

test('a client that floods is cut off, and a front-end notices nothing', async () => {
  const { served, link } = await serve();
  const queue = (await served.connect()).queues[0]!;
  const flooding = await connect(link);
  flooding.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    flooding.once('close', () => resolve());
  });
  const request = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'disk_list', params: {} });
  for (let i = 0; i < 20_000; i++) flooding.send(request);
  for (let i = 0; i < 64; i++) await queue.mustRun(blk.write(i * 8, noise(BLOCK, i)));
  await within('end of the connection', TIMEOUT_MS, closed);
  for (let i = 0; i < 64; i++) {
    expect(Buffer.compare(await queue.mustRun(blk.read(i * 8, BLOCK)), noise(BLOCK, i))).toBe(0);
  }
  expect(await call(await connect(link), 'get_version')).toMatchObject({ pid: served.vloop.pid });
});

test('a port that somebody has is refused, and nothing is left of the start', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const other = new ServedDisk();
  disk = other;
  const conventions = [`--blk-file=${other.image}`, `--socket-path=${other.socket}`];
  const said = await VloopProcess.run([...conventions, `--http=127.0.0.1:${port}`]);
  taken.close();
  expect(said.status).toBe(1);
  expect(said.stderr).toContain(`vloop: --http=127.0.0.1:${port}: no page there (EADDRINUSE)`);
  // The file is not locked any more, and the socket is free.
  await other.startVloop();
});

test('the page is the next process’s after a live upgrade: same port, same token', async () => {
  const { served, link } = await serve();
  const queue = (await served.connect()).queues[0]!;
  const socket = await connect(link);
  const { pid } = served.vloop;
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  await served.vloop.upgrade();
  await within('end of the old connection', TIMEOUT_MS, gone);
  await served.vloop.logged('the page is served', 2);
  const version = (await call(await connect(link), 'get_version')) as { pid: number };
  expect(version.pid).toBe(served.vloop.pid);
  expect(version.pid).not.toBe(pid);
  await queue.mustRun(blk.write(0, noise(BLOCK, 3)));
});
