/**
 * What a real vloop tells of its disk while a front-end works on it: counts that are exactly what was sent,
 * the block map, requests that wait in a ring, and all of it across a live upgrade.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { AVAIL_IDX_JUMP, ringViolations } from '../../src/virtqueue/ring-violation.ts';
import { BoundedProcess } from '../support/bounded-process.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess, vloopCommand } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const BLOCK = 4096;
const LIMIT_MS = 30_000;
const flush = { type: VIRTIO_BLK_T_FLUSH };

let disk: ServedDisk;
let path: string;

beforeEach(() => {
  disk = new ServedDisk();
  path = `${disk.directory}/ctl`;
});

afterEach(async () => {
  await disk.close();
});

async function serve(...args: string[]): Promise<void> {
  await disk.startVloop([`--control=${path}`, '--name=seen', ...args]);
}

async function client(): Promise<RpcClient> {
  return disk.own(await RpcClient.connect(path));
}

/** So many of each on a queue, the reads and writes at full depth. */
async function load(frontEnd: MockFrontEnd, queueIndex: number, blocks: number): Promise<void> {
  const queue = frontEnd.queues[queueIndex]!;
  const first = queueIndex * 512;
  for (let next = 0; next < 2 * blocks; ) {
    while (next < 2 * blocks && queue.hasRoom) {
      const sector = (first + (next >> 1)) * (BLOCK / 512);
      queue.offer(next % 2 === 0 ? blk.write(sector, noise(BLOCK, next)) : blk.read(sector, BLOCK));
      next++;
    }
    queue.kick();
    await queue.answers(LIMIT_MS);
  }
  await queue.drained(LIMIT_MS);
  await queue.mustRun(flush);
  await queue.mustRun(blk.discard({ sector: (first + 256) * 8, sectors: 64 }));
  await queue.mustRun(blk.writeZeroes({ sector: (first + 300) * 8, sectors: 16 }));
  // Past the end.
  await queue.run(blk.read(2 ** 40, BLOCK));
}

function cells(row: readonly number[]): Array<[number, number]> {
  return [...row.entries()].filter(([, count]) => count > 0);
}

describe('counts', () => {
  test.each([['--workers=1'], ['--workers=2']])(
    'are exactly what was sent, in all and by queue, while the disk is served (%s)',
    async (workers) => {
      await serve(workers, '--num-queues=2');
      const rpc = await client();
      const frontEnd = await disk.connect({ queueCount: 2 });
      await Promise.all([load(frontEnd, 0, 50), load(frontEnd, 1, 30)]);
      const stats = await rpc.call('disk_get_stats', { disk: 'seen' });
      expect(stats.totals).toMatchObject({
        in_flight: 0,
        reads: 80,
        writes: 80,
        flushes: 2,
        discards: 2,
        write_zeroes: 2,
        bytes_read: 80 * BLOCK,
        bytes_written: 80 * BLOCK,
        bytes_discarded: 2 * 64 * 512,
        bytes_zeroed: 2 * 16 * 512,
        errors: 2,
        refused: 2,
        guest_violations: 0,
      });
      expect(stats.queues.map(({ queue, reads, writes }) => [queue, reads, writes])).toEqual([
        [0, 50, 50],
        [1, 30, 30],
      ]);
      for (const queue of stats.queues) {
        const counted = queue.latency.read.reduce((sum, [, count]) => sum + count!, 0);
        expect(counted).toBe(queue.reads);
        expect(queue.busy_ms).toBeGreaterThan(0);
      }
      const { read, flush: flushed } = stats.latency;
      expect([read.count, flushed.count]).toEqual([80, 2]);
      expect(read.p50_us).toBeGreaterThan(0);
      expect(read.p90_us).toBeGreaterThanOrEqual(read.p50_us);
      expect(read.p999_us).toBeGreaterThanOrEqual(read.p99_us);
    },
  );

  test('light the regions that were touched, and no others', async () => {
    await serve();
    const rpc = await client();
    const frontEnd = await disk.connect();
    await frontEnd.queue.mustRun(blk.write(8 * 10, noise(BLOCK, 1)));
    await frontEnd.queue.mustRun(blk.read(8 * 4095, BLOCK));
    await frontEnd.queue.mustRun(blk.discard({ sector: 8 * 20, sectors: 16 }));
    const map = await rpc.call('disk_get_block_map', { disk: 'seen' });
    expect([map.cell_size, map.size, map.reads.length]).toEqual([4096, 16 * 2 ** 20, 4096]);
    expect(cells(map.writes)).toEqual([[10, 1]]);
    expect(cells(map.reads)).toEqual([[4095, 1]]);
    expect(cells(map.discards)).toEqual([
      [20, 1],
      [21, 1],
    ]);
  });

  test('go on in the process that takes over', async () => {
    await serve('--num-queues=2');
    const frontEnd = await disk.connect({ queueCount: 2 });
    await load(frontEnd, 0, 20);
    const before = await (await client()).call('disk_get_stats', { disk: 'seen' });
    const mapBefore = await (await client()).call('disk_get_block_map', { disk: 'seen' });
    const old = disk.vloop.pid;
    await disk.vloop.upgrade();
    const rpc = await eventually('the new process at the control socket', LIMIT_MS, async () => {
      const made = await RpcClient.connect(path).catch(() => null);
      if (made === null) return undefined;
      const { pid } = await made.call('get_version', {}).catch(() => ({ pid: old }));
      if (pid !== old) return disk.own(made);
      made.close();
      return undefined;
    });
    const after = await rpc.call('disk_get_stats', { disk: 'seen' });
    expect(after.totals).toMatchObject({ reads: 20, writes: 20, discards: 1, errors: 1 });
    expect(after.latency).toEqual(before.latency);
    expect(await rpc.call('disk_get_block_map', { disk: 'seen' })).toEqual(mapBefore);
    await load(frontEnd, 1, 5);
    const later = await rpc.call('disk_get_stats', { disk: 'seen' });
    expect(later.totals).toMatchObject({ in_flight: 0, reads: 25, writes: 25, errors: 2 });
    expect(later.latency.read.count).toBe(25);
  });

  test('name what a driver did wrong, and vloop stats prints them', async () => {
    await serve();
    const frontEnd = await disk.connect();
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
    const { queue } = frontEnd;
    queue.driver.rawAvailIdx(queue.driver.availIdx + 1000);
    queue.kickAnyway();
    const rpc = await client();
    const stats = await eventually('a violation in the stats', LIMIT_MS, async () => {
      const now = await rpc.call('disk_get_stats', { disk: 'seen' });
      return now.totals.guest_violations > 0 ? now : undefined;
    });
    expect(stats.violations).toEqual([{ kind: ringViolations.nameOf(AVAIL_IDX_JUMP), count: 1 }]);
    const why = await rpc.call('disk_why', { disk: 'seen' });
    expect(why.queues[0]).toMatchObject({ queue: 0, broken: 'AVAIL_IDX_JUMP' });
    expect(why.summary.join('\n')).toContain('the driver has broken the ring (AVAIL_IDX_JUMP)');
  });
});

describe('why', () => {
  test('a request waits in a ring that is disabled: found, with the ring’s indices decoded', async () => {
    await serve('--workers=2', '--num-queues=2');
    const frontEnd = await disk.connect({ queueCount: 2 });
    const queue = frontEnd.queues[1]!;
    await queue.mustRun(blk.read(0, BLOCK));
    await frontEnd.enable(1, false);
    queue.offer(blk.read(8, BLOCK));
    queue.offer(blk.read(16, BLOCK));
    queue.kick();
    const why = await (await client()).call('disk_why', { disk: 'seen' });
    expect(why.requests).toEqual([]);
    expect(why.workers.map(({ answers }) => answers)).toEqual([true, true]);
    expect(why.queues[1]).toMatchObject({
      queue: 1,
      enabled: false,
      available: 2,
      in_flight: 0,
      text: 'the front-end has disabled the ring',
      ring: { layout: 'split', avail_idx: 3, last_avail_idx: 1, used_idx: 1, event_idx: true },
    });
    expect(why.queues[0]).toMatchObject({ enabled: true, available: 0, text: null });
    expect(why.summary).toContain(
      'queue 1 is not served: the front-end has disabled the ring; 2 requests wait in it',
    );
    await frontEnd.enable(1, true);
    await queue.drained(LIMIT_MS);
    const later = await (await client()).call('disk_why', { disk: 'seen' });
    expect(later.queues[1]).toMatchObject({ available: 0, text: null });
    expect(later.summary).toEqual(['nothing is in flight']);
  });

  test('packed rings are decoded with their wrap counters', async () => {
    await serve();
    const frontEnd = await disk.connect({ packed: true, queueSize: 64 });
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
    const why = await (await client()).call('disk_why', { disk: 'seen' });
    expect(why.queues[0]!.ring).toMatchObject({
      layout: 'packed',
      avail_wrap: true,
      used_wrap: true,
      next_is_available: false,
    });
  });
});

describe('a trace', () => {
  test('has every request that ends while somebody looks on, of all workers, and none before', async () => {
    await serve('--workers=2', '--num-queues=2');
    const rpc = await client();
    const frontEnd = await disk.connect({ queueCount: 2 });
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
    const { trace } = await rpc.call('disk_trace', { disk: 'seen' });
    await frontEnd.queues[0]!.mustRun(blk.write(80, noise(BLOCK, 1)));
    await frontEnd.queues[1]!.mustRun(blk.read(88, 2 * BLOCK));
    await frontEnd.queues[1]!.mustRun(flush);
    await frontEnd.queues[0]!.run(blk.read(2 ** 40, BLOCK));
    const look = await rpc.call('disk_trace', { disk: 'seen', trace });
    expect(look).toMatchObject({ trace, lost: 0 });
    expect(
      look.requests.map(({ queue, op, sector, bytes, status }) => [
        queue,
        op,
        sector,
        bytes,
        status,
      ]),
    ).toEqual([
      [0, 'write', 80, BLOCK, 'OK'],
      [1, 'read', 88, 2 * BLOCK, 'OK'],
      [1, 'flush', 0, 0, 'OK'],
      [0, 'none', expect.any(Number), 0, 'IOERR'],
    ]);
    for (const { took_us } of look.requests) expect(took_us).toBeGreaterThanOrEqual(0);
    await expect(rpc.call('disk_trace', { disk: 'seen' })).rejects.toThrow(/somebody else traces/);
    await rpc.call('disk_trace', { disk: 'seen', trace, end: true });
    await expect(rpc.call('disk_trace', { disk: 'seen', trace })).rejects.toThrow(/it has ended/);
    const flushes = await rpc.call('disk_trace', { disk: 'seen', ops: ['flush'] });
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
    await frontEnd.queue.mustRun(flush);
    const next = await rpc.call('disk_trace', { disk: 'seen', trace: flushes.trace });
    expect(next.requests.map(({ op }) => op)).toEqual(['flush']);
  });

  test('is bounded: what comes faster than it is taken is counted', async () => {
    await serve();
    const rpc = await client();
    const frontEnd = await disk.connect();
    const { queue } = frontEnd;
    const { trace } = await rpc.call('disk_trace', { disk: 'seen' });
    const sent = 9000;
    for (let next = 0; next < sent; ) {
      while (next < sent && queue.hasRoom) queue.offer(blk.read((next++ % 512) * 8, 512));
      queue.kick();
      await queue.answers(LIMIT_MS);
    }
    await queue.drained(LIMIT_MS);
    let seen = 0;
    let lost = 0;
    for (;;) {
      const look = await rpc.call('disk_trace', { disk: 'seen', trace, most: 8192 });
      seen += look.requests.length;
      lost += look.lost;
      if (look.requests.length === 0) break;
    }
    expect([seen, lost]).toEqual([8192, sent - 8192]);
  });

  test('vloop trace prints a line for each request', async () => {
    await disk.startVloop(['--name=traced']);
    const frontEnd = await disk.connect();
    const tracer = new BoundedProcess([
      ...vloopCommand(),
      'trace',
      'traced',
      '--count=2',
      '--op=write',
    ]);
    disk.own({ close: () => void tracer.kill() });
    await eventually(
      () => `a tracer; it said ${tracer.output}`,
      LIMIT_MS,
      () => (tracer.output.includes('tracing traced') ? true : undefined),
    );
    await frontEnd.queue.mustRun(blk.read(0, BLOCK));
    await frontEnd.queue.mustRun(blk.write(8, noise(BLOCK, 1)));
    await frontEnd.queue.mustRun(blk.write(16, noise(512, 1)));
    const { status, stdout } = await tracer.within(LIMIT_MS);
    expect(status).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/ write {2}sector 8 4\.00KiB {2}\S+ {2}OK$/);
    expect(lines[1]).toMatch(/ write {2}sector 16 512B /);
  });
});

test('vloop top prints tables where there is no terminal', async () => {
  await disk.startVloop(['--name=busy']);
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.read(0, BLOCK));
  const { status, stdout, stderr } = await VloopProcess.run([
    'top',
    '--batch=2',
    '--interval=0.05',
  ]);
  expect([status, stderr]).toEqual([0, '']);
  const tables = stdout.split('\n\n');
  expect(tables).toHaveLength(2);
  for (const table of tables) {
    expect(table).toMatch(/^DISK +QUEUE +STATE +R\/s/);
    expect(table).toMatch(/\nbusy +all +connected +0 +0/);
  }
  const wrong = await VloopProcess.run(['top', '--batch=no']);
  expect(wrong.status).toBe(2);
  expect(wrong.stderr).toContain('--batch=no: expected a number above 0');
});

test('vloop stats and vloop why print tables and JSON', async () => {
  await disk.startVloop(['--name=printed']);
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.write(0, noise(BLOCK, 1)));
  const vloop = async (...args: string[]) => {
    const { status, stdout, stderr } = await VloopProcess.run(args);
    expect([status, stderr]).toEqual([0, '']);
    return stdout;
  };
  expect(await vloop('stats', 'printed')).toMatch(/^printed\n[\s\S]*write +1 +0 +4\.00KiB/);
  const json = JSON.parse(await vloop('stats', '--json', 'printed')) as {
    disks: Array<{ totals: { writes: number } }>;
  };
  expect(json.disks[0]!.totals.writes).toBe(1);
  expect(await vloop('why', 'printed')).toMatch(/nothing is in flight[\s\S]*queue 0: enabled/);
});
