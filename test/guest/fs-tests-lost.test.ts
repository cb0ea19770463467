/**
 * Guests of fs-tests that are lost: on a kernel of the user's with its modules, while they come up, and after their last test.
 * Each loss is a result that says what happened, keeps the evidence, and the next test gets a new guest.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  EXAMPLES,
  FsTestsRun,
  NODE,
  RUN_TIMEOUT_MS,
  requireDebianKernel,
  requireFsTestsImage,
} from '../support/fs-tests-run.ts';
import { QmpClient } from '../support/guest-qmp.ts';

const image = await requireFsTestsImage();
const debian = 'kernel' in image ? await requireDebianKernel() : image;
const given = 'modules' in debian ? debian : { kernel: '', modules: '' };

describe.skipIf('reason' in debian)('guests of fs-tests that are lost', () => {
  let fsTests: FsTestsRun;

  beforeEach(() => {
    fsTests = new FsTestsRun();
  });

  afterEach(() => fsTests.close());

  test('a disk that does not answer, a panic, a test without end: on a kernel with modules', async () => {
    // On ext4, each on its own guest: the plan has stress-hdd before stress-io before stress-filesystem, and none of them
    // takes less than its time limit here, on whatever machine.
    const run = fsTests.start([
      ...[`--kernel=${given.kernel}`, `--modules=${given.modules}`, '--append=unknown_nmi_panic'],
      ...[
        '--guests=2',
        '--timeout=10',
        '--fs=ext4',
        'stress-hdd',
        'stress-io',
        'stress-filesystem',
      ],
    ]);
    await fsTests.writes('guest-1.1-vloop');
    process.kill(fsTests.vloopOf('guest-1.1-vloop', 'scratch'), 'SIGSTOP');
    await fsTests.writes('guest-2.1-vloop');
    const qmp = await QmpClient.connect(join(fsTests.guestFolder('guest-2.1-vloop'), 'qmp'));
    await qmp.execute('inject-nmi');
    qmp.close();
    const { status, stdout, stderr } = await run.within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(1);

    const [stopped, panicked, endless] = fsTests.resultList();
    expect(stopped).toMatchObject({ name: 'stress-hdd', verdict: 'hang' });
    expect(stopped!.reason).toMatch(
      /still running after 10 s; disk scratch: \d+ requests are not answered/,
    );
    expect(panicked).toMatchObject({ name: 'stress-io', verdict: 'panic' });
    expect(panicked!.reason).toMatch(/^Kernel panic - not syncing: NMI/);
    expect(panicked!.output).toContain('Kernel Offset:');
    expect(endless).toMatchObject({ name: 'stress-filesystem', verdict: 'hang' });
    expect(endless!.reason).toMatch(/still running after 10 s; no disk owes the guest anything/);
    expect(new Set([stopped, panicked, endless].map((result) => result!.guest)).size).toBe(3);

    const kept = (guest: string, name: string) =>
      readFileSync(join(fsTests.results, 'guests', guest, name), 'utf8');
    // Where vloop's threads were: stopped, as SIGSTOP leaves them.
    expect(kept(stopped!.guest, 'hang.log')).toMatch(/threads of vloop:\n {2}\S+ T /);
    expect(kept(panicked!.guest, 'console.log')).toContain(panicked!.reason);
    expect(readFileSync(join(fsTests.results, 'junit.xml'), 'utf8')).toContain('errors="3"');
    await fsTests.expectNothingLeft();
  });

  /** A back-end that is vloop and something else; `lines` have vloop's arguments. */
  function backEnd(...lines: string[]): string {
    const path = join(fsTests.folder, 'back-end.sh');
    const vloop = `${NODE} ${join(EXAMPLES, '../src/cli/vloop.js')} "$@"`;
    const script = ['#!/bin/bash', ...lines.map((line) => line.replace('VLOOP', vloop)), ''];
    writeFileSync(path, script.join('\n'));
    chmodSync(path, 0o755);
    return path;
  }

  test('a vloop that ends badly after the last test is a result', async () => {
    const vloop = backEnd('VLOOP & disk=$!', "trap 'wait $disk; exit 9' TERM", 'wait $disk');
    const { status, stdout, stderr } = await fsTests
      .start(['--fs=ext4', 'badblocks'], vloop)
      .within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(1);
    const [result, ...others] = fsTests.resultList();
    expect(others).toEqual([]);
    expect(result).toMatchObject({ name: 'badblocks', verdict: 'back-end death' });
    expect(result!.reason).toMatch(/^after its end: vloop of test ended with status 9/);
    await fsTests.expectNothingLeft();
  });

  test('a vloop that dies while its guest comes up is a result', async () => {
    // In /proc/net/unix: a connection that was made to the path.
    const connected = 'until grep -q "03 *[0-9]* $socket$" /proc/net/unix; do sleep 0.1; done';
    const vloop = backEnd(
      'socket=$(cut -d= -f2 <<<"$3")',
      `[[ $4 != --serial=scratch ]] || { (${connected}; kill -KILL $$) & }`,
      'exec VLOOP',
    );
    const { status, stdout, stderr } = await fsTests
      .start(['--fs=ext4', 'badblocks'], vloop)
      .within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(1);
    expect(fsTests.resultList()).toMatchObject([{ verdict: 'back-end death' }]);
    expect(stdout).toContain('vloop of scratch ended with SIGKILL');
    expect(stdout).not.toContain(' is up after ');
    await fsTests.expectNothingLeft();
  });

  test('a kernel that has no such file system does not run its tests, and says so', async () => {
    const { status, stdout, stderr } = await fsTests
      .start(['--fs=xfs,ext4', '--append=module_blacklist=xfs', 'discard-holes', 'fstrim-holes'])
      .within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(0);
    expect(
      fsTests.resultList().map(({ fs, name, verdict, reason }) => [fs, name, verdict, reason]),
    ).toEqual([
      ['block', 'discard-holes', 'pass', ''],
      ['xfs', 'fstrim-holes', 'not run', 'this kernel has no xfs'],
      ['ext4', 'fstrim-holes', 'pass', ''],
    ]);
    await fsTests.expectNothingLeft();
  });
});
