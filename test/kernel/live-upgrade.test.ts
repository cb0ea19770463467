/**
 * SIGUSR2: a process of the program as it is on disk takes disks and front-ends over while requests run.
 * The front-end keeps its one connection and gets right answers throughout, and the last process looks
 * like one that was just started.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd, MockFrontEndOptions } from '../support/mock-frontend.ts';
import { threadCount } from '../support/process-cost.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import type { LogLine } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const disks: ServedDisk[] = [];

afterEach(async () => {
  for (const disk of disks.splice(0)) await disk.close();
});

async function serve(...args: string[]): Promise<ServedDisk> {
  const disk = await ServedDisk.serve({ args });
  disks.push(disk);
  return disk;
}

/** What the descriptors of a process stand for, without numbers. */
function descriptors(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, '')];
      } catch {
        return [];
      }
    })
    .sort();
}

function loadOptions(options: MockFrontEndOptions): MockFrontEndOptions {
  const { queueCount = 1 } = options;
  return { ...options, moreRegions: [loadRegion(queueCount)] };
}

interface Upgraded {
  readonly disk: ServedDisk;
  readonly frontEnd: MockFrontEnd;
  readonly lines: readonly LogLine[];
  readonly load: VerifiedLoad;
}

/** Upgrades in a row under load on every queue, to the last answer. */
async function upgradesUnderLoad(
  count: number,
  options: MockFrontEndOptions,
  ...args: string[]
): Promise<Upgraded> {
  const disk = await serve(...args);
  const frontEnd = await disk.connect(loadOptions(options));
  const load = new VerifiedLoad(frontEnd, Uint8Array.from(disk.imageBytes()));
  const lines: LogLine[] = [];
  let done = false;
  const upgrades = (async () => {
    try {
      for (let i = 0; i < count; i++) {
        const before = load.answered;
        lines.push(await disk.vloop.upgrade());
        // The next one comes while this one's process is at work.
        while (load.answered < before + 200) await new Promise((r) => setTimeout(r, 2));
      }
    } finally {
      done = true;
    }
  })();
  await Promise.all([load.runUntil(() => done), upgrades]);
  await Promise.all(frontEnd.queues.map((queue) => queue.drained()));
  return { disk, frontEnd, lines, load };
}

function sayPauses(what: string, lines: readonly LogLine[]): void {
  const pauses = lines.map(({ pauseUs }) => Number(pauseUs) / 1000).sort((a, b) => a - b);
  const drains = lines.map(({ drainUs }) => Number(drainUs) / 1000).sort((a, b) => a - b);
  const middle = (values: readonly number[]) => values[values.length >> 1]!.toFixed(1);
  process.stdout.write(
    `pause of ${lines.length} upgrades, ${what}: median ${middle(pauses)} ms, longest ${pauses.at(-1)!.toFixed(1)} ms (requests in flight: ${middle(drains)} ms of it)\n`,
  );
}

describe('upgrades in a row under verified load', () => {
  test.each([
    ['split rings, 2 queues', 12, { queueCount: 2 }, []],
    [
      'split rings, 4 queues, 2 workers, in-flight region',
      6,
      { queueCount: 4, inflight: true },
      ['--workers=2'],
    ],
    ['packed rings, in-flight region', 6, { queueCount: 2, packed: true, inflight: true }, []],
    ['packed rings in order', 3, { queueCount: 2, packed: true, inOrder: true }, []],
    ['no EVENT_IDX, threads', 3, { queueCount: 2, eventIdx: false }, ['--aio=threads']],
    ['Linux AIO', 3, { queueCount: 2 }, ['--aio=native']],
  ] as const)('%s', async (what, count, options, args) => {
    const { disk, frontEnd, lines, load } = await upgradesUnderLoad(count, options, ...args);
    sayPauses(what, lines);
    expect(lines).toHaveLength(count);
    expect(new Set(lines.map(({ pid }) => pid)).size).toBe(count);
    // The counters go on counting: the last process knows of every request.
    frontEnd.close();
    const [last] = (await disk.vloop.logged('front-end disconnected')).slice(-1);
    const { reads, writes, flushes, discards, writeZeroes, others, errors } = last as LogLine;
    const counted = [reads, writes, flushes, discards, writeZeroes, others].map(Number);
    expect(counted.reduce((sum, value) => sum + value, 0)).toBeGreaterThanOrEqual(load.answered);
    expect([errors, last!['guestViolations']]).toEqual([0, 0]);
    await disk.stopVloop();
    expect(load.difference(disk.imageBytes())).toBe(null);
  });
});

test('a front-end that sleeps for calls misses none', async () => {
  const disk = await serve();
  const frontEnd = await disk.connect({ ...loadOptions({ queueCount: 2 }), byCalls: true });
  const load = new VerifiedLoad(frontEnd, Uint8Array.from(disk.imageBytes()));
  for (let round = 0; round < 3; round++) {
    await Promise.all([load.run(1500), disk.vloop.upgrade()]);
  }
  await load.run(50);
  expect(load.answered).toBe(2 * (3 * 1500 + 50));
});

test('the process after several upgrades is like one that was just started', async () => {
  const options = { queueCount: 3, inflight: true, fdEach: true } as const;
  const regions = [[0x2_0000_0000, 1 << 20]] as const;
  const fresh = await serve();
  const freshEnd = await fresh.connect({ ...options, moreRegions: regions });
  await freshEnd.queues[0]!.mustRun(blk.read(0, 4096));
  const disk = await serve();
  const frontEnd = await disk.connect({ ...options, moreRegions: regions });
  for (let i = 0; i < 3; i++) await disk.vloop.upgrade();
  await frontEnd.queues[0]!.mustRun(blk.read(0, 4096));
  const without = (names: string[], image: string) => names.filter((name) => name !== image);
  const then = descriptors(fresh.vloop.pid);
  // The control socket is opened last, some time after the disk was taken over.
  const now = await eventually(
    () => `${then.length} descriptors: ${then}; there are ${descriptors(disk.vloop.pid)}`,
    30_000,
    () => {
      const open = descriptors(disk.vloop.pid);
      return open.length === then.length ? open : undefined;
    },
  );
  expect(without(now, disk.image)).toEqual(without(then, fresh.image));
  expect(disk.vloop.guestMappings()).toBe(fresh.vloop.guestMappings());
  expect(threadCount(disk.vloop.pid)).toBe(threadCount(fresh.vloop.pid));
  // And the next front-end finds nothing of the one before.
  frontEnd.close();
  freshEnd.close();
  await disk.vloop.logged('front-end disconnected');
  await fresh.vloop.logged('front-end disconnected');
  expect(descriptors(disk.vloop.pid).length).toBe(descriptors(fresh.vloop.pid).length);
  expect(disk.vloop.guestMappings()).toBe(0);
});
