/**
 * Fds that a front-end should not have sent, against the whole daemon: every one of them is closed.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EFD_NONBLOCK } from '../../protocol/linux.ts';
import { createEventfd } from '../../src/sys/eventfd.ts';
import { socketPair } from '../support/channel-end.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { encodeMessage, u64Payload, vringFdPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const NACK = 1n;
let disk: ServedDisk;
let spare: number;

beforeEach(async () => {
  disk = await ServedDisk.serve({ args: ['--num-queues=4'] });
  spare = createEventfd();
});

afterEach(async () => {
  closeSync(spare);
  await disk.close();
});

/** The disk serves a well-behaved front-end. */
async function servesTheNext(): Promise<void> {
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, 512));
  frontEnd.close();
}

/** As many fds as a vloop has that nobody is connected to. */
async function idleFds(): Promise<number> {
  await servesTheNext();
  await disk.vloop.logged('front-end disconnected');
  return disk.vloop.openFds();
}

async function fdsAreBackAt(count: number): Promise<void> {
  await eventually(
    () => `return to ${count} fds, there are ${disk.vloop.openFds()}`,
    5000,
    () => disk.vloop.openFds() === count || undefined,
  );
}

describe('fds that nobody asked for', () => {
  test.each([1, 8, 9, 253])(
    'bug class 12: a message with %i fds that carries none ends the session and closes them',
    async (count) => {
      const baseline = await idleFds();
      const { client } = await disk.connectSilently();
      client.send('SET_OWNER', undefined, { fds: new Array<number>(count).fill(spare) });
      await client.disconnected();
      await fdsAreBackAt(baseline);
      await servesTheNext();
    },
  );

  test('fds in the middle of a message end the session and are closed', async () => {
    const baseline = await idleFds();
    const { client } = await disk.connectSilently();
    const bytes = encodeMessage({ request: 'SET_FEATURES' }, u64Payload(0));
    client.sendBytes(bytes.subarray(0, 12));
    client.sendBytes(bytes.subarray(12), [spare, spare]);
    await client.disconnected();
    await fdsAreBackAt(baseline);
  });

  test('fds of a message that never comes whole are closed with the connection', async () => {
    const baseline = await idleFds();
    const { client } = await disk.connectSilently();
    client.sendBytes(encodeMessage({ request: 'SET_VRING_CALL' }).subarray(0, 5), [spare, spare]);
    client.close();
    await fdsAreBackAt(baseline);
  });

  test('bug class 12: 10^4 messages with fds leave one fd of each kind', async () => {
    const frontEnd = await disk.connect();
    const { client } = frontEnd;
    const before = disk.vloop.openFds();
    const channel = socketPair();
    for (let i = 0; i < 3000; i++) {
      for (const name of ['SET_VRING_CALL', 'SET_VRING_ERR', 'SET_VRING_KICK'] as const) {
        const index = name === 'SET_VRING_KICK' ? 0 : i % 4;
        await client.sendPatiently(name, vringFdPayload(index, true), { fds: [spare] });
      }
      await client.sendPatiently('SET_BACKEND_REQ_FD', undefined, { fds: [channel[1]] });
    }
    await client.request('GET_FEATURES');
    // The other three rings have a call and an error eventfd now; the back-end channel is new.
    expect(disk.vloop.openFds()).toBe(before + 3 * 2 + 1);
    for (const fd of channel) closeSync(fd);
    await frontEnd.queue.drained();
  });

  test('repeated fd-less KICK, CALL and ERR drop the old fd and take none', async () => {
    const { client } = await disk.connect();
    const before = disk.vloop.openFds();
    for (const name of ['SET_VRING_CALL', 'SET_VRING_ERR', 'SET_VRING_KICK'] as const) {
      client.send(name, vringFdPayload(0, false));
    }
    await client.request('GET_FEATURES');
    expect(disk.vloop.openFds()).toBe(before - 3);
  });
});

describe('an fd that is no eventfd', () => {
  test.each(['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'] as const)(
    'is refused for %s and closed',
    async (name) => {
      const { client, queue } = await disk.connect();
      const before = disk.vloop.openFds();
      const fd = openSync('/dev/null', 'r+');
      expect(await client.acked(name, vringFdPayload(0, true), { fds: [fd] })).toBe(NACK);
      closeSync(fd);
      await queue.mustRun(blk.read(0, 512));
      expect(disk.vloop.openFds()).toBe(before);
    },
  );
});

describe.each([
  ['that blocks', 0],
  ['that does not block', EFD_NONBLOCK],
])('a call eventfd %s, its counter full', (_, flags) => {
  let full: number;

  beforeEach(() => {
    full = createEventfd(flags);
    // As far as an eventfd counts: the next write waits for a reader.
    const almost = Buffer.alloc(8);
    almost.writeBigUInt64LE(2n ** 64n - 2n);
    writeSync(full, almost);
  });

  afterEach(() => {
    closeSync(full);
  });

  test('of a running ring stops no worker', async () => {
    const { queue, client } = await disk.connect();
    client.send('SET_VRING_CALL', vringFdPayload(0, true), { fds: [full] });
    for (let i = 0; i < 10; i++) await queue.mustRun(blk.read(0, 512));
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  });

  test('of a stopped ring stops no session', async () => {
    const { client } = await disk.connect();
    client.send('SET_VRING_CALL', vringFdPayload(3, true), { fds: [full] });
    await client.request('GET_FEATURES');
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  });
});
