/**
 * Device state over real pipes, against the whole daemon: the cache mode moves from one vloop to another,
 * and a pipe that is cut, never ends, never empties or is none costs the transfer and nothing else.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { createEventfd } from '../../src/sys/eventfd.ts';
import { STATE_TRANSFER_MS } from '../../src/vhost-user/connection-state.ts';
import { encodeDeviceState } from '../../src/vhost-user/device-state.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { openPipe, readAll } from '../support/pipe.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { replyU64, transferPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const [SAVE, LOAD] = [0, 1];
const DONE = 0n;
const FAILED = 1n;
const BEGUN = 0x100n;
let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

/** A front-end whose rings have run and are stopped. */
async function stopped(): Promise<MockFrontEnd> {
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  await frontEnd.stopQueues();
  return frontEnd;
}

async function begin(frontEnd: MockFrontEnd, direction: number, fd: number): Promise<bigint> {
  const payload = transferPayload(direction);
  return replyU64(await frontEnd.client.request('SET_DEVICE_STATE_FD', payload, { fds: [fd] }));
}

async function check(frontEnd: MockFrontEnd): Promise<bigint> {
  return replyU64(await frontEnd.client.request('CHECK_DEVICE_STATE'));
}

/** Serves on, and holds no fd of the transfer. */
async function goesOn(frontEnd: MockFrontEnd, fds: number): Promise<void> {
  await eventually('end of the fds', 2000, () => disk.vloop.openFds() === fds || undefined);
  await frontEnd.startQueues();
  await frontEnd.queue.mustRun(blk.read(0, 512));
}

test('the cache mode that a guest has chosen moves with it', async () => {
  disk = await ServedDisk.serve();
  const source = await disk.connect();
  await source.setWriteback(0);
  await source.stopQueues();
  const out = openPipe();
  expect(await begin(source, SAVE, out.writeFd)).toBe(BEGUN);
  closeSync(out.writeFd);
  const state = await readAll(out.readFd);
  closeSync(out.readFd);
  expect(await check(source)).toBe(DONE);
  source.close();

  const target = await disk.connectSilently();
  await target.realize();
  const writeback = async () => (await target.config())[virtioBlkConfig.at.wce];
  expect(await writeback()).toBe(1);
  const into = openPipe();
  expect(await begin(target, LOAD, into.readFd)).toBe(BEGUN);
  closeSync(into.readFd);
  writeSync(into.writeFd, state);
  closeSync(into.writeFd);
  expect(await check(target)).toBe(DONE);
  expect(await writeback()).toBe(0);
  await target.startQueues();
  await target.queue.mustRun(blk.write(0, new Uint8Array(4096)));
  expect(await writeback()).toBe(0);
});

test.each([
  ['cut short', encodeDeviceState({ writeback: false }).subarray(0, 9), /ends after 9 bytes/],
  ['empty', new Uint8Array(0), /ends after 0 bytes/],
  ['too long', new Uint8Array(5000), /more than 4096 bytes/],
])('a stream that is %s is refused with a line', async (_, bytes, line) => {
  disk = await ServedDisk.serve();
  const frontEnd = await stopped();
  const fds = disk.vloop.openFds();
  const { readFd, writeFd } = openPipe();
  expect(await begin(frontEnd, LOAD, readFd)).toBe(BEGUN);
  closeSync(readFd);
  writeSync(writeFd, bytes);
  closeSync(writeFd);
  expect(await check(frontEnd)).toBe(FAILED);
  const [said] = await disk.vloop.logged('message refused');
  expect(said?.['error']).toMatch(line);
  await goesOn(frontEnd, fds);
});

test('a stream that never ends and a pipe that nobody reads end in time', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await stopped();
  const fds = disk.vloop.openFds();
  const endless = openPipe();
  const start = performance.now();
  expect(await begin(frontEnd, LOAD, endless.readFd)).toBe(BEGUN);
  expect(await check(frontEnd)).toBe(FAILED);
  expect(performance.now() - start).toBeLessThan(2 * STATE_TRANSFER_MS);
  const full = openPipe();
  expect(() => {
    for (;;) writeSync(full.writeFd, Buffer.alloc(65_536));
  }).toThrow('EAGAIN');
  expect(await begin(frontEnd, SAVE, full.writeFd)).toBe(BEGUN);
  expect(await check(frontEnd)).toBe(FAILED);
  for (const fd of [endless.readFd, endless.writeFd, full.readFd, full.writeFd]) closeSync(fd);
  await goesOn(frontEnd, fds);
});

test('a pipe whose reader has gone, and fds that are none', async () => {
  disk = await ServedDisk.serve();
  const frontEnd = await stopped();
  const fds = disk.vloop.openFds();
  const { readFd, writeFd } = openPipe();
  closeSync(readFd);
  expect(await begin(frontEnd, SAVE, writeFd)).toBe(BEGUN);
  closeSync(writeFd);
  expect(await check(frontEnd)).toBe(FAILED);
  for (const fd of [openSync('/dev/null', 'r+'), createEventfd(), openSync('/', 'r')]) {
    expect(await begin(frontEnd, LOAD, fd)).toBe(BEGUN);
    closeSync(fd);
    expect(await check(frontEnd)).toBe(FAILED);
  }
  await goesOn(frontEnd, fds);
});
