/**
 * A front-end that dies at any message of a real conversation: after n messages, in the midst of the next
 * one's header, in the midst of its payload, for every n, with requests in flight where there are any.
 * Each time the next front-end starts clean, and fds and mappings of vloop are back where they were.
 */
import { closeSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { vhostUserHeader } from '../../protocol/vhost-user-payloads.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { connectTo } from '../../src/sys/unix-socket.ts';
import { socketPair } from '../support/channel-end.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { eventually } from '../support/waiting.ts';

const PAGE = 4096;
const AWAY = 0x10_0000_0000;
const QUEUES = 2;
const SETTLED_MS = 200;
const HEADER_BYTES = vhostUserHeader.sizeBytes;

let disk: ServedDisk;
/** The channel for back-end messages: all front-ends hand on the same end. */
let channel: readonly [number, number];

beforeEach(() => {
  channel = socketPair();
});

afterEach(async () => {
  for (const fd of channel) closeSync(fd);
  await disk.close();
});

/** Where in its last message a front-end dies. */
type Cut = 'after the message' | 'in the header' | 'in the payload';

class Died extends Error {}

/** A client that closes its socket while it sends message number `lastMessage`. */
class MortalClient extends VhostUserClient {
  sent = 0;
  readonly #lastMessage: number;
  readonly #cut: Cut;

  constructor(fd: number, lastMessage: number, cut: Cut) {
    super(fd);
    this.#lastMessage = lastMessage;
    this.#cut = cut;
  }

  override sendBytes(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (++this.sent < this.#lastMessage) {
      super.sendBytes(bytes, fds);
      return;
    }
    const cuts = {
      'after the message': bytes.length,
      'in the header': 5,
      'in the payload': Math.min(bytes.length, HEADER_BYTES + 3),
    };
    super.sendBytes(bytes.subarray(0, cuts[this.#cut]), fds);
    throw new Died();
  }
}

/** What QEMU says from its start to the unplugging of the disk, and some that it says seldom. */
async function converse(frontEnd: MockFrontEnd): Promise<void> {
  const { client, queues, shared } = frontEnd;
  await frontEnd.realize();
  client.send('SET_BACKEND_REQ_FD', undefined, { fds: [channel[1]] });
  await frontEnd.startQueues();
  await frontEnd.setWriteback(0);
  const load = () => {
    for (const queue of queues) {
      for (let i = 0; i < 8; i++) queue.offer(blk.write(i * 8, noise(PAGE, i)));
      for (let i = 0; i < 8; i++) queue.offer(blk.read(1024 + i * 64, 8 * PAGE));
      queue.kick();
    }
  };
  load();
  await frontEnd.removeRegion(shared.regions[1]!);
  load();
  await frontEnd.addRegion(shared.regions[1]!);
  await frontEnd.enable(0, false);
  await frontEnd.enable(0, true);
  for (const queue of queues) await queue.drained();
  await frontEnd.stopQueues();
  await frontEnd.startQueues();
  load();
  client.send('RESET_OWNER');
  for (const { index } of queues) await frontEnd.enable(index, true);
  for (const queue of queues) await queue.drained();
  load();
  await frontEnd.stopQueues();
}

/** One front-end's life; how many messages it sent. */
async function live(lastMessage: number, cut: Cut): Promise<number> {
  const fd = connectTo(disk.socket);
  if (fd < 0) throw new Error(`connect: ${fd}`);
  const client = new MortalClient(fd, lastMessage, cut);
  const frontEnd = new MockFrontEnd(client, { queueCount: QUEUES, moreRegions: [[AWAY, PAGE]] });
  try {
    await converse(frontEnd);
  } catch (error) {
    if (!(error instanceof Died)) throw error;
  } finally {
    frontEnd.close();
  }
  return client.sent;
}

/** Waits until vloop has parted from so many front-ends: it is asked, because the log leaves out most of so many. */
async function disconnected(rpc: RpcClient, count: number): Promise<void> {
  await eventually(`end of session ${count}`, 15_000, async () => {
    const { connections, connected } = await rpc.call('disk_get_status', { disk: 'd' });
    return (connections === count && !connected) || undefined;
  });
}

/** The start's own files (compiled code) are closed a moment after vloop serves. */
async function settledFds(): Promise<number> {
  let [last, since] = [-1, 0];
  return await eventually('number of fds that stays the same', 5000, () => {
    const fds = disk.vloop.openFds();
    if (fds !== last) since = performance.now();
    last = fds;
    return performance.now() - since > SETTLED_MS ? fds : undefined;
  });
}

test('bug class 13: dies at every message of a conversation, and nothing is left', async () => {
  disk = new ServedDisk();
  const control = `${disk.directory}/ctl`;
  await disk.startVloop(['--workers=2', '--num-queues=2', '--name=d', `--control=${control}`]);
  const rpc = disk.own(await RpcClient.connect(control));
  const { vloop } = disk;
  // Whole conversations first: they open what stays open, and say how many messages there are.
  const messages = await live(Number.POSITIVE_INFINITY, 'after the message');
  expect(messages).toBeGreaterThan(50);
  await live(messages, 'after the message');
  await disconnected(rpc, 2);
  const fds = await settledFds();
  const polls = await eventually('list of polls', 5000, () => vloop.kernelPolls() ?? undefined);
  expect(vloop.guestMappings()).toBe(0);

  let lives = 2;
  for (const cut of ['after the message', 'in the header', 'in the payload'] as const) {
    for (let last = 1; last <= messages; last++) {
      const what = `died ${cut} of message ${last}`;
      expect(await live(last, cut), what).toBe(last);
      await disconnected(rpc, ++lives);
      expect(vloop.openFds(), what).toBe(fds);
      expect(vloop.guestMappings(), what).toBe(0);
    }
  }
  await eventually(
    () => `${polls} polls in the kernel, as before; there are ${vloop.kernelPolls()}`,
    5000,
    () => vloop.kernelPolls() === polls || undefined,
  );
  expect(vloop.lines.filter(({ level }) => level > 30)).toEqual([]);
  const { queue } = await disk.connect();
  const data = noise(PAGE, 99);
  await queue.mustRun(blk.write(0, data));
  expect(Buffer.compare(await queue.mustRun(blk.read(0, PAGE)), data)).toBe(0);
  expect(await disk.stopVloop()).toMatchObject({ status: 0 });
});
