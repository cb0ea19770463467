/**
 * --trace-messages: what a front-end said stands in a file for its owner only, one line a message, with
 * the answer and the time; runs append; a file that takes nothing costs lines and never a session.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { vringStatePayload } from '../support/vhost-user-messages.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

let folder: string;
let trace: string;
const disks: ServedDisk[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vloop-trace-'));
  trace = join(folder, 'trace');
});

afterEach(async () => {
  for (const disk of disks.splice(0)) await disk.close();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(file: string): Promise<ServedDisk> {
  const disk = await ServedDisk.serve({ args: [`--trace-messages=${file}`] });
  disks.push(disk);
  return disk;
}

const LINE = /^\d{4}-\d\d-\d\dT[\d:.]+Z (?<pid>\d+) (?<disk>\S+) #(?<connection>\d+) (?<text>.*)$/;

/** The parsed lines, when the last has come. */
async function lines(last: string): Promise<Array<Record<string, string>>> {
  const text = await eventually(`"${last}" in the trace`, 5000, () => {
    const now = readFileSync(trace, 'utf8');
    return now.includes(last) ? now : undefined;
  });
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => LINE.exec(line)?.groups ?? { text: `no line of a trace: ${line}` });
}

test('each message is a line with its answer and its time, and guest data is in none', async () => {
  const disk = await serve(trace);
  const frontEnd = await disk.connect();
  const queue = frontEnd.queues[0]!;
  await queue.mustRun(blk.write(0, Uint8Array.from(Buffer.from('guest-secret'.repeat(128)))));
  await frontEnd.client.request('GET_VRING_BASE', vringStatePayload(0, 0));
  frontEnd.close();
  const all = await lines('front-end gone');
  const texts = all.map(({ text }) => text!);
  for (const { pid, disk: name, connection } of all) {
    expect([pid, name, connection]).toEqual([String(disk.vloop.pid), disk.image, '1']);
  }
  expect(texts[0]).toBe('--- front-end connected ---');
  const messages = texts.filter((text) => !text.startsWith('---'));
  for (const text of messages) expect(text).toMatch(/^[A-Z_]+\(.*\).* = .+ <\d+\.\d{6}>$/);
  const found = (pattern: RegExp) =>
    expect(messages).toContainEqual(expect.stringMatching(pattern));
  found(/^GET_QUEUE_NUM\(\) = 64 </);
  found(/^SET_FEATURES\(value=0x[\da-f]+ \S*VIRTIO_F_VERSION_1\S*\) = - </);
  found(/^SET_VRING_KICK\(value=0\), 1 fd = - </);
  found(/^GET_VRING_BASE\(index=0, num=0\) = \{index=0, num=1\} </);
  expect(readFileSync(trace, 'latin1')).not.toContain('guest-secret');
});

test('the file is its owner’s only, and further runs and front-ends append', async () => {
  const first = await serve(trace);
  (await first.connect()).close();
  await lines('front-end gone');
  expect(statSync(trace).mode & 0o777).toBe(0o600);
  await first.stopVloop();
  const before = readFileSync(trace, 'utf8');
  const second = await serve(trace);
  (await second.connect()).close();
  (await second.connect()).close();
  await eventually('end of the third front-end', 5000, () =>
    readFileSync(trace, 'utf8').split('front-end gone').length === 4 ? true : undefined,
  );
  expect(readFileSync(trace, 'utf8').startsWith(before)).toBe(true);
  const connections = (await lines('front-end gone')).map(({ connection }) => connection);
  expect(new Set(connections)).toEqual(new Set(['1', '2']));
});

test('a message that ends the session is in it, and why', async () => {
  const disk = await serve(trace);
  const frontEnd = await disk.connectSilently();
  frontEnd.client.send('SET_VRING_NUM', vringStatePayload(900, 128));
  await frontEnd.client.disconnected();
  const texts = (await lines('disconnected')).map(({ text }) => text);
  expect(texts[1]).toMatch(/^SET_VRING_NUM\(index=900, num=128\) = - </);
  expect(texts[2]).toMatch(/^--- front-end disconnected: VHOST_USER_SET_VRING_NUM: index=900/);
});

test('a full disk costs lines, one warning, and no session', async () => {
  const disk = await serve('/dev/full');
  const frontEnd = await disk.connect();
  const data = noise(4096, 1);
  await frontEnd.queues[0]!.mustRun(blk.write(8, data));
  expect(await frontEnd.queues[0]!.mustRun(blk.read(8, 4096))).toEqual(new Uint8Array(data));
  expect(disk.vloop.log('lines of the message trace are lost')).toMatchObject([
    { error: 'ENOSPC' },
  ]);
});

test('a file that cannot be opened is refused in a line', async () => {
  writeFileSync(join(folder, 'image'), new Uint8Array(4096));
  const { status, stderr } = await VloopProcess.run([
    `--blk-file=${join(folder, 'image')}`,
    `--socket-path=${join(folder, 's')}`,
    `--trace-messages=${join(folder, 'no', 'trace')}`,
  ]);
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^vloop: --trace-messages=\S+: cannot open it for appending \(ENOENT\)\n$/,
  );
});
