/**
 * A front-end that misbehaves on the channel for back-end messages: wrong replies, floods, strange fds,
 * one that hangs up. The channel is closed with a line; the session, and every fd, are as they were.
 */
import { closeSync, openSync, truncateSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEventfd } from '../../src/sys/eventfd.ts';
import { listenAt } from '../../src/sys/unix-socket.ts';
import { ChannelEnd, socketPair } from '../support/channel-end.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { encodeMessage, u64Payload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
const CLOSED = 'no reply to a back-end message: the channel is closed';
let disk: ServedDisk;
let frontEnd: MockFrontEnd;
let sizeBytes: number;

beforeEach(async () => {
  sizeBytes = MIB;
  disk = await ServedDisk.serve({ sizeBytes });
  frontEnd = await disk.connect();
});

afterEach(async () => {
  await disk.close();
});

async function resize(): Promise<void> {
  sizeBytes += MIB;
  truncateSync(disk.image, sizeBytes);
  process.kill(disk.vloop.pid, 'SIGHUP');
  await disk.vloop.logged('the disk has a new size', sizeBytes / MIB - 1);
}

async function give(): Promise<ChannelEnd> {
  return disk.own(await ChannelEnd.give(frontEnd.client));
}

/** The session goes on, and vloop has as many fds as before. */
async function isWell(fds: number): Promise<void> {
  await frontEnd.queue.mustRun(blk.read(0, 512));
  await eventually(
    () => `${fds} fds, as before; there are ${disk.vloop.openFds()}`,
    5000,
    () => disk.vloop.openFds() === fds || undefined,
  );
}

describe('an fd that is no channel is refused and closed', () => {
  test.each<[string, () => number]>([
    ['an eventfd', () => createEventfd()],
    ['a file', () => openSync(disk.image, 'r')],
    ['a socket that listens', () => listenAt(`${disk.socket}-2`)],
  ])('%s', async (_, open) => {
    const fds = disk.vloop.openFds();
    const fd = open();
    const { client } = frontEnd;
    expect(await client.acked('SET_BACKEND_REQ_FD', undefined, { fds: [fd] })).toBe(1n);
    closeSync(fd);
    const [line] = await disk.vloop.logged('front-end message refused');
    expect(line?.['error']).toContain('not a connected unix socket');
    await isWell(fds);
  });
});

describe('a wrong reply closes the channel and nothing else', () => {
  test.each<[string, Uint8Array]>([
    ['nobody asked for it', encodeMessage({ request: 2, flags: 5 }, u64Payload(0))],
    ['noise', new Uint8Array(4096).fill(0xa5)],
    ['a size of 4 GiB', encodeMessage({ request: 2, flags: 5, size: 0xffff_ffff }, u64Payload(0))],
  ])('%s', async (_, bytes) => {
    const fds = disk.vloop.openFds();
    const channel = await give();
    channel.sendBytes(bytes);
    await disk.vloop.logged(CLOSED);
    await isWell(fds);
    await resize();
    await isWell(fds);
  });

  test('a reply to another message than the one that was sent', async () => {
    const fds = disk.vloop.openFds();
    const channel = await give();
    await resize();
    const message = await channel.next();
    channel.answer({ ...message, request: 1 });
    await disk.vloop.logged(CLOSED);
    await channel.closedByPeer();
    await isWell(fds);
  });
});

test('fds that come with a reply are closed', async () => {
  const channel = await give();
  const fds = disk.vloop.openFds();
  await resize();
  const { request } = await channel.next();
  const stray = createEventfd();
  channel.sendBytes(encodeMessage({ request, flags: 5 }, u64Payload(0)), [stray, stray, stray]);
  closeSync(stray);
  await disk.vloop.logged('has been told');
  await isWell(fds);
});

test('a front-end that hangs up its channel keeps its disk', async () => {
  const fds = disk.vloop.openFds();
  const channel = await give();
  await resize();
  channel.close();
  await disk.vloop.logged('has closed its channel');
  await resize();
  await disk.vloop.logged('has not taken the news', 2);
  await isWell(fds);
});

test('a channel given 200 times over is one channel', async () => {
  const fds = disk.vloop.openFds();
  for (let i = 0; i < 200; i++) (await ChannelEnd.give(frontEnd.client)).close();
  const channel = await give();
  await isWell(fds + 1);
  await resize();
  channel.answer(await channel.next());
  await disk.vloop.logged('has been told');
});

test('both ends of one pair do no harm', async () => {
  const fds = disk.vloop.openFds();
  const [a, b] = socketPair();
  const { client } = frontEnd;
  for (const fd of [a, b]) {
    expect(await client.acked('SET_BACKEND_REQ_FD', undefined, { fds: [fd] })).toBe(0n);
  }
  closeSync(a);
  closeSync(b);
  // Its other end has gone with the rest.
  await disk.vloop.logged('has closed its channel');
  await resize();
  await isWell(fds);
});
