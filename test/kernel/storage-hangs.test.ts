/**
 * Storage that really hangs: writes to a frozen ext4 wait in the kernel. What is asked of the disk meanwhile is
 * answered in time, the other disk of the process goes on, and all is well when the file system is thawed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import type { DiskWhy } from '../../src/control/schema/disk-why.ts';
import { FrozenFilesystem } from '../support/frozen-filesystem.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd, type MockFrontEndOptions } from '../support/mock-frontend.ts';
import type { Pending } from '../support/mock-frontend-queue.ts';
import { PseudoTerminal } from '../support/pseudo-terminal.ts';
import { VloopProcess, vloopCommand } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
const WRITES = 5;
const WAIT_MS = 30_000;
const LONG_MS = 300;
/** Longer than the 100 ms for which called-file.ts makes no calls. */
const ENGINE_PAUSE_MS = 300;
const CONTENT = noise(8 * MIB, 1);
const HUNG = { disk: 'hung' };
const FINE = { disk: 'fine' };

const mounted = await FrozenFilesystem.mount(48 * MIB);
const skipped = typeof mounted === 'string';
if (skipped) process.stderr.write(`skipped: storage that hangs: ${mounted}\n`);

describe.skipIf(skipped)('a frozen file system', { timeout: 120_000 }, () => {
  const storage = mounted as FrozenFilesystem;
  let isFrozen = false;
  let vloop: VloopProcess | null = null;
  let rpc: RpcClient;
  const owned: Array<{ close(): void }> = [];

  afterEach(async () => {
    // First: a process that hangs in the kernel cannot be killed.
    if (isFrozen) await thaw();
    for (const thing of owned.splice(0)) thing.close();
    await vloop?.kill();
    vloop = null;
  });

  afterAll(async () => {
    if (!skipped) await storage.unmount();
  });

  async function freeze(): Promise<void> {
    isFrozen = true;
    await storage.freeze();
  }

  async function thaw(): Promise<void> {
    await storage.thaw();
    isFrozen = false;
  }

  function own<T extends { close(): void }>(thing: T): T {
    owned.push(thing);
    return thing;
  }

  /** The disks `hung`, on the file system that will be frozen, and `fine` beside it, of one process. */
  async function serve(args: readonly string[], keep = false): Promise<VloopProcess> {
    const images = [join(storage.directory, 'hung'), join(storage.folder, 'fine')];
    if (!keep) for (const path of [storage.path('hung'), images[1]!]) writeFileSync(path, CONTENT);
    const through = [...storage.through, 'env', '-C', storage.folder];
    vloop = await VloopProcess.serving({
      args: ['serve', ...images, '--num-queues=1', '--workers=1', ...args],
      through,
    });
    const control = `${process.env['VLOOP_RUN_DIR']}/${vloop.pid}.ctl`;
    rpc = own(await RpcClient.connect(control));
    return vloop;
  }

  const socketOf = (name: string) => join(storage.folder, `${name}.sock`);

  async function frontEnd(name: string, options: MockFrontEndOptions = {}): Promise<MockFrontEnd> {
    return own(await MockFrontEnd.start(socketOf(name), options));
  }

  function writes({ queue }: MockFrontEnd, seed: number): Pending[] {
    const pending = Array.from({ length: WRITES }, (_, i) =>
      queue.offer(blk.write(16 * i, noise(BLOCK, seed + i))),
    );
    queue.kick();
    return pending;
  }

  function expectWritten(seed: number): void {
    const image = readFileSync(storage.path('hung'));
    for (let i = 0; i < WRITES; i++) {
      const at = 16 * i * 512;
      expect(Buffer.compare(image.subarray(at, at + BLOCK), noise(BLOCK, seed + i))).toBe(0);
    }
    const rest = 16 * WRITES * 512;
    expect(Buffer.compare(image.subarray(rest), CONTENT.subarray(rest))).toBe(0);
  }

  /** Once the oldest request has waited for a while, and what it waits for is seen. */
  async function whyOfHung(isSeen = (_: DiskWhy) => true): Promise<DiskWhy> {
    let why: DiskWhy | undefined;
    return await eventually(
      () => `request that waits; seen: ${JSON.stringify(why)}`,
      WAIT_MS,
      async () => {
        why = await rpc.call('disk_why', HUNG);
        return (why.requests[0]?.since_ms ?? 0) >= LONG_MS && isSeen(why) ? why : undefined;
      },
    );
  }

  async function goesOn({ queue }: MockFrontEnd): Promise<void> {
    const data = noise(BLOCK, Math.floor(performance.now()));
    await queue.mustRun(blk.write(800, data));
    expect(Buffer.compare(await queue.mustRun(blk.read(800, BLOCK)), data)).toBe(0);
  }

  /** It says how long it takes while it does, until the thaw. */
  async function quiesceOnTerminal(): Promise<void> {
    const words = [...vloopCommand(), 'quiesce', 'hung', '--timeout-ms=20000'];
    const terminal = own(new PseudoTerminal(words, 120, 24));
    await terminal.shows('how long it takes', (text) =>
      /quiesce hung: \d+\.\d s, [1-5] requests in flight/.test(text) ? true : undefined,
    );
    await thaw();
    expect(await terminal.said('ENDED')).toBe('0');
    expect(terminal.text).toContain('\x1b[Khung: stands still');
    await rpc.call('disk_resume', HUNG);
  }

  test.each([
    ['io_uring', ['--direct-io=on']],
    ['calls', ['--direct-io=off', '--io-path=calls']],
    ['threads', ['--direct-io=on', '--aio=threads']],
  ])('is found by why, told by quiesce and detach, and survived (%s)', async (path, args) => {
    const process = await serve(args);
    const [hung, fine] = [await frontEnd('hung'), await frontEnd('fine')];
    await goesOn(fine);
    await hung.queue.mustRun(blk.write(0, CONTENT.subarray(0, BLOCK)));
    // After a call that took long, writes go through the engine for a while: not those that are to hang in a call.
    if (path === 'calls') await sleep(ENGINE_PAUSE_MS);
    await freeze();
    const first = writes(hung, 100);
    const why = await whyOfHung(({ requests, workers, threads }) => {
      if (path === 'calls') return workers[0]!.thread?.state === 'D' && !workers[0]!.answers;
      return path !== 'threads' || (threads.length >= 4 && requests.length === WRITES);
    });
    const later = await rpc.call('disk_why', HUNG);
    // Of the threads four are at work; the fifth request waits for one of them.
    const engine = why.requests.filter(({ waits_for }) => waits_for === 'engine');
    expect(engine).toHaveLength(path === 'threads' ? 1 : 0);
    for (const request of why.requests) {
      if (engine.includes(request)) continue;
      expect(request).toMatchObject({ queue: 0, op: 'write', bytes: BLOCK, waits_for: 'file' });
      expect([0, 16, 32, 48, 64]).toContain(request.sector);
      const same = later.requests.find(({ head }) => head === request.head);
      expect(same!.since_ms).toBeGreaterThan(request.since_ms);
    }
    const { in_flight } = await rpc.call('disk_get_status', HUNG);
    expect(in_flight).toBe(why.requests.length);
    expect(why.summary.join('\n')).toMatch(/in flight; the oldest .* waits for the backing file/);
    if (path === 'calls') {
      expect(why.workers[0]!.thread!.system_call).toMatch(/^(pwrite64|pwritev2?)$/);
      expect(why.summary.join('\n')).toMatch(/worker 0 does not answer: it is in pwrite/);
    }
    await goesOn(fine);
    expect(await rpc.call('disk_why', FINE)).toMatchObject({ requests: [] });

    const command = await VloopProcess.run(['quiesce', 'hung', '--timeout-ms=200']);
    expect([command.status, command.stdout]).toEqual([1, '']);
    const said = path === 'calls' ? /does not answer.*vloop why/ : /have not ended|does not answer/;
    expect(command.stderr).toMatch(said);
    const again = rpc.call('disk_quiesce', { ...HUNG, timeout_ms: 200 });
    await expect(again).rejects.toMatchObject({ code: 'EBUSY' });
    expect(await rpc.call('disk_get_status', HUNG)).toMatchObject({ quiesced: false });
    if (path === 'calls') {
      const change = rpc.call('disk_set_direct_io', { ...HUNG, direct_io: true });
      await expect(change).rejects.toMatchObject({ code: 'EBUSY' });
    }
    await goesOn(fine);

    if (path === 'io_uring') await quiesceOnTerminal();
    else await thaw();
    await hung.queue.drained(WAIT_MS);
    expect(first.map(({ request }) => request.status)).toEqual(first.map(() => VIRTIO_BLK_S_OK));
    expectWritten(100);
    // Neither attempt has left anything behind: it stands still when it is asked to, and goes on.
    await eventually('a quiesce', WAIT_MS, async () => {
      return await rpc.call('disk_quiesce', HUNG).then(
        () => true,
        () => undefined,
      );
    });
    await rpc.call('disk_resume', HUNG);
    await hung.queue.mustRun(blk.read(0, BLOCK));

    await freeze();
    const second = writes(hung, 200);
    await whyOfHung();
    const detach = await VloopProcess.run(['detach', 'hung', '--force']);
    expect([detach.status, detach.stderr]).toEqual([0, '']);
    expect(detach.stdout).toMatch(/^hung: ends when its \d requests in flight have \(vloop why/);
    expect(await rpc.call('disk_get_status', HUNG)).toMatchObject({ state: 'rundown' });
    expect((await rpc.call('disk_why', HUNG)).requests[0]).toMatchObject({ op: 'write' });
    await goesOn(fine);
    await thaw();
    await eventually('end of the disk', WAIT_MS, async () => {
      const disks = await rpc.call('disk_list', {});
      return disks.map(({ name }) => name).join() === 'fine' ? true : undefined;
    });
    hung.queue.collect();
    // What was taken is answered; a worker that hung in the first write had not taken the others.
    const answered = second.filter(({ usedBytes }) => usedBytes >= 0);
    expect(answered.length).toBeGreaterThan(0);
    for (const { request } of answered) expect(request.status).toBe(VIRTIO_BLK_S_OK);
    await goesOn(fine);
    const [summary] = await process.logged('summary');
    expect(summary).toMatchObject({ errors: 0, guestViolations: 0 });
  });

  test.each([
    ['io_uring', ['--direct-io=on']],
    ['calls', ['--direct-io=off', '--io-path=calls']],
  ])('SIGTERM says that requests still run, and the next vloop has them (%s)', async (_, args) => {
    const first = await serve(args);
    const hung = await frontEnd('hung', { inflight: true });
    await freeze();
    const pending = writes(hung, 300);
    await whyOfHung();
    first.signal('SIGTERM');
    await first.logged('requests are still running: ending without them');
    await thaw();
    expect(await first.ended).toMatchObject({ status: 1 });
    await serve(args, true);
    await hung.reconnect(socketOf('hung'));
    await hung.queue.drained(WAIT_MS);
    for (const { request } of pending) expect(request.status).toBe(VIRTIO_BLK_S_OK);
    expectWritten(300);
  });
});
