/**
 * The guest image of fs-tests, when it cannot be built: a tree that does not compile and an interrupted build are one clear line
 * each, and nothing half built, mounted or running is left. Needs what the image needs: mmdebstrap, a Debian mirror, root.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { waitFor } from '../support/bounded-process.ts';
import { FsTestsRun, RUN_TIMEOUT_MS, requireFsTestsImage } from '../support/fs-tests-run.ts';

const image = await requireFsTestsImage();
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vloop');

describe.skipIf('reason' in image)('the guest image', () => {
  let fsTests: FsTestsRun;
  let tree: string;

  /** What has the paths of an xfstests tree, with a source file that is not C. */
  beforeEach(() => {
    fsTests = new FsTestsRun();
    tree = join(fsTests.folder, 'xfstests');
    mkdirSync(join(tree, 'common'), { recursive: true });
    mkdirSync(join(tree, 'tests/generic'), { recursive: true });
    writeFileSync(join(tree, 'check'), '#!/bin/bash\n');
    writeFileSync(join(tree, 'common/rc'), '');
    writeFileSync(join(tree, 'Makefile'), 'all: fsx.o\n');
    writeFileSync(join(tree, 'fsx.c'), '#error this tree is broken\n');
  });

  afterEach(() => fsTests.close());

  const build = () => fsTests.start(['--suite=xfstests', `--xfstests-dir=${tree}`]);

  /** Images before and after are the same ones: nothing half built is kept, mounted or used by a process. */
  async function expectNoTrace(images: readonly string[]): Promise<void> {
    const partial = `${cache}/.fs-tests-`;
    expect(readdirSync(cache).sort()).toEqual(images);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(partial);
    await fsTests.expectNothingLeft(partial);
  }

  test('of a tree that does not build is one clear line, with the compiler’s reason', async () => {
    const images = readdirSync(cache).sort();
    const { status, stdout, stderr } = await build().within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(3);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
      /^fs-tests: xfstests failed: fsx\.c:1:2: error: #error this tree is broken \(all of it: .*\.log\)$/,
    );
    await expectNoTrace(images);
  });

  test('whose build is interrupted leaves nothing, nor of one that was killed before', async () => {
    const images = readdirSync(cache).sort();
    mkdirSync(join(cache, '.fs-tests-killed/root'), { recursive: true });
    const building = build();
    await fsTests.said('Debian trixie ... ');
    await waitFor(
      () => 'packages in the image’s root, which mmdebstrap mounts /proc and /sys in',
      RUN_TIMEOUT_MS,
      () =>
        readdirSync(cache)
          .filter((name) => name.startsWith('.fs-tests-'))
          .some((partial) =>
            existsSync(join(cache, partial, 'root/var/lib/dpkg/info/base-files.list')),
          ) || undefined,
    );
    process.kill(building.pid, 'SIGINT');
    const { status, stdout, stderr } = await building.within(60_000);
    expect(status, `${stdout}${stderr}`).toBe(130);
    await expectNoTrace(images);
  });
});
