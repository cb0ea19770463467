/**
 * SIGTERM: vloop ends in time, with what it had taken answered, at any moment of its life.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { BusyFrontEnd } from '../support/busy-frontend-process.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

let disk: ServedDisk;
const busy: BusyFrontEnd[] = [];

afterEach(async () => {
  for (const frontEnd of busy.splice(0)) await frontEnd.kill();
  await disk.close();
});

async function underLoad(queueCount = 4): Promise<BusyFrontEnd> {
  const frontEnd = new BusyFrontEnd(disk.socket, queueCount);
  busy.push(frontEnd);
  await frontEnd.busy();
  return frontEnd;
}

describe('SIGTERM', () => {
  test('without a front-end ends it at once with status 0, the socket file gone', async () => {
    disk = await ServedDisk.serve();
    const { status, tookMs } = await disk.stopVloop();
    expect(status).toBe(0);
    expect(tookMs).toBeLessThan(1000);
    expect(existsSync(disk.socket)).toBe(false);
  });

  test.each([
    [['--aio=io_uring']],
    [['--aio=native', '--direct-io=on']],
    [['--aio=threads']],
    [['--io-path=calls']],
  ])('under load drains and exits 0 within a second: %j', async (args) => {
    disk = await ServedDisk.serve({ args: ['--workers=2', ...args] });
    await underLoad();
    const { status, tookMs } = await disk.stopVloop();
    expect(status, disk.vloop.stderr).toBe(0);
    expect(tookMs).toBeLessThan(1000);
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, guestViolations: 0 });
  });

  test('at any moment of the start ends it in time, and leaves no socket file', async () => {
    disk = new ServedDisk();
    const args = [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}`];
    for (let afterMs = 0; afterMs <= 400; afterMs += 25) {
      const vloop = new VloopProcess({ args });
      await sleep(afterMs);
      const { tookMs } = await vloop.end();
      expect(tookMs, `after ${afterMs} ms`).toBeLessThan(1000);
      expect(existsSync(disk.socket), `after ${afterMs} ms`).toBe(false);
    }
  });

  test('as soon as it says that it serves is a clean end', async () => {
    disk = new ServedDisk();
    for (let i = 0; i < 10; i++) {
      await disk.startVloop();
      expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    }
  });

  test('every request that was taken is answered first', async () => {
    disk = await ServedDisk.serve();
    const { queue } = await disk.connect({ placeCount: 100 });
    for (let i = 0; i < 30; i++) queue.offer(blk.write(i * 8, noise(4096, i + 1)));
    queue.kick();
    await eventually('first answer', 5000, () => queue.driver.usedIdx > 0 || undefined);
    await disk.stopVloop();
    const answers = queue.collect();
    expect(disk.vloop.log('summary')[0]?.['writes']).toBe(answers.length);
    for (const { request } of answers) expect(request.status).toBe(0);
  });
});
