/**
 * vloop in the place of qemu-storage-daemon, as tests/qtest/vhost-user-blk-test.c of QEMU starts one:
 * the same argument lines, listening sockets that are inherited, the same requests and the answers that
 * it expects, and exit status 0 at SIGTERM.
 */
import { closeSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  SECTOR_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
  virtioBlkConfig,
} from '../../protocol/virtio-blk.ts';
import {
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import { hasFeature } from '../../src/blk/features.ts';
import { drainEventfd } from '../../src/sys/eventfd.ts';
import { listenAt } from '../../src/sys/unix-socket.ts';
import { BoundedProcess } from '../support/bounded-process.ts';
import { type BlkRange, blk, blkRanges, placeRequest } from '../support/mock-driver-blk.ts';
import { MockFrontEnd, type MockFrontEndOptions } from '../support/mock-frontend.ts';
import type { MockQueue } from '../support/mock-frontend-queue.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const TEST_IMAGE_SIZE = 64 * 1024 * 1024;
const WRAPPER = join(import.meta.dirname, '../../qemu-examples/qemu-storage-daemon');
const SECTOR = new Uint8Array(SECTOR_SIZE);
const TEST_SECTOR = Uint8Array.from(SECTOR);
TEST_SECTOR.set(Buffer.from('TEST'));

let directory: string;
let vloop: VloopProcess | null = null;
const frontEnds: MockFrontEnd[] = [];
const listening: number[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
});

afterEach(async () => {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
  for (const fd of listening.splice(0)) closeSync(fd);
  await vloop?.kill();
  vloop = null;
  rmSync(directory, { recursive: true, force: true });
});

function newImage(name: string): string {
  const image = join(directory, name);
  writeFileSync(image, '');
  truncateSync(image, TEST_IMAGE_SIZE);
  return image;
}

/** start_vhost_user_blk() of the test: its arguments, word for word; the sockets. */
async function startVhostUserBlk(instances: number, queues: number): Promise<string[]> {
  const sockets: string[] = [];
  const args = ['qsd'];
  for (let i = 0; i < instances; i++) {
    const socket = join(directory, `sock${i}`);
    const fd = listenAt(socket);
    if (fd < 0) throw new Error(`listen at ${socket}: ${fd}`);
    listening.push(fd);
    sockets.push(socket);
    const [image, inherited] = [newImage(`qtest.${i}`), 3 + i];
    args.push(
      '--blockdev',
      `driver=file,node-name=disk${i},filename=${image}`,
      '--export',
      `type=vhost-user-blk,id=disk${i},addr.type=fd,addr.str=${inherited},` +
        `node-name=disk${i},writable=on,num-queues=${queues}`,
    );
  }
  vloop = await VloopProcess.serving({ args, inheritedFds: listening });
  return sockets;
}

async function connect(socket: string, options: MockFrontEndOptions): Promise<MockFrontEnd> {
  const frontEnd = await MockFrontEnd.start(socket, options);
  frontEnds.push(frontEnd);
  return frontEnd;
}

/** quit_storage_daemon(). */
async function quit(): Promise<void> {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
  expect(await vloop?.end('SIGTERM')).toMatchObject({ status: 0, signal: null });
}

/** The answer to DISCARD or WRITE_ZEROES with these ranges. */
async function statusOf(queue: MockQueue, type: number, ...ranges: BlkRange[]): Promise<number> {
  const { status } = await queue.run({ type, dataOut: blkRanges(...ranges) });
  return status;
}

/** test_invalid_discard_write_zeroes(). */
async function refusesInvalid(queue: MockQueue, type: number): Promise<void> {
  const first = { sector: 0, sectors: 1 };
  const second = { sector: 1, sectors: 1 };
  expect(await statusOf(queue, type, first, second)).toBe(VIRTIO_BLK_S_UNSUPP);
  expect(await statusOf(queue, type, { ...first, sectors: 0xffff_ffff })).toBe(VIRTIO_BLK_S_IOERR);
  const beyond = { sector: TEST_IMAGE_SIZE / SECTOR_SIZE + 1, sectors: 1 };
  expect(await statusOf(queue, type, beyond)).toBe(VIRTIO_BLK_S_IOERR);
  const flags = ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP >>> 0;
  expect(await statusOf(queue, type, { ...first, flags })).toBe(VIRTIO_BLK_S_UNSUPP);
}

async function reads(queue: MockQueue, sector: number, expected: Uint8Array): Promise<void> {
  const data = await queue.mustRun(blk.read(sector, SECTOR_SIZE));
  expect(Buffer.compare(data, expected)).toBe(0);
}

describe("QEMU's vhost-user-blk-test", () => {
  test('basic: neither INDIRECT nor EVENT_IDX; write, read, write-zeroes, discard', async () => {
    const [socket] = await startVhostUserBlk(1, 1);
    const withoutFeatures = [VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX];
    const frontEnd = await connect(socket!, { eventIdx: false, withoutFeatures });
    const { queue, features } = frontEnd;
    const config = new DataView((await frontEnd.config()).buffer);
    expect(config.getBigUint64(virtioBlkConfig.at.capacity, true)).toBe(131072n);
    await queue.mustRun(blk.write(0, TEST_SECTOR));
    await reads(queue, 0, TEST_SECTOR);

    expect(hasFeature(features, VIRTIO_BLK_F_WRITE_ZEROES)).toBe(true);
    const one = { sector: 0, sectors: 1 };
    expect(await statusOf(queue, VIRTIO_BLK_T_WRITE_ZEROES, one)).toBe(VIRTIO_BLK_S_OK);
    await reads(queue, 0, SECTOR);
    await refusesInvalid(queue, VIRTIO_BLK_T_WRITE_ZEROES);

    expect(hasFeature(features, VIRTIO_BLK_F_DISCARD)).toBe(true);
    expect(await statusOf(queue, VIRTIO_BLK_T_DISCARD, one)).toBe(VIRTIO_BLK_S_OK);
    await refusesInvalid(queue, VIRTIO_BLK_T_DISCARD);

    // VIRTIO_F_ANY_LAYOUT: header and data in one descriptor, then data and status.
    await queue.mustRun(blk.write(1, TEST_SECTOR, { readableCuts: [] }));
    const together = { writableCuts: [] };
    const data = await queue.mustRun(blk.read(1, SECTOR_SIZE, together));
    expect(Buffer.compare(data, TEST_SECTOR)).toBe(0);
    await quit();
  });

  test('indirect: a request is a table of two descriptors', async () => {
    const [socket] = await startVhostUserBlk(1, 1);
    const withoutFeatures = [VIRTIO_RING_F_EVENT_IDX];
    const { queue, features, shared } = await connect(socket!, {
      eventIdx: false,
      withoutFeatures,
    });
    expect(hasFeature(features, VIRTIO_RING_F_INDIRECT_DESC)).toBe(true);
    const at = shared.regions[0]!.guestAddress + 1024 * 1024;
    const write = placeRequest(shared.ram, at, blk.write(0, TEST_SECTOR, { readableCuts: [] }));
    const read = placeRequest(
      shared.ram,
      at + 8192,
      blk.read(0, SECTOR_SIZE, { writableCuts: [] }),
    );
    for (const request of [write, read]) {
      queue.offerPlaced(request, undefined, { indirectAt: at + 4096 });
      queue.kick();
      await queue.drained();
      expect(request.buffers).toHaveLength(2);
      expect(request.status).toBe(VIRTIO_BLK_S_OK);
    }
    expect(Buffer.compare(read.dataIn, TEST_SECTOR)).toBe(0);
    await quit();
  });

  test('idx: one call for two requests when the driver asks for it after the third', async () => {
    const [socket] = await startVhostUserBlk(1, 1);
    const { queue } = await connect(socket!, {});
    const { driver, callFd } = queue;
    // As libvhost-user, vloop calls when it is given the call fd.
    await eventually('call of SET_VRING_CALL', 5000, () => drainEventfd(callFd) > 0 || undefined);
    await queue.mustRun(blk.write(0, TEST_SECTOR));
    await eventually('call for the first', 5000, () => drainEventfd(callFd) > 0 || undefined);

    driver.rawUsedEvent(2);
    const second = queue.offer(blk.write(1, TEST_SECTOR));
    queue.kick();
    await eventually('second answer', 5000, () => driver.usedIdx === 2 || undefined);
    expect(second.request.status).toBe(VIRTIO_BLK_S_OK);
    expect(drainEventfd(callFd)).toBeLessThanOrEqual(0);
    const third = queue.offer(blk.read(1, SECTOR_SIZE));
    queue.kick();
    await eventually('call for the third', 5000, () => drainEventfd(callFd) > 0 || undefined);
    expect(queue.collect()).toEqual([second, third]);
    expect(Buffer.compare(third.request.dataIn, TEST_SECTOR)).toBe(0);
    await quit();
  });

  test('hotplug and multiqueue: a second export in the same process, with eight queues', async () => {
    const [first, second] = await startVhostUserBlk(2, 8);
    const primary = await connect(first!, {});
    const secondary = await connect(second!, { queueCount: 8 });
    const config = new DataView((await secondary.config()).buffer);
    expect(config.getUint16(virtioBlkConfig.at.num_queues, true)).toBe(8);
    await primary.queue.mustRun(blk.write(0, TEST_SECTOR));
    for (const queue of secondary.queues) await reads(queue, 0, SECTOR);
    // Unplugged and plugged again.
    secondary.close();
    const again = await connect(second!, { queueCount: 8 });
    for (const queue of again.queues) await reads(queue, 0, SECTOR);
    await quit();
    const image = readFileSync(join(directory, 'qtest.0')).subarray(0, SECTOR_SIZE);
    expect(Buffer.compare(image, TEST_SECTOR)).toBe(0);
  });

  test('quit before anybody has connected', async () => {
    await startVhostUserBlk(2, 1);
    await quit();
  });
});

describe('the wrapper', () => {
  const node = () => `driver=file,node-name=f0,filename=${newImage('d.img')}`;

  test('qemu-examples/qemu-storage-daemon serves at a unix socket and ends with status 0', async () => {
    const socket = join(directory, 's');
    const exported = `type=vhost-user-blk,id=e0,node-name=f0,addr.type=unix,addr.path=${socket},writable=on,logical-block-size=4096`;
    const wrapper = new BoundedProcess([WRAPPER, '--blockdev', node(), '--export', exported]);
    try {
      await eventually(
        () => `"serving" from the wrapper: ${wrapper.output}`,
        10_000,
        () => wrapper.output.includes('"serving"') || undefined,
      );
      const { queue } = await connect(socket, {});
      await queue.mustRun(blk.write(0, new Uint8Array(4096).fill(7)));
      process.kill(wrapper.pid, 'SIGTERM');
      expect(await wrapper.within(10_000)).toMatchObject({ status: 0, signal: null });
      expect(readFileSync(join(directory, 'd.img'))[4095]).toBe(7);
    } finally {
      await wrapper.kill();
    }
  });

  test('what it does not know is refused with one line and status 2', async () => {
    const refused = await VloopProcess.run(['qsd', '--blockdev', node(), '--daemonize']);
    expect([refused.status, refused.stdout]).toEqual([2, '']);
    expect(refused.stderr).toBe(
      'vloop: vloop qsd takes --blockdev and --export, not "--daemonize"\n',
    );
  });

  test('a file that is not there: one line and status 1', async () => {
    const { status, stderr } = await VloopProcess.run([
      ...['qsd', '--blockdev', 'driver=file,node-name=f0,filename=/no/such/image'],
      ...[
        '--export',
        `type=vhost-user-blk,id=e,node-name=f0,addr.type=unix,addr.path=${directory}/s`,
      ],
    ]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^vloop: [^\n]*no such file[^\n]*\n$/);
  });
});
