/**
 * fs-tests as a user and a CI run it: the short packaged suite is green and leaves results and nothing else; a back-end that loses
 * writes, dies, or a run that is interrupted gives the exit status that CI trusts, and is cleaned up.
 */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mustRun } from '../support/bounded-process.ts';
import {
  EXAMPLES,
  FsTestsRun,
  NODE,
  RUN_TIMEOUT_MS,
  requireDebianKernel,
  requireFsTestsImage,
} from '../support/fs-tests-run.ts';
import { skipWith } from '../support/guest-requires.ts';

const image = await requireFsTestsImage();
const kernel = 'kernel' in image ? image.kernel : '';

const debian = 'kernel' in image ? await requireDebianKernel() : image;
const given = 'modules' in debian ? debian : { kernel: '', modules: '' };

describe.skipIf('reason' in debian)('fs-tests', () => {
  let fsTests: FsTestsRun;

  beforeEach(() => {
    fsTests = new FsTestsRun();
  });

  afterEach(() => fsTests.close());

  test('the short packaged suite by the recipe for CI, on a kernel with modules, is green', async () => {
    const environment = {
      ...{ NPM_CI: 'true', RESULTS: fsTests.results, FURTHER: '--guests=1 --memory-mib=1024' },
      ...{ KERNEL: given.kernel, MODULES: given.modules, PACKAGED: '--group=quick --fs=btrfs' },
    };
    const { status, stdout, stderr } = await fsTests
      .startCommand([
        ...[
          'env',
          'VLOOP=',
          ...Object.entries(environment).map(([key, value]) => `${key}=${value}`),
        ],
        ...['sh', join(EXAMPLES, 'recipes/fs-tests-ci.sh')],
      ])
      .within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(0);
    const folder = join(fsTests.results, 'packaged');
    const results = fsTests.resultList(folder);
    expect(results.map(({ verdict }) => verdict)).toEqual(Array(6).fill('pass'));
    // The counters are those of the disks: fio's 64 MiB went over the scratch disk and came back.
    const { scratch } = results[0]!.counters;
    expect(scratch!.sectorsWritten * 512).toBeGreaterThanOrEqual(60 * 2 ** 20);
    expect(scratch!.sectorsRead * 512).toBeGreaterThanOrEqual(60 * 2 ** 20);
    expect(readFileSync(join(folder, 'junit.xml'), 'utf8')).toContain('failures="0"');
    expect(stdout).toContain('packaged on block, vloop: 4 tests: 4 pass');
    expect(stdout).toContain(`: Linux ${basename(given.kernel).replace('vmlinuz-', '')} is up`);
    const guest = join(folder, 'guests', results[0]!.guest);
    expect(readFileSync(join(guest, 'vloop-scratch.log'), 'utf8')).toContain('"msg":"summary"');
    await fsTests.expectNothingLeft();
  });

  test('a back-end that loses writes is red', async () => {
    // What vloop writes to the first 200 MiB is gone a moment later, as if it never had.
    const forgetful = join(fsTests.folder, 'forgetful.sh');
    writeFileSync(
      forgetful,
      '#!/bin/bash\n(while sleep 0.2 && [ -e "$2" ]; do fallocate -p -o 0 -l 200M "$2"; done) &\n' +
        `exec ${NODE} ${join(EXAMPLES, '../src/cli/vloop.js')} "$@"\n`,
    );
    chmodSync(forgetful, 0o755);
    const { status, stdout } = await fsTests
      .start(['--fs=ext4', 'badblocks'], forgetful)
      .within(RUN_TIMEOUT_MS);
    expect(status, stdout).toBe(1);
    expect(fsTests.resultList()).toMatchObject([{ name: 'badblocks', verdict: 'fail' }]);
    expect(readFileSync(join(fsTests.results, 'junit.xml'), 'utf8')).toContain('<failure');
    await fsTests.expectNothingLeft();
  });

  test('a back-end that dies is a result, the next test runs; Ctrl-C ends all of it', async () => {
    const interrupted = fsTests.start([
      '--fs=ext4',
      'badblocks',
      'discard-holes',
      'fio-verify',
      'dbench',
    ]);
    await fsTests.said('[1/');
    process.kill(fsTests.vloopOf('guest-1.1-vloop', 'scratch'), 'SIGKILL');
    await fsTests.said('[3/');
    process.kill(interrupted.pid, 'SIGINT');
    const { status, stdout } = await interrupted.within(20_000);
    expect(status).toBe(130);
    const verdicts = fsTests.resultList().map(({ verdict }) => verdict);
    expect(
      verdicts.filter((verdict) => verdict === 'back-end death'),
      stdout,
    ).toHaveLength(1);
    expect(verdicts.filter((verdict) => verdict === 'pass')).toHaveLength(2);
    expect(stdout).toMatch(/back-end death: vloop of scratch ended with SIGKILL/);
    await fsTests.expectNothingLeft();
  });

  test('a signal that comes twice, as timeout(1) sends it, still reports and cleans up', async () => {
    const silent = join(fsTests.folder, 'silent-qemu.sh');
    writeFileSync(silent, '#!/bin/sh\n[ "$1" = --version ] || exec sleep 1000\n');
    chmodSync(silent, 0o755);
    const waiting = fsTests.start([`--qemu=${silent}`, 'badblocks']);
    await fsTests.said('1 tests, 1 guest');
    process.kill(waiting.pid, 'SIGTERM');
    process.kill(waiting.pid, 'SIGTERM');
    const { status } = await waiting.within(30_000);
    expect(status).toBe(143);
    expect(fsTests.resultList()).toEqual([]);
    await fsTests.expectNothingLeft();
  });

  describe.skipIf(
    skipWith('a full host disk', process.getuid?.() === 0 ? null : 'a small disk needs a mount'),
  )('a host disk', () => {
    /** On a tmpfs of so many MiB, in a mount namespace of its own; seen from outside through /proc. */
    const onSmallDisk = (sizeMib: number, test: string) => {
      const small = join(fsTests.folder, 'small');
      const run = fsTests.startCommand([
        ...['unshare', '--mount', 'sh', '-c'],
        `mkdir "$0" && mount -t tmpfs -o size=${sizeMib}m none "$0" && TMPDIR=$0 exec "$@"`,
        ...[small, NODE, join(EXAMPLES, 'fs-tests.ts'), `--output=${fsTests.results}`],
        ...['--guests=1', '--memory-mib=1024', '--timeout=20', test],
      ]);
      return { run, seen: `/proc/${run.pid}/root${small}` };
    };

    test('that is full at the start is one clear line', async () => {
      const { status, stderr } = await onSmallDisk(300, 'badblocks').run.within(60_000);
      expect(status, stderr).toBe(3);
      expect(stderr.trimEnd()).toMatch(/has \d+ MiB free, the disks need more to grow$/);
    });

    test('that runs full under a test is one clear line, and no failed test', async () => {
      const { run, seen } = onSmallDisk(560, 'discard-holes');
      await fsTests.said('guest-1.1-vloop: Linux ');
      const { bavail, bsize } = statfsSync(seen);
      await mustRun(['fallocate', '-l', `${bavail * bsize}`, join(seen, 'rest')], 30_000);
      const { status, stdout, stderr } = await run.within(RUN_TIMEOUT_MS);
      expect(status, `${stdout}${stderr}`).toBe(3);
      expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
        /small\/vloop-fs-\w+ was full while block discard-holes ran, which therefore does not count$/,
      );
      expect(fsTests.resultList()).toEqual([]);
    });
  });

  test('a kernel without the drivers built in is one clear line', async () => {
    // Debian's has virtio-blk as a module, and a kernel of the user's is booted without modules.
    const { status, stdout, stderr } = await fsTests
      .start([`--kernel=${kernel}`, 'badblocks'])
      .within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(2);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/--kernel=.*virtio-blk or ext4 is not/);
    await fsTests.expectNothingLeft();
  });

  test.skipIf(
    skipWith('a missing tool', process.getuid?.() === 0 ? null : 'sudo would run the real apt-get'),
  )('a tool that is missing and cannot be installed is one clear line', async () => {
    // All programs of this machine but the image builder, and an apt-get that has no network.
    const [programs, cache] = [join(fsTests.folder, 'bin'), join(fsTests.folder, 'cache')];
    mkdirSync(programs);
    for (const name of readdirSync('/usr/bin')) {
      if (name === 'mmdebstrap' || name === 'apt-get') continue;
      symlinkSync(join('/usr/bin', name), join(programs, name));
    }
    writeFileSync(join(programs, 'apt-get'), '#!/bin/sh\nexit 100\n');
    chmodSync(join(programs, 'apt-get'), 0o755);
    const { status, stderr } = await fsTests
      .startCommand([
        ...['env', `PATH=${programs}`, `XDG_CACHE_HOME=${cache}`, NODE],
        ...[join(EXAMPLES, 'fs-tests.ts'), `--output=${fsTests.results}`, 'badblocks'],
      ])
      .within(60_000);
    expect(status, stderr).toBe(3);
    expect(stderr).toContain('Installing mmdebstrap\n');
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^fs-tests: .*apt-get update failed/);
    expect(readdirSync(join(cache, 'vloop'))).toEqual(['fs-tests.lock']);
    await fsTests.expectNothingLeft();
  });

  test.each([
    [
      ['--suite=xfstests', '--xfstests-dir=/nonexistent'],
      2,
      /--xfstests-dir=\/nonexistent: no such/,
    ],
    [['--suite=xfstests', `--xfstests-dir=${EXAMPLES}`], 2, /no source tree of xfstests/],
    [['fio-verfy'], 2, /no test fio-verfy in packaged/],
    [['--kernel=/etc/passwd', 'badblocks'], 2, /no bzImage/],
    [['--qemu=/nonexistent/qemu', 'badblocks'], 3, /nonexistent\/qemu/],
  ])('%j is one clear line', async (args, expected, sentence) => {
    const { status, stderr } = await fsTests.start(args).within(60_000);
    expect(status, stderr).toBe(expected);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(sentence);
    await fsTests.expectNothingLeft();
  });
});
