/**
 * Every engine on every kind of file by every path: the same load, each byte compared with a model, with
 * both cache modes, then SIGTERM under load; and the log says what was chosen and why.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';

const QUEUES = 4;
const DISK_BYTES = 8 * 2 ** 20;
/** Requests on each queue, in each cache mode. */
const WRITEBACK_REQUESTS = 200;
const WRITETHROUGH_REQUESTS = 30;
const LOAD_BEFORE_END = 300;

const FILES = {
  direct: { args: ['--direct-io=on'] },
  buffered: { args: ['--direct-io=off'] },
  tmpfs: { args: [], parent: '/dev/shm' },
} as const;
type FileKind = keyof typeof FILES;

const AUTO_PATH: Readonly<Record<FileKind, readonly [path: string, reason: RegExp]>> = {
  direct: ['engine', /^direct I\/O waits for the device$/],
  buffered: ['writes', /^writes into the page cache are calls while they are quick/],
  tmpfs: ['calls', /^the file is in memory/],
};

/** With io_uring all paths; with other engines those that are different code: not what `auto` is anyway. */
const CASES = [
  ['io_uring', 'direct', ['auto', 'engine', 'calls']],
  ['io_uring', 'buffered', ['auto', 'engine', 'calls']],
  ['io_uring', 'tmpfs', ['auto', 'engine', 'calls']],
  ['native', 'direct', ['auto']],
  ['threads', 'direct', ['auto']],
  ['threads', 'buffered', ['auto', 'engine']],
  ['threads', 'tmpfs', ['auto', 'engine']],
] as const;

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

function frontEndOn(served: ServedDisk): Promise<MockFrontEnd> {
  return served.connect({
    queueCount: QUEUES,
    queueSize: 256,
    placeCount: 1,
    moreRegions: [loadRegion(QUEUES)],
  });
}

describe.each(CASES)('--aio=%s, %s', (aio, kind, paths) => {
  test.each(paths)('--io-path=%s', async (requestedPath) => {
    const file = FILES[kind];
    const args = [`--aio=${aio}`, `--io-path=${requestedPath}`, ...file.args];
    const content = noise(DISK_BYTES, 42);
    disk = new ServedDisk({ content, ...file });
    await disk.startVloop([...args, '--workers=2', `--num-queues=${QUEUES}`]);
    const [path, pathReason] =
      requestedPath === 'auto'
        ? AUTO_PATH[kind]
        : [requestedPath, new RegExp(`^asked for by --io-path=${requestedPath}$`)];
    expect(disk.vloop.log('serving')[0]).toMatchObject({
      engine: aio,
      engineReason: `asked for by --aio=${aio}`,
      ioPath: path,
      ioPathReason: expect.stringMatching(pathReason),
      directIo: kind === 'direct',
      workers: 2,
    });

    const frontEnd = await frontEndOn(disk);
    // Half of the drivers poll, half sleep until they are called.
    for (const queue of frontEnd.queues) queue.byCalls = queue.index % 2 === 1;
    const load = new VerifiedLoad(frontEnd, content);
    await load.run(WRITEBACK_REQUESTS);
    expect(load.difference(disk.imageBytes())).toBe(null);
    await frontEnd.setWriteback(0);
    await load.run(WRITETHROUGH_REQUESTS);
    await frontEnd.setWriteback(1);

    let ended = false;
    const before = load.answered;
    const underLoad = load.runUntil(() => ended);
    while (load.answered < before + LOAD_BEFORE_END) {
      await Promise.race([underLoad, new Promise((resolve) => setTimeout(resolve, 1))]);
    }
    const { status, tookMs } = await disk.stopVloop().finally(() => {
      ended = true;
    });
    await underLoad;
    expect(status, disk.vloop.stderr).toBe(0);
    expect(tookMs).toBeLessThan(1000);
    expect(load.difference(disk.imageBytes())).toBe(null);
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, guestViolations: 0 });
    expect(disk.vloop.log('the backing file failed')).toEqual([]);
  });
});

test('--aio=auto takes io_uring where it is there, and says so', async () => {
  disk = await ServedDisk.serve({ args: ['--direct-io=off'] });
  expect(disk.vloop.log('serving')[0]).toMatchObject({
    engine: 'io_uring',
    engineReason: 'the kernel has it',
    ioPath: 'writes',
  });
});
