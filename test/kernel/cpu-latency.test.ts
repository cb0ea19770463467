/**
 * `--cpu-latency-us` against the kernel, which says what is asked of it at the moment: busy disks ask,
 * idle ones do not, and nothing is left of it when vloop has gone. Needs the device, and root.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { CPU_LATENCY_DEVICE } from '../../src/sys/cpu-latency.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const ASKED_US = 3;

/** The least that anybody asks for, or why it cannot be known. */
function askedNow(): number | string {
  try {
    const fd = openSync(CPU_LATENCY_DEVICE, 'r');
    const value = new Int32Array(1);
    readSync(fd, value);
    closeSync(fd);
    return value[0]!;
  } catch (error) {
    return `${CPU_LATENCY_DEVICE}: ${error instanceof Error ? error.message : error}`;
  }
}

const before = askedNow();
const refusal =
  typeof before === 'string'
    ? before
    : before <= ASKED_US
      ? `somebody else asks for ${before} µs already`
      : null;
if (refusal !== null) process.stdout.write(`skipped: --cpu-latency-us: ${refusal}\n`);

let disk: ServedDisk | null = null;
afterEach(async () => {
  await disk?.close();
  disk = null;
});

/** Reads on one queue until the kernel is asked. */
async function busy(): Promise<void> {
  disk = await ServedDisk.serve({ args: [`--cpu-latency-us=${ASKED_US}`] });
  expect(askedNow(), 'before the first request').toBe(before);
  const queue = (await disk.connect()).queues[0]!;
  const deadline = performance.now() + 10_000;
  while (askedNow() !== ASKED_US) {
    if (performance.now() > deadline) throw new Error('10 s of requests, and nothing was asked');
    for (let i = 0; i < 100; i++) await queue.mustRun(blk.read(0, 512));
  }
}

describe.skipIf(refusal !== null)('--cpu-latency-us', () => {
  test('is asked for while the disk is busy, and not longer', async () => {
    await busy();
    await eventually('end of the wish while idle', 5000, () => askedNow() === before || undefined);
  });

  test('ends with vloop, however that ends', async () => {
    await busy();
    await disk!.vloop.kill();
    expect(askedNow()).toBe(before);
  });

  test('is refused in one line where the device cannot be opened', async () => {
    disk = new ServedDisk();
    const hide = `mount --bind "$1" ${CPU_LATENCY_DEVICE} && mount -o remount,bind,ro ${CPU_LATENCY_DEVICE}`;
    const vloop = new VloopProcess({
      args: ['serve', disk.image, `--socket-path=${disk.socket}`, '--cpu-latency-us=0'],
      through: ['unshare', '-m', 'sh', '-c', `${hide} && shift && exec "$@"`, 'sh', disk.image],
    });
    expect(await vloop.end(null)).toMatchObject({ status: 1 });
    expect(vloop.stderr).toBe(
      `vloop: --cpu-latency-us=0: cannot open ${CPU_LATENCY_DEVICE} (EROFS); it takes root\n`,
    );
    expect(existsSync(disk.socket)).toBe(false);
  });
});
