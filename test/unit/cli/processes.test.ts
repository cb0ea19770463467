/**
 * Finding disks in a run directory where not everybody answers: processes that hang, end, or speak something else
 * cost the others nothing.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type FoundDisk, pickDisk, withDisks } from '../../../src/cli/verbs/processes.ts';
import { RpcClient } from '../../../src/control/rpc-client.ts';
import type { DiskStatus } from '../../../src/control/schema/disk-status.ts';
import { closeFile } from '../../../src/sys/block-file.ts';
import { listenAt } from '../../../src/sys/unix-socket.ts';

/** As long as a machine that is busy with other things may keep this process waiting. */
const LIMIT_MS = 4000;

let directory: string;
let servers: Server[];
const sockets = new Set<Socket>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-found-'));
  servers = [];
  vi.stubEnv('VLOOP_RUN_DIR', directory);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A process at the socket `name`, and what it does when it is asked, or as soon as somebody comes. */
async function processAt(
  name: string,
  onAsked: (socket: Socket) => void,
  onClient: (socket: Socket) => void = () => {},
): Promise<void> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => onAsked(socket));
    onClient(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(join(directory, `${name}.ctl`), resolve);
  });
}

function answering(...names: string[]): (socket: Socket) => void {
  const result = names.map((name) => ({ name }));
  return (socket) => socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, result })}\n`);
}

function quietStderr(): string[] {
  const said: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0);
  return said;
}

const namesAndSilent = async (disks: readonly FoundDisk[], silent: number) => ({
  names: disks.map(({ status }) => status.name),
  silent,
});

test('who hangs or speaks something else is told and counted, who ends is not', async () => {
  const said = quietStderr();
  await processAt('1', answering('a', 'b'));
  await processAt('2', () => {});
  await processAt('3', (socket) => socket.write('220 hello\n'));
  await processAt('4', (socket) => socket.destroy());
  await processAt('5', answering('c'));
  expect(await withDisks(namesAndSilent, LIMIT_MS)).toEqual({ names: ['a', 'b', 'c'], silent: 2 });
  expect(said.sort()).toEqual([
    `vloop: ${directory}/3.ctl: whoever answers is no vloop: its disks are left out\n`,
    `vloop: disk_list: no answer from ${directory}/2.ctl in 4 s: its disks are left out\n`,
  ]);
});

test('a socket that nobody listens on is removed, another one stays', async () => {
  const said = quietStderr();
  closeFile(listenAt(join(directory, '7.ctl')));
  await processAt('8', answering('a'));
  expect(await withDisks(namesAndSilent, LIMIT_MS)).toEqual({ names: ['a'], silent: 0 });
  expect(said).toEqual([]);
  expect(existsSync(join(directory, '7.ctl'))).toBe(false);
  expect(existsSync(join(directory, '8.ctl'))).toBe(true);
});

test('whoever has ended is not asked, and does not keep anybody waiting', async () => {
  await processAt('1', answering('a'), (socket) => socket.end());
  const client = await RpcClient.connect(join(directory, '1.ctl'));
  await client.gone;
  await expect(client.callAny('disk_list', {})).rejects.toMatchObject({ code: 'ENODEV' });
});

/** Only what picking looks at. */
function found(name: string, backFile: string, socket: string): FoundDisk {
  const status = { name, back_file: backFile, socket, pid: 1 } as DiskStatus;
  return { status, client: null as never };
}

test('a word means a name before a path, and paths as they are seen from here', () => {
  const disks = [
    found('a', join(process.cwd(), 'b'), '/run/a.sock'),
    found('b', '/img/b', '/run/b.sock'),
    found('c', '/img/c', '/run/c.sock'),
    found('d', '/img/c', '/run/d.sock'),
  ];
  const picked = (word: string) => pickDisk(disks, word).status.name;
  expect(['b', './b', '/img/b', '/run/d.sock'].map(picked)).toEqual(['b', 'a', 'b', 'd']);
  expect(() => picked('/img/c')).toThrow(
    '/img/c: several disks are meant, at /run/c.sock, /run/d.sock',
  );
  expect(() => picked('e')).toThrow('e: no such disk; there are: a, b, c, d');
});
