/**
 * fs-tests as a user runs it: the short packaged suite is green and leaves results and nothing else; a back-end that loses
 * writes, dies, or a run that is interrupted gives the exit status that CI trusts, and is cleaned up.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CaseResult } from '../../qemu-examples/fs-tests/cases.ts';
import { BoundedProcess, run, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import { skipWith } from '../support/guest-requires.ts';

const EXAMPLES = join(import.meta.dirname, '../../qemu-examples');
const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const IMAGE_TIMEOUT_MS = 900_000;
const RUN_TIMEOUT_MS = 240_000;

/** The kernel of the guest image, once that is there. */
let kernel = '';

/** Null when a guest image can be built or is there. */
async function missing(): Promise<string | null> {
  const opened = await requireGuestAssets('fs-tests');
  if (!opened.ok) return opened.reason;
  const image = await run(['bash', join(EXAMPLES, 'fs-tests/image.sh')], IMAGE_TIMEOUT_MS);
  if (image.status === 0) {
    kernel = join(image.stdout.trim(), 'vmlinuz');
    return null;
  }
  const reason = image.stderr.trim().split('\n').at(-1) ?? '';
  process.stderr.write(`skipped: fs-tests: ${reason}\n`);
  return reason;
}

const reason = await missing();

describe.skipIf(reason !== null)('fs-tests', () => {
  let folder: string;
  let tests: BoundedProcess;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vloop-fs-tests-'));
  });

  afterEach(async () => {
    await tests.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(args: readonly string[], vloop = ''): BoundedProcess {
    tests = new BoundedProcess([
      ...['env', `TMPDIR=${folder}`, `VLOOP=${vloop}`, NODE, join(EXAMPLES, 'fs-tests.ts')],
      ...[`--output=${join(folder, 'results')}`, '--guests=1', '--memory-mib=1024', ...args],
    ]);
    return tests;
  }

  const results = () =>
    (
      JSON.parse(readFileSync(join(folder, 'results/results.json'), 'utf8')) as {
        results: CaseResult[];
      }
    ).results;

  const said = (text: string) =>
    waitFor(
      () => `"${text}"; ${tests.output}`,
      RUN_TIMEOUT_MS,
      () => tests.output.includes(text) || undefined,
    );

  /** Only results: no work folder, no image, no process. */
  async function expectNothingLeft(): Promise<void> {
    expect(readdirSync(folder).filter((name) => name.startsWith('vloop-fs-'))).toEqual([]);
    const alive = () =>
      readdirSync('/proc').filter((name) => {
        if (!/^\d+$/.test(name)) return false;
        try {
          return readFileSync(join('/proc', name, 'cmdline'), 'utf8').includes(
            `${folder}/vloop-fs-`,
          );
        } catch {
          return false;
        }
      });
    await waitFor(
      () => `end of ${alive().join()}`,
      5000,
      () => alive().length === 0 || undefined,
    );
  }

  test('the short packaged suite on the bare disk and on btrfs is green', async () => {
    const { status, stdout, stderr } = await start(['--group=quick', '--fs=btrfs']).within(
      RUN_TIMEOUT_MS,
    );
    expect(status, `${stdout}${stderr}`).toBe(0);
    expect(results().map(({ verdict }) => verdict)).toEqual(Array(6).fill('pass'));
    // The counters are those of the disks: fio's 64 MiB went over the scratch disk and came back.
    const { scratch } = results()[0]!.counters;
    expect(scratch!.sectorsWritten * 512).toBeGreaterThanOrEqual(60 * 2 ** 20);
    expect(scratch!.sectorsRead * 512).toBeGreaterThanOrEqual(60 * 2 ** 20);
    expect(readFileSync(join(folder, 'results/junit.xml'), 'utf8')).toContain('failures="0"');
    expect(stdout).toContain('packaged on block, vloop: 4 tests: 4 pass');
    const guest = join(folder, 'results/guests', results()[0]!.guest);
    expect(readFileSync(join(guest, 'vloop-scratch.log'), 'utf8')).toContain('"msg":"summary"');
    await expectNothingLeft();
  });

  test('a back-end that loses writes is red', async () => {
    // What vloop writes to the first 200 MiB is gone a moment later, as if it never had.
    const forgetful = join(folder, 'forgetful.sh');
    writeFileSync(
      forgetful,
      '#!/bin/bash\n(while sleep 0.2 && [ -e "$2" ]; do fallocate -p -o 0 -l 200M "$2"; done) &\n' +
        `exec ${NODE} ${join(EXAMPLES, '../src/cli/vloop.js')} "$@"\n`,
    );
    chmodSync(forgetful, 0o755);
    const { status, stdout } = await start(['--fs=ext4', 'badblocks'], forgetful).within(
      RUN_TIMEOUT_MS,
    );
    expect(status, stdout).toBe(1);
    expect(results()).toMatchObject([{ name: 'badblocks', verdict: 'fail' }]);
    expect(readFileSync(join(folder, 'results/junit.xml'), 'utf8')).toContain('<failure');
    await expectNothingLeft();
  });

  test('a back-end that dies is a result, the next test runs; Ctrl-C ends all of it', async () => {
    const interrupted = start(['--fs=ext4', 'badblocks', 'discard-holes', 'fio-verify', 'dbench']);
    await said('[1/');
    const vloops = readdirSync('/proc').filter((name) => {
      try {
        const line = readFileSync(join('/proc', name, 'cmdline'), 'utf8');
        return line.includes(`${folder}/vloop-fs-`) && line.includes('--serial=scratch');
      } catch {
        return false;
      }
    });
    expect(vloops.length).toBe(1);
    process.kill(Number(vloops[0]), 'SIGKILL');
    await said('[3/');
    process.kill(interrupted.pid, 'SIGINT');
    const { status, stdout } = await interrupted.within(20_000);
    expect(status).toBe(130);
    const verdicts = results().map(({ verdict }) => verdict);
    expect(
      verdicts.filter((verdict) => verdict === 'back-end death'),
      stdout,
    ).toHaveLength(1);
    expect(verdicts.filter((verdict) => verdict === 'pass')).toHaveLength(2);
    expect(stdout).toMatch(/back-end death: vloop of scratch ended with SIGKILL/);
    await expectNothingLeft();
  });

  test('a signal that comes twice, as timeout(1) sends it, still reports and cleans up', async () => {
    const silent = join(folder, 'silent-qemu.sh');
    writeFileSync(silent, '#!/bin/sh\n[ "$1" = --version ] || exec sleep 1000\n');
    chmodSync(silent, 0o755);
    const waiting = start([`--qemu=${silent}`, 'badblocks']);
    await said('1 tests, 1 guest');
    process.kill(waiting.pid, 'SIGTERM');
    process.kill(waiting.pid, 'SIGTERM');
    const { status } = await waiting.within(30_000);
    expect(status).toBe(143);
    expect(results()).toEqual([]);
    await expectNothingLeft();
  });

  test.skipIf(
    skipWith('a full host disk', process.getuid?.() === 0 ? null : 'a small disk needs a mount'),
  )('a full host disk is one clear line', async () => {
    const small = join(folder, 'small');
    tests = new BoundedProcess([
      ...['unshare', '--mount', 'sh', '-c'],
      'mkdir "$0" && mount -t tmpfs -o size=300m none "$0" && TMPDIR=$0 exec "$@"',
      ...[small, NODE, join(EXAMPLES, 'fs-tests.ts'), `--output=${join(folder, 'results')}`],
      'badblocks',
    ]);
    const { status, stderr } = await tests.within(60_000);
    expect(status, stderr).toBe(3);
    expect(stderr.trimEnd()).toMatch(/has \d+ MiB free, the disks need more to grow$/);
  });

  test('a kernel without the drivers built in is one clear line', async () => {
    // Debian's has virtio-blk as a module, and a kernel of the user's is booted without modules.
    const { status, stdout, stderr } = await start([`--kernel=${kernel}`, 'badblocks']).within(
      RUN_TIMEOUT_MS,
    );
    expect(status, `${stdout}${stderr}`).toBe(2);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/--kernel=.*virtio-blk or ext4 is not/);
    await expectNothingLeft();
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
    const { status, stderr } = await start(args).within(60_000);
    expect(status, stderr).toBe(expected);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(sentence);
    await expectNothingLeft();
  });
});
