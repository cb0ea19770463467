/**
 * A guest and a front-end that do their worst to the log, against the whole daemon: it stays short, everything is counted, the
 * disk beside it is heard as ever, the next front-end is served, and neither key nor guest data are to be found in it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP } from '../../protocol/virtio-blk.ts';
import { GUEST_LIMITS } from '../../src/log/guest-lines.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { secretBytes, tracesOf } from '../support/secret-traces.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { configPayload, encodeMessage } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const WAIT_MS = 30_000;
const TEST_LIMIT_MS = 300_000;
const BAD_REQUESTS = 10_000;
const BROKEN_RINGS = 600;
const REFUSED_MESSAGES = 2000;
const BAD_SESSIONS = 400;
const VISITS = 1000;
/** A message that no version of the protocol has. */
const UNKNOWN_MESSAGE = 9999;

const KEY = secretBytes(1, 64);
const DATA = secretBytes(2, 32);
const HEADER = secretBytes(3, 16);
const PAYLOAD = secretBytes(4, 32);
/** Data of a whole request. */
const BLOCK = Buffer.alloc(4096, DATA);

let directory: ServedDisk;
const socketOf = (name: string) => join(directory.directory, `${name}.sock`);

beforeEach(async () => {
  directory = new ServedDisk();
  const path = (name: string) => join(directory.directory, name);
  writeFileSync(path('key'), KEY);
  const disks = ['victim', 'other'].map((name) => {
    writeFileSync(path(name), Buffer.alloc(2 ** 20));
    return { blk_file: path(name), socket_path: socketOf(name) };
  });
  Object.assign(disks[0]!, { transfer: 'aes-xts-plain64', key_file: path('key') });
  writeFileSync(path('vloop.config.json'), JSON.stringify({ disks }));
  const config = `--config=${path('vloop.config.json')}`;
  await directory.startVloop([], { args: ['serve', config, '--log-level=debug'] });
});

afterEach(async () => {
  await directory.close();
});

async function connect(name: string): Promise<MockFrontEnd> {
  return directory.own(await MockFrontEnd.start(socketOf(name), { queueSize: 16, placeCount: 8 }));
}

/** Requests whose headers are nothing that a device knows, with a place for their status. */
async function badRequests(queue: MockQueue): Promise<void> {
  const view = new DataView(HEADER.buffer);
  const [type, sector] = [view.getUint32(0, true), view.getBigUint64(8, true)];
  for (const [text, status] of [
    [{ type, ioprio: view.getUint32(4, true), sector, dataOut: BLOCK }, VIRTIO_BLK_S_UNSUPP],
    [{ ...blk.write(0, BLOCK), sector }, VIRTIO_BLK_S_IOERR],
  ] as const) {
    expect((await queue.run(text)).status).toBe(status);
    for (let done = 0; done < BAD_REQUESTS / 2; ) {
      while (queue.hasRoom) queue.offer(text);
      queue.kick();
      done += (await queue.answers()).length;
    }
    await queue.drained();
  }
}

/** The ring breaks, and is set up again. */
async function breakRing(frontEnd: MockFrontEnd): Promise<void> {
  const { queue } = frontEnd;
  const { driver } = queue;
  const address = new DataView(DATA.buffer).getBigUint64(0, true);
  driver.rawTable(driver.place.desc, [{ address, lengthBytes: 16 }]);
  driver.rawAvailEntry(driver.availIdx % driver.size, 0);
  driver.rawAvailIdx(driver.availIdx + 1);
  queue.kickAnyway();
  await eventually(
    'signal of a broken ring',
    WAIT_MS,
    () => drainEventfd(queue.errFd) > 0 || undefined,
  );
  await frontEnd.stopQueue(0);
  frontEnd.setBase(0, driver.availIdx);
  await frontEnd.restart(0);
}

async function refusedMessages({ client }: MockFrontEnd): Promise<void> {
  for (let i = 0; i < REFUSED_MESSAGES / 2; i++) {
    expect(await client.acked(UNKNOWN_MESSAGE, PAYLOAD)).toBe(1n);
    expect(await client.acked('SET_CONFIG', configPayload(0, PAYLOAD))).toBe(1n);
  }
}

/** Sessions that end with their first message. */
async function badSessions(): Promise<void> {
  for (let i = 0; i < BAD_SESSIONS; i++) {
    const client = await VhostUserClient.connect(socketOf('victim'), WAIT_MS);
    client.sendBytes(encodeMessage({ request: 'SET_CONFIG', flags: 2 }, PAYLOAD));
    await client.disconnected(WAIT_MS);
    client.close();
  }
}

async function visits(): Promise<void> {
  for (let i = 0; i < VISITS; i++)
    (await VhostUserClient.connect(socketOf('victim'), WAIT_MS)).close();
}

/** Writes, reads back, and is what a guest ought to be. */
async function servesHonestly(name: string): Promise<void> {
  const frontEnd = await connect(name);
  await frontEnd.queue.mustRun(blk.write(8, BLOCK));
  expect(Buffer.compare(await frontEnd.queue.mustRun(blk.read(8, 4096)), BLOCK)).toBe(0);
  frontEnd.close();
}

/** Lines of one disk with this text, and how many of them were left out. */
function toldOf(name: string, text: string): { readonly said: number; readonly leftOut: number } {
  const lines = directory.vloop.lines.filter(({ disk }) => String(disk).endsWith(`/${name}`));
  const reports = lines.map(({ suppressed }) =>
    Object.entries((suppressed ?? {}) as Record<string, number>),
  );
  const counts = reports.flat().filter(([kind]) => kind.includes(text));
  return {
    said: lines.filter(({ msg }) => msg.includes(text)).length,
    leftOut: counts.reduce((sum, [, count]) => sum + count, 0),
  };
}

function allOf(name: string, text: string): number {
  const { said, leftOut } = toldOf(name, text);
  return said + leftOut;
}

test(
  'floods of every kind: a short log that counts all, and nothing secret in it',
  async () => {
    const startMs = performance.now();
    const hostile = await connect('victim');
    await hostile.queue.mustRun(blk.write(0, BLOCK));
    await badRequests(hostile.queue);
    for (let i = 0; i < BROKEN_RINGS; i++) await breakRing(hostile);
    await refusedMessages(hostile);
    hostile.close();
    await badSessions();
    await visits();

    // In the midst of it, the other disk has a guest that errs once.
    const beside = await connect('other');
    await breakRing(beside);
    beside.close();
    await servesHonestly('victim');
    await servesHonestly('other');
    expect(await directory.stopVloop()).toMatchObject({ status: 0 });

    const { vloop } = directory;
    const connections = 1 + BAD_SESSIONS + VISITS + 1;
    expect(allOf('victim', 'front-end connected')).toBe(connections);
    expect(allOf('victim', 'front-end disconnected')).toBe(connections + BAD_SESSIONS);
    expect(allOf('victim', 'it broke the protocol')).toBe(BAD_SESSIONS);
    expect(allOf('victim', 'the guest broke a vring')).toBe(BROKEN_RINGS);
    expect(allOf('victim', 'front-end message refused')).toBe(REFUSED_MESSAGES);
    expect(allOf('victim', 'vring started')).toBe(1 + BROKEN_RINGS + 1);
    expect(toldOf('other', '')).toMatchObject({ leftOut: 0 });
    expect(toldOf('other', 'the guest broke a vring')).toEqual({ said: 1, leftOut: 0 });
    const summary = vloop.log('summary').find(({ disk }) => String(disk).endsWith('/victim'));
    expect(summary).toMatchObject({
      guestViolations: BROKEN_RINGS,
      reads: 1,
      writes: 2,
    });
    const { errors, unsupported } = summary as unknown as Record<string, number>;
    expect(errors).toBeGreaterThanOrEqual(BAD_REQUESTS / 2);
    expect(unsupported).toBeGreaterThanOrEqual(BAD_REQUESTS / 2);

    // Six kinds came as floods: each says its burst, then one now and then, and so do the reports.
    const slowMachine = 7 * Math.ceil((performance.now() - startMs) / GUEST_LIMITS.refillMs);
    expect(vloop.lines.length).toBeLessThan(6 * GUEST_LIMITS.burst + slowMachine + 30);
    expect(vloop.stderr.length).toBeLessThan(400 * (6 * GUEST_LIMITS.burst + slowMachine + 30));
    // Every line is one of ours, and bytes that are no text would have become this.
    expect(vloop.stderr.trimEnd().split('\n')).toHaveLength(vloop.lines.length);
    expect(vloop.stderr).not.toContain('\ufffd');
    const said = vloop.stderr + vloop.stdout;
    for (const secret of [KEY, DATA, HEADER, PAYLOAD]) expect(tracesOf(secret, said)).toEqual([]);
  },
  TEST_LIMIT_MS,
);
