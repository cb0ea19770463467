/**
 * Settings and the file of a disk that change under a load that knows every byte: what is right before, during and
 * after, on every engine; and refusals, each of which leaves everything as it was.
 */
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR } from '../../protocol/virtio-blk.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk, type ServedDiskOptions } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
const DISK = { disk: 'd' };
let disk: ServedDisk;
let rpc: RpcClient;
const stops: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await disk.close();
});

async function serve(args: string[], options: ServedDiskOptions = {}): Promise<void> {
  disk = new ServedDisk({ content: noise(16 * MIB, 1), ...options });
  await disk.startVloop([`--control=${disk.directory}/ctl`, '--name=d', ...args]);
  rpc = disk.own(await RpcClient.connect(`${disk.directory}/ctl`));
}

interface Loaded {
  readonly frontEnd: MockFrontEnd;
  readonly load: VerifiedLoad;
  /** Waits for answers to requests that were made after now. */
  moreAnswers(): Promise<void>;
  end(): Promise<void>;
}

async function loaded(model = disk.imageBytes()): Promise<Loaded> {
  const frontEnd = await disk.connect({ queueCount: 2, moreRegions: [loadRegion(2)] });
  const load = new VerifiedLoad(frontEnd, new Uint8Array(model));
  let stopped = false;
  const running = load.runUntil(() => stopped);
  running.catch(() => {});
  // A test that fails leaves a load that must not go on in memory that is unmapped.
  stops.push(async () => {
    stopped = true;
    await running.catch(() => {});
  });
  return {
    frontEnd,
    load,
    async moreAnswers() {
      const before = load.answered;
      await Promise.race([
        running,
        eventually('answers', 20_000, () => load.answered > before + 100 || undefined),
      ]);
    },
    async end() {
      stopped = true;
      await running;
      await Promise.all(frontEnd.queues.map((queue) => queue.drained()));
    },
  };
}

/** What a refusal must not change: requests come and go meanwhile. */
async function settings() {
  const { in_flight: _, ...rest } = await rpc.call('disk_get_status', DISK);
  return rest;
}

/** Runs into a refusal, after which the disk is what it was. */
async function refused(method: string, params: object, code: string, words: RegExp): Promise<void> {
  const [before, fds] = [await settings(), disk.vloop.openFds()];
  const error: unknown = await rpc.callAny(method, { ...DISK, ...params }).catch((e: unknown) => e);
  expect(error).toMatchObject({ code, message: expect.stringMatching(words) });
  expect(await settings()).toEqual(before);
  expect(disk.vloop.openFds()).toBe(fds);
}

describe.each([
  ['io_uring', []],
  ['threads', []],
  ['io_uring', ['--io-path=calls']],
  ['io_uring', ['--io-path=engine', '--direct-io=off']],
])('--aio=%s %j', (engine, more) => {
  test('direct I/O back and forth, and the file swapped for its copy: every byte is right', async () => {
    await serve([`--aio=${engine}`, '--num-queues=2', '--workers=2', ...more]);
    const { load, moreAnswers, end } = await loaded();
    for (const direct_io of [false, true, false, true]) {
      await moreAnswers();
      const now = await rpc.call('disk_set_direct_io', { ...DISK, direct_io });
      expect(now).toMatchObject({ direct_io });
    }
    await moreAnswers();
    const copy = `${disk.directory}/copy.img`;
    await rpc.call('disk_quiesce', DISK);
    copyFileSync(disk.image, copy);
    const old = disk.imageBytes();
    const moved = await rpc.call('disk_change_file', { ...DISK, file: copy, quiesced: true });
    expect(moved).toMatchObject({ back_file: copy, quiesced: true, direct_io: true });
    await rpc.call('disk_resume', DISK);
    await moreAnswers();
    await end();
    expect(Buffer.compare(disk.imageBytes(), old), 'the old file').toBe(0);
    expect(load.difference(readFileSync(copy))).toBeNull();
  });
});

test('Linux AIO: the file is swapped; what would make it buffered is refused', async () => {
  await serve(['--aio=native', '--direct-io=on', '--num-queues=2', '--workers=2']);
  const { load, moreAnswers, end } = await loaded();
  await moreAnswers();
  await refused(
    'disk_set_direct_io',
    { direct_io: false },
    'EINVAL',
    /asynchronous for direct I\/O/,
  );
  const copy = `${disk.directory}/copy.img`;
  await rpc.call('disk_quiesce', DISK);
  copyFileSync(disk.image, copy);
  await rpc.call('disk_change_file', { ...DISK, file: copy, quiesced: true });
  await rpc.call('disk_resume', DISK);
  await moreAnswers();
  await end();
  expect(load.difference(readFileSync(copy))).toBeNull();
});

test('a read-only disk changes its file without standing still for its user, and leaves no descriptor', async () => {
  await serve(['--read-only']);
  const frontEnd = await disk.connect();
  const copy = `${disk.directory}/copy.img`;
  writeFileSync(copy, noise(16 * MIB, 2));
  const reads = async (seed: number) => {
    const whole = noise(16 * MIB, seed);
    for (const sector of [0, 1000, 32_000]) {
      const dataIn = await frontEnd.queue.mustRun(blk.read(sector, 4096));
      expect(Buffer.compare(dataIn, whole.subarray(sector * 512, sector * 512 + 4096))).toBe(0);
    }
  };
  await reads(1);
  const fds = disk.vloop.openFds();
  await rpc.call('disk_change_file', { ...DISK, file: copy });
  await reads(2);
  await rpc.call('disk_change_file', { ...DISK, file: disk.image });
  await reads(1);
  expect(disk.vloop.openFds()).toBe(fds);
});

test('the lock goes with the file: the old one is free, the new one is not', async () => {
  await serve([]);
  const copy = `${disk.directory}/copy.img`;
  copyFileSync(disk.image, copy);
  const second = { args: [`--blk-file=${disk.image}`, `--socket-path=${disk.directory}/s2`] };
  await rpc.call('disk_change_file', { ...DISK, file: copy, quiesced: true });
  const other = await VloopProcess.serving(second);
  try {
    await refused('disk_change_file', { file: disk.image, quiesced: true }, 'EBUSY', /locked/);
    const late = await VloopProcess.run([
      `--blk-file=${copy}`,
      `--socket-path=${disk.directory}/s3`,
    ]);
    expect([late.status, late.stderr]).toEqual([1, expect.stringMatching(/locked/)]);
  } finally {
    await other.kill();
  }
});

describe('refused, and nothing has changed:', () => {
  test('another file', async () => {
    await serve([]);
    const { queue } = await loadedOnce();
    const small = `${disk.directory}/small.img`;
    const same = `${disk.directory}/same.img`;
    writeFileSync(small, noise(MIB, 3));
    writeFileSync(same, noise(16 * MIB, 3));
    const change = 'disk_change_file';
    await refused(change, { file: same }, 'EINVAL', /writable/);
    await refused(
      change,
      { file: small, quiesced: true },
      'EINVAL',
      /1048576 bytes, expected 16777216/,
    );
    await refused(change, { file: disk.image, quiesced: true }, 'EBUSY', /has already/);
    await refused(change, { file: `${same}x`, quiesced: true }, 'ENOENT', /no such file/);
    await refused(change, { file: disk.directory, quiesced: true }, 'EINVAL', /directory/);
    const kept = await queue.mustRun(blk.read(8, 4096));
    expect(Buffer.compare(kept, noise(4096, 7))).toBe(0);
    const now = await rpc.call(change, { ...DISK, file: small, quiesced: true, resize: true });
    expect(now).toMatchObject({ size: MIB, back_file: small });
  });

  test('settings', async () => {
    await serve(['--direct-io=on']);
    const frontEnd = await loadedOnce();
    const set = 'disk_set_status';
    await refused(set, { offset: 16 * MIB }, 'EINVAL', /at least one block of 512 from offset/);
    await refused(set, { offset: 100 }, 'EINVAL', /the offset is not a multiple/);
    await refused(set, { offset: MIB, read_only: true }, 'EINVAL', /writable/);
    await refused(set, { block_size: 4096 }, 'EBUSY', /front-end is connected/);
    await refused(
      set,
      { size_limit: 100 },
      'EINVAL',
      /at least one block of 512 within size_limit/,
    );
    await refused('disk_set_block_size', { block_size: 4096 }, 'EBUSY', /front-end is connected/);
    const answer = await frontEnd.queue.run(blk.read(32_768 - 8, 4096));
    expect(answer.status).toBe(0);
  });

  test('a disk in memory', async () => {
    disk = new ServedDisk();
    const args = ['--memory=1M', `--socket-path=${disk.socket}`, '--name=d'];
    await disk.startVloop([], { args: [...args, `--control=${disk.directory}/ctl`] });
    rpc = disk.own(await RpcClient.connect(`${disk.directory}/ctl`));
    await refused('disk_set_status', { offset: 512 }, 'EINVAL', /in memory/);
    await refused('disk_change_file', { file: disk.image }, 'EINVAL', /in memory/);
  });

  test('a file without direct I/O', async () => {
    const parent = mkdtempSync('/dev/shm/vloop-test-');
    try {
      await serve([], { parent });
      await refused('disk_set_direct_io', { direct_io: true }, 'EINVAL', /in memory \(tmpfs\)/);
    } finally {
      await disk.close();
      rmSync(parent, { recursive: true });
    }
  });
});

async function loadedOnce(): Promise<MockFrontEnd> {
  const frontEnd = await disk.connect();
  await frontEnd.queue.mustRun(blk.write(8, noise(4096, 7)));
  return frontEnd;
}

test('offset and size limit: other bytes from the next request on, and the guest sees the size', async () => {
  await serve(['--offset=1M', '--size-limit=4M']);
  const frontEnd = await disk.connect();
  const at = async (byte: number) => {
    const dataIn = await frontEnd.queue.mustRun(blk.read(0, 4096));
    expect(Buffer.compare(dataIn, noise(16 * MIB, 1).subarray(byte, byte + 4096))).toBe(0);
  };
  await at(MIB);
  expect(await settings()).toMatchObject({ offset: MIB, size_limit: 4 * MIB, size: 4 * MIB });
  const past = await frontEnd.queue.run(blk.read((4 * MIB) / 512, 512));
  expect(past.status).toBe(VIRTIO_BLK_S_IOERR);
  const now = await rpc.call('disk_set_status', { ...DISK, offset: 2 * MIB, size_limit: 0 });
  expect(now).toMatchObject({ offset: 2 * MIB, size: 14 * MIB });
  await at(2 * MIB);
  await frontEnd.queue.mustRun(blk.write((13 * MIB) / 512, noise(512, 5)));
  expect(disk.imageBytes().subarray(15 * MIB, 15 * MIB + 512)).toEqual(Buffer.from(noise(512, 5)));
  // An offset that direct I/O cannot have: buffered from then on, and the status says why.
  const odd = await rpc.call('disk_set_status', { ...DISK, offset: 512 * 3 + 100 });
  expect(odd).toMatchObject({ direct_io: false });
  await at(512 * 3 + 100);
});

test('direct I/O is left to vloop again: status, configuration and the next process have it so', async () => {
  disk = new ServedDisk({ content: noise(16 * MIB, 1) });
  await disk.startVloop(['--name=d']);
  const own = async () =>
    disk.own(await RpcClient.connect(`${process.env['VLOOP_RUN_DIR']}/${disk.vloop.pid}.ctl`));
  rpc = await own();
  const set = (...words: string[]) => VloopProcess.run(['set', 'd', ...words]);
  const frontEnd = await loadedOnce();
  for (const [word, direct_io] of [
    ['off', false],
    ['auto', true],
    ['on', true],
    ['auto', true],
  ] as const) {
    const { status, stderr } = await set(`--direct-io=${word}`);
    expect([status, stderr]).toEqual([0, '']);
    expect(await settings()).toMatchObject({ direct_io, direct_io_setting: word });
    const { direct_io: saved } = await rpc.call('disk_get_config', DISK);
    expect(saved ?? 'auto').toBe(word);
    expect(Buffer.compare(await frontEnd.queue.mustRun(blk.read(8, 4096)), noise(4096, 7))).toBe(0);
  }
  const wrong = await set('--direct-io=perhaps');
  const words = 'vloop: --direct-io=perhaps: expected one of on, off, auto\n';
  expect([wrong.status, wrong.stderr]).toEqual([2, words]);
  // Nobody insists: an offset that direct I/O cannot have is taken.
  const odd = await rpc.call('disk_set_status', { ...DISK, offset: 100 });
  expect(odd).toMatchObject({ direct_io: false, direct_io_setting: 'auto' });
  await disk.vloop.upgrade();
  rpc = await eventually('the new process at its socket', 15_000, () =>
    own().catch(() => undefined),
  );
  const after = await rpc.call('disk_set_status', { ...DISK, offset: 0 });
  expect(after).toMatchObject({ direct_io: true, direct_io_setting: 'auto' });
});

test('block size between two front-ends', async () => {
  await serve([]);
  (await disk.connect()).close();
  await disk.vloop.logged('front-end disconnected');
  const now = await rpc.call('disk_set_block_size', { ...DISK, block_size: 4096 });
  expect(now).toMatchObject({ block_size: 4096 });
  await disk.vloop.upgrade();
  const frontEnd = await disk.connect();
  const config = await frontEnd.config();
  expect(new DataView(config.buffer, config.byteOffset).getUint32(20, true)).toBe(4096);
  expect((await frontEnd.queue.run(blk.read(1, 512))).status).toBe(VIRTIO_BLK_S_IOERR);
  await frontEnd.queue.mustRun(blk.read(8, 4096));
});

test('autoclear, set and cleared', async () => {
  await serve(['--autoclear']);
  const frontEnd = await disk.connect();
  expect(await settings()).toMatchObject({ autoclear: true });
  await rpc.call('disk_set_status', { ...DISK, autoclear: false });
  frontEnd.close();
  await disk.vloop.logged('front-end disconnected');
  const second = await disk.connect();
  await second.queue.mustRun(blk.read(0, 512));
  await rpc.call('disk_set_status', { ...DISK, autoclear: true });
  second.close();
  expect(await disk.vloop.ended).toMatchObject({ status: 0 });
});

test('another process that takes over has what was changed', async () => {
  await serve(['--num-queues=2']);
  const copy = `${disk.directory}/copy.img`;
  copyFileSync(disk.image, copy);
  truncateSync(copy, 32 * MIB);
  const params = { ...DISK, file: copy, quiesced: true, resize: true };
  await rpc.call('disk_change_file', params);
  await rpc.call('disk_set_status', {
    ...DISK,
    direct_io: false,
    autoclear: true,
  });
  await rpc.call('disk_set_status', { ...DISK, offset: 4096, size_limit: 16 * MIB });
  const before = await settings();
  const model = readFileSync(copy).subarray(4096, 4096 + 16 * MIB);
  const { load, moreAnswers, end } = await loaded(model).catch(async (error: unknown) => {
    throw new Error(disk.vloop.stderr, { cause: error });
  });
  await disk.vloop.upgrade();
  await moreAnswers();
  rpc = await eventually('the new process at the control socket', 15_000, async () => {
    return await RpcClient.connect(`${disk.directory}/ctl`).catch(() => undefined);
  });
  disk.own(rpc);
  const after = await settings();
  const { features: _, pid: __, connections: ___, connected: ____, ...rest } = before;
  expect(after).toMatchObject(rest);
  await end();
  expect(load.difference(readFileSync(copy).subarray(4096, 4096 + 16 * MIB))).toBeNull();
});
