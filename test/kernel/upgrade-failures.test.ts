/**
 * A hand-over that fails, at every step and in every way that a successor can: the old process carries on,
 * says why in a line, and neither a request nor a message of the front-end is lost. What cannot be handed
 * over is refused in a line as well.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Fault, faultySuccessor, shellProgram } from '../support/faulty-successor-script.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { vringStatePayload } from '../support/vhost-user-messages.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

let folder: string;
const disks: ServedDisk[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vloop-successor-'));
});

afterEach(async () => {
  for (const disk of disks.splice(0)) await disk.close();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(...args: string[]): Promise<ServedDisk> {
  const disk = await ServedDisk.serve({ args });
  disks.push(disk);
  return disk;
}

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function successorStarted({ vloop }: ServedDisk): Promise<void> {
  const children = `/proc/${vloop.pid}/task/${vloop.pid}/children`;
  await eventually('successor', 5000, () => readFileSync(children, 'latin1').trim() || undefined);
}

/** Under load: a SIGUSR2 that comes to nothing, and everything goes on. The reason given. */
async function failsUnderLoad(successor: string): Promise<string> {
  const disk = await serve(`--successor=${successor}`, '--workers=2');
  const inflight = { queueCount: 2, inflight: true };
  const frontEnd = await disk.connect({ ...inflight, moreRegions: [loadRegion(2)] });
  const load = new VerifiedLoad(frontEnd, Uint8Array.from(disk.imageBytes()));
  const { pid } = disk.vloop;
  let done = false;
  const attempt = (async () => {
    await eventually('load', 5000, () => load.answered > 100 || undefined);
    disk.vloop.signal('SIGUSR2');
    // A message in the middle of it is answered, early or late.
    const asked = frontEnd.config();
    const [line] = await disk.vloop.logged('hand-over failed: this process carries on');
    expect((await asked).length).toBeGreaterThan(0);
    const before = load.answered;
    await eventually('further answers', 5000, () => load.answered > before + 500 || undefined);
    done = true;
    return line!;
  })();
  const [line] = await Promise.all([attempt, load.runUntil(() => done)]);
  await Promise.all(frontEnd.queues.map((queue) => queue.drained()));
  expect(disk.vloop.pid).toBe(pid);
  expect(isRunning(Number(line['successor']))).toBe(false);
  frontEnd.close();
  await disk.vloop.logged('front-end disconnected');
  // The next front-end comes to the same process, and the socket file goes with it.
  const next = await disk.connect();
  await next.queues[0]!.mustRun(blk.read(0, 512));
  next.close();
  expect((await disk.stopVloop()).status).toBe(0);
  expect(load.difference(disk.imageBytes())).toBe(null);
  return String(line['reason']);
}

describe('the old process carries on when the new one', () => {
  test.each<readonly [Fault, string, RegExp]>([
    ['dies', 'ready', /^it ended, expected "ready"$/],
    ['dies', 'prepared', /^it ended, expected "prepared"$/],
    ['dies', 'taking', /^it ended, expected "taking"$/],
    ['refuses', 'prepared', /^it does not want to$/],
    ['refuses', 'taking', /^it does not want to$/],
    ['hangs', 'prepared', /^no "prepared" within 2000 ms$/],
    ['hangs', 'taking', /^no "taking" within 2000 ms$/],
  ])('%s before it says "%s"', async (fault, step, reason) => {
    expect(await failsUnderLoad(faultySuccessor(folder, fault, step))).toMatch(reason);
  });

  test('is a program that ends at once, or knows nothing of hand-overs', async () => {
    const ended = /^it ended|^cannot send "open"/;
    expect(await failsUnderLoad(shellProgram(folder, 'exit 1'))).toMatch(ended);
    expect(await failsUnderLoad(shellProgram(folder, 'exec sleep 0.3'))).toMatch(ended);
  });

  test('does not exist', async () => {
    expect(await failsUnderLoad(join(folder, 'no-such-program'))).toMatch(/^it ended|^cannot send/);
  });

  test('would show the guest another disk', async () => {
    const other = shellProgram(
      folder,
      `exec '${process.execPath}' '${join(import.meta.dirname, '../../src/cli/vloop.js')}' "$@" --serial=other`,
    );
    expect(await failsUnderLoad(other)).toMatch(/serial=other, and the guest knows vloop-/);
  });
});

describe('the end of the old process ends the hand-over, too', () => {
  test('SIGTERM while the new one hangs: status 0, no socket file, no successor', async () => {
    const disk = await serve(`--successor=${faultySuccessor(folder, 'hangs', 'ready')}`);
    const frontEnd = await disk.connect();
    disk.vloop.signal('SIGUSR2');
    await successorStarted(disk);
    disk.vloop.signal('SIGUSR2');
    await disk.vloop.logged('no hand-over: this process carries on');
    await frontEnd.queues[0]!.mustRun(blk.read(0, 512));
    const { status, tookMs } = await disk.stopVloop();
    expect(status).toBe(0);
    expect(tookMs).toBeLessThan(2000);
    expect(disk.vloop.log('no hand-over')).toMatchObject([{ reason: 'one is under way' }]);
  });

  test('a front-end that leaves while messages wait is gone, and the next one is served', async () => {
    const disk = await serve(`--successor=${faultySuccessor(folder, 'hangs', 'prepared')}`);
    const frontEnd = await disk.connect();
    disk.vloop.signal('SIGUSR2');
    await successorStarted(disk);
    // Between a message that is not answered any more and the end of the hand-over.
    await sleep(400);
    frontEnd.close();
    const next = await disk.connect();
    await next.queues[0]!.mustRun(blk.read(0, 512));
  });
});

describe('what cannot be handed over is refused in a line', () => {
  test('a disk in memory', async () => {
    const disk = new ServedDisk();
    disks.push(disk);
    const vloop = await VloopProcess.serving({
      args: ['--memory=1M', `--socket-path=${disk.socket}`],
    });
    try {
      vloop.signal('SIGUSR2');
      await vloop.logged('no hand-over: this process carries on');
      expect(vloop.log('no hand-over')).toMatchObject([
        { reason: 'a disk in memory belongs to its process' },
      ]);
      expect((await vloop.end()).status).toBe(0);
    } finally {
      await vloop.kill();
    }
  });

  test('a file that has changed its size unseen is handed over with the size that the guest knows', async () => {
    const disk = await serve();
    const frontEnd = await disk.connect();
    const before = await frontEnd.config();
    truncateSync(disk.image, 64 * 2 ** 20);
    await disk.vloop.upgrade();
    expect(await frontEnd.config()).toEqual(before);
    const [reply] = [await frontEnd.client.request('GET_VRING_BASE', vringStatePayload(0, 0))];
    expect(reply!.payload.getUint32(4, true)).toBe(0);
  });
});
