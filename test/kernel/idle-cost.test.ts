/**
 * What a disk costs that has nothing to do: next to no CPU with a front-end that is connected and idle,
 * whatever the engine and however busy it was before; and when the front-end has gone, no fd and no
 * thread more than before it came.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { cpuMs, threadCount } from '../support/process-cost.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VhostUserClient } from '../support/vhost-user-client.ts';
import { vringFdPayload } from '../support/vhost-user-messages.ts';
import { eventually } from '../support/waiting.ts';

const QUEUES = 4;
const DISK_BYTES = 4 * 2 ** 20;
const IDLE_SHARE = 0.005;
const WINDOW_MS = 2000;
/** Something else (a garbage collection, say) may fall into one window; a worker that spins is in all. */
const WINDOWS_MAX = 5;

const ENGINES: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['io_uring, polling as it pays', ['--direct-io=on', '--poll-us=auto']],
  ['io_uring, plain calls', ['--direct-io=off', '--io-path=calls']],
  ['io_uring, polling 1000 µs', ['--direct-io=on', '--poll-us=1000']],
  ['native', ['--direct-io=on', '--aio=native']],
  ['native, polling 1000 µs', ['--direct-io=on', '--aio=native', '--poll-us=1000']],
  ['threads', ['--direct-io=off', '--aio=threads']],
  ['threads, polling 1000 µs', ['--direct-io=off', '--aio=threads', '--poll-us=1000']],
];

const disks: ServedDisk[] = [];

afterEach(async () => {
  await Promise.all(disks.splice(0).map((disk) => disk.close()));
});

async function serve(args: readonly string[]): Promise<ServedDisk> {
  const disk = new ServedDisk({ content: noise(DISK_BYTES, 3) });
  disks.push(disk);
  await disk.startVloop([...args, '--workers=2', `--num-queues=${QUEUES}`]);
  return disk;
}

/** A front-end, and some load by it. */
async function underLoad(disk: ServedDisk): Promise<{ close(): void }> {
  const frontEnd = await disk.connect({
    queueCount: QUEUES,
    queueSize: 256,
    placeCount: 1,
    moreRegions: [loadRegion(QUEUES)],
  });
  await new VerifiedLoad(frontEnd, disk.imageBytes()).run(60);
  return frontEnd;
}

/** The share of a core that a process takes: the smallest of some windows, or the first below a limit. */
async function idleShare(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let window = 0; window < WINDOWS_MAX && least >= IDLE_SHARE; window++) {
    const before = cpuMs(pid);
    const start = performance.now();
    await sleep(WINDOW_MS);
    least = Math.min(least, (cpuMs(pid) - before) / (performance.now() - start));
  }
  return least;
}

test('an idle disk with a front-end takes less than 0.5 % of a core, with every engine', async () => {
  const served = await Promise.all(ENGINES.map(([, args]) => serve(args)));
  for (const disk of served) await underLoad(disk);
  // All at once: they do nothing.
  const shares = await Promise.all(served.map(({ vloop }) => idleShare(vloop.pid)));
  const said = ENGINES.map(([name], i) => `${name}: ${(shares[i]! * 100).toFixed(2)} %`).join('; ');
  expect(Math.max(...shares), said).toBeLessThan(IDLE_SHARE);
});

test('rings that cannot be served take no CPU: disabled with requests in it, broken', async () => {
  const disk = await serve(['--direct-io=on']);
  const frontEnd = await disk.connect({ queueCount: 2 });
  const [disabled, broken] = frontEnd.queues;
  await frontEnd.enable(0, false);
  while (disabled!.hasRoom) disabled!.offer(blk.read(0, 4096));
  disabled!.ring.publish();
  disabled!.kickAnyway();
  broken!.driver.rawAvailIdx(1000);
  broken!.kickAnyway();
  await disk.vloop.logged('the guest broke a vring');
  const share = await idleShare(disk.vloop.pid);
  expect(share, `${(share * 100).toFixed(2)} %`).toBeLessThan(IDLE_SHARE);
});

test('front-ends that wait for their turn take no CPU', async () => {
  const disk = await serve(['--direct-io=on']);
  await disk.connect();
  for (let i = 0; i < 2; i++)
    disk.own(await VhostUserClient.connect(disk.socket)).send('SET_OWNER');
  const share = await idleShare(disk.vloop.pid);
  expect(share, `${(share * 100).toFixed(2)} %`).toBeLessThan(IDLE_SHARE);
});

test('the negative control: a ring whose driver never kicks takes more', async () => {
  const disk = await serve(['--direct-io=on']);
  const frontEnd = await disk.connect();
  expect(await frontEnd.client.acked('SET_VRING_KICK', vringFdPayload(0, false))).toBe(0n);
  const before = cpuMs(disk.vloop.pid);
  const start = performance.now();
  await sleep(500);
  const share = (cpuMs(disk.vloop.pid) - before) / (performance.now() - start);
  expect(share, `${(share * 100).toFixed(2)} %`).toBeGreaterThan(2 * IDLE_SHARE);
});

describe('when front-ends have gone', () => {
  test.each(ENGINES)('%s: fds, threads and mappings are as before', async (_, args) => {
    const disk = await serve(args);
    const { vloop } = disk;
    const state = () => ({
      fds: vloop.openFds(),
      threads: threadCount(vloop.pid),
      mappings: vloop.guestMappings(),
    });
    // The first warms up what stays: threads and files that are opened once.
    (await underLoad(disk)).close();
    await vloop.logged('front-end disconnected');
    const before = state();
    expect(before.mappings).toBe(0);
    for (let round = 2; round <= 4; round++) {
      (await underLoad(disk)).close();
      await vloop.logged('front-end disconnected', round);
    }
    const what = () => `return to ${JSON.stringify(before)}, it is ${JSON.stringify(state())}`;
    const asBefore = () => JSON.stringify(state()) === JSON.stringify(before) || undefined;
    await eventually(what, 5000, asBefore);
  });
});
