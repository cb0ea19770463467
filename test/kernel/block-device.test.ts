/**
 * A block device as the backing file: its size, direct and buffered I/O, discard and write-zeroes by the
 * device's own means, and the lock.
 */
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { LoopBlockDevice } from '../support/loop-block-device.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const MIB = 2 ** 20;
const BLOCK = 64 * 1024;
const SECTORS = BLOCK / 512;

const directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
const file = join(directory, 'device.img');
const socket = join(directory, 's');
writeFileSync(file, '');
truncateSync(file, 16 * MIB);
const device = LoopBlockDevice.attach(file);
const reason = typeof device === 'string' ? device : null;
if (reason !== null) process.stderr.write(`skipped: a block device as backing file: ${reason}\n`);

let vloop: VloopProcess | null = null;
let frontEnd: MockFrontEnd | null = null;

beforeAll(() => {
  if (typeof device !== 'string') writeFileSync(device.path, noise(MIB, 7));
});

afterEach(async () => {
  frontEnd?.close();
  frontEnd = null;
  await vloop?.kill();
  vloop = null;
});

afterAll(() => {
  if (typeof device !== 'string') device.detach();
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(reason !== null).each(['on', 'off'])('with --direct-io=%s', async (directIo) => {
  const { path } = device as LoopBlockDevice;
  const args = [`--blk-file=${path}`, `--socket-path=${socket}`, `--direct-io=${directIo}`];
  vloop = await VloopProcess.serving({ args });
  expect(vloop.log('serving')[0]).toMatchObject({
    sizeBytes: 16 * MIB,
    directIo: directIo === 'on',
  });
  frontEnd = await MockFrontEnd.start(socket, {});
  const queue = frontEnd.queues[0]!;
  for (let i = 0; i < 32; i++) await queue.mustRun(blk.write(i * SECTORS, noise(BLOCK, 50 + i)));
  for (let i = 0; i < 32; i++) {
    const data = await queue.mustRun(blk.read(i * SECTORS, BLOCK));
    expect(Buffer.compare(data, noise(BLOCK, 50 + i)), `block ${i}`).toBe(0);
  }
  expect((await queue.run({ type: VIRTIO_BLK_T_FLUSH })).status).toBe(VIRTIO_BLK_S_OK);
  const full = statSync(file).blocks;
  const range = { sector: 0, sectors: 16 * SECTORS };
  expect((await queue.run(blk.discard(range))).status).toBe(VIRTIO_BLK_S_OK);
  expect(statSync(file).blocks).toBeLessThan(full);
  const zeroed = { sector: 16 * SECTORS, sectors: 2 * SECTORS };
  expect((await queue.run(blk.writeZeroes(zeroed))).status).toBe(VIRTIO_BLK_S_OK);
  for (const i of [16, 17]) {
    const data = await queue.mustRun(blk.read(i * SECTORS, BLOCK));
    expect(
      data.every((byte) => byte === 0),
      `block ${i}`,
    ).toBe(true);
  }
  const next = await queue.mustRun(blk.read(18 * SECTORS, BLOCK));
  expect(Buffer.compare(next, noise(BLOCK, 68))).toBe(0);

  const second = await VloopProcess.run([`--blk-file=${path}`, `--socket-path=${socket}2`]);
  expect(second).toMatchObject({ status: 1 });
  expect(second.stderr).toContain('locked');
  expect(await vloop.end()).toMatchObject({ status: 0 });
});
