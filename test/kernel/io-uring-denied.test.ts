/**
 * vloop where io_uring is forbidden, as container runtimes do: it takes what else the kernel has, says
 * which and why, and serves the same data; what cannot be had is refused in a line.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { EPERM } from '../../protocol/linux.ts';
import { IoUringDenier } from '../support/deny-io-uring.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const QUEUES = 2;
const DISK_BYTES = 4 * 2 ** 20;
const REQUESTS = 150;
const TIMEOUT_MS = 30_000;
const WHY = /^io_uring is forbidden here \(EPERM: seccomp/;

const compiled = IoUringDenier.compile();
const skipped = typeof compiled === 'string';
if (skipped) process.stdout.write(`skipped: io_uring denied: ${compiled}\n`);

describe.skipIf(skipped)('where io_uring is forbidden', () => {
  const through = skipped ? [] : [compiled.program];
  let disk: ServedDisk;

  afterEach(async () => {
    await disk?.close();
  });

  afterAll(() => {
    if (!skipped) compiled.remove();
  });

  test('the negative control: the same call works without the filter and is EPERM under it', () => {
    const url = new URL('../../src/sys/io-uring.ts', import.meta.url);
    const script = `import { probeRing } from ${JSON.stringify(url.href)}; process.stdout.write(String(probeRing()));`;
    const node = [process.execPath, '--input-type=module', '--eval', script];
    const probe = (argv: readonly string[]) =>
      execFileSync(argv[0]!, argv.slice(1), { encoding: 'utf8', timeout: TIMEOUT_MS });
    expect(probe(node)).toBe('0');
    expect(probe([...through, ...node])).toBe(String(-EPERM));
  });

  test.each([
    ['direct', ['--direct-io=on'], 'native', /; direct I\/O is asynchronous here too$/, 'engine'],
    [
      'buffered',
      ['--direct-io=off', '--io-path=engine'],
      'threads',
      /; buffered I\/O is not asynchronous without it$/,
      'engine',
    ],
    [
      'buffered',
      ['--direct-io=off'],
      'threads',
      /; buffered I\/O is not asynchronous without it$/,
      'writes',
    ],
  ])('a %s file is served: %j takes %s', async (kind, args, engine, reason, ioPath) => {
    const content = noise(DISK_BYTES, 7);
    disk = new ServedDisk({ content });
    await disk.startVloop([...args, '--workers=2', `--num-queues=${QUEUES}`], { through });
    const [serving] = disk.vloop.log('serving');
    expect(serving).toMatchObject({ engine, ioPath, directIo: kind === 'direct' });
    expect(serving!['engineReason']).toMatch(WHY);
    expect(serving!['engineReason']).toMatch(reason);

    const moreRegions = [loadRegion(QUEUES)];
    const shape = { queueCount: QUEUES, queueSize: 256, placeCount: 1, moreRegions };
    const load = new VerifiedLoad(await disk.connect(shape), content);
    await load.run(REQUESTS);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(load.difference(disk.imageBytes())).toBe(null);
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, guestViolations: 0 });
  });

  test('the friendly form says it, too', async () => {
    disk = new ServedDisk();
    const args = ['serve', disk.image, `--socket-path=${disk.socket}`, '--direct-io=off'];
    const vloop = await VloopProcess.serving({ args, through });
    try {
      const engine = () => /^engine .*$/m.exec(vloop.stdout)?.[0];
      const line = await eventually('line about the engine', 5000, engine);
      expect(line).toMatch(/^engine {2}threads: io_uring is forbidden here \(EPERM/);
    } finally {
      await vloop.kill();
    }
  });

  test.each(['on', 'off'])('--aio=io_uring is refused, --direct-io=%s', async (direct) => {
    disk = new ServedDisk();
    const vloop = new VloopProcess({
      args: [
        `--blk-file=${disk.image}`,
        `--socket-path=${disk.socket}`,
        `--direct-io=${direct}`,
        '--aio=io_uring',
      ],
      through,
    });
    const { status } = await vloop.end(null);
    expect([status, vloop.stdout]).toEqual([1, '']);
    expect(vloop.stderr).toMatch(
      /^vloop: --aio=io_uring: io_uring is forbidden here \(EPERM: seccomp[^\n]*\)\n$/,
    );
  });

  const aioToo = () => [...through, '--aio-too'];

  test('Linux AIO forbidden as well: threads serve a direct file', async () => {
    disk = new ServedDisk();
    await disk.startVloop(['--direct-io=on'], { through: aioToo() });
    const { engine, engineReason } = disk.vloop.log('serving')[0]!;
    expect(engine).toBe('threads');
    expect(engineReason).toMatch(/^io_uring is forbidden here .*; Linux AIO is not .* \(EPERM\)$/);
    const queue = (await disk.connect()).queues[0]!;
    const data = new Uint8Array(4096).fill(7);
    await queue.mustRun(blk.write(8, data));
    expect(await queue.mustRun(blk.read(8, 4096))).toEqual(data);
  });

  test('a worker that cannot start: one line, and no socket is left', async () => {
    disk = new ServedDisk();
    const conventions = [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}`];
    const args = [...conventions, '--direct-io=on', '--aio=native'];
    const vloop = new VloopProcess({ args, through: aioToo() });
    const { status } = await vloop.end(null);
    expect([status, vloop.stdout]).toEqual([1, '']);
    expect(vloop.stderr).toBe('vloop: Linux AIO is not available: EPERM from io_setup\n');
    expect(existsSync(disk.socket)).toBe(false);
  });
});
