/**
 * What fs-tests leaves to shells and children, without a guest: that complaints of a kernel are seen however many there are, what
 * belongs to a source tree, and that a signal ends a command that runs.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mustRun, run, waitFor } from '../support/bounded-process.ts';

const FS_TESTS = join(import.meta.dirname, '../../qemu-examples/fs-tests');
const LIMIT_MS = 30_000;

const bash = (script: string, ...args: string[]) =>
  run(['bash', '-c', script, 'bash', ...args], LIMIT_MS);

describe('complaints of a kernel', () => {
  const complains = (dmesg: string) =>
    bash(`set -euo pipefail
      source ${FS_TESTS}/guest/disks.sh
      dmesg() { ${dmesg}; }
      if kernel_complains; then exit 7; fi`);

  test('are seen, also where they are many', async () => {
    // More than a pipe takes: dmesg is cut off by the end of grep.
    const many = await complains('yes "Buffer I/O error on dev vdc" | head -n 100000');
    expect(many).toMatchObject({ status: 7 });
    expect(many.stdout.trim().split('\n')).toHaveLength(3);
    expect(await complains('echo "Oops: 0000"')).toMatchObject({ status: 7 });
  });

  test('are none where there are none', async () => {
    expect(await complains('echo "EXT4-fs (vdc): mounted"')).toMatchObject({
      status: 0,
      stdout: '',
    });
  });
});

describe('a source tree', () => {
  let folder: string;
  let tree: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vloop-trees-'));
    tree = join(folder, 'tree');
    mkdirSync(join(tree, 'inside'), { recursive: true });
    writeFileSync(join(tree, 'check'), 'check');
    writeFileSync(join(tree, 'inside/check'), 'check');
    writeFileSync(join(tree, '.gitignore'), '*.o\n');
    const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
    await mustRun(['git', 'init', '-q', tree], LIMIT_MS);
    await mustRun(['git', '-C', tree, 'add', 'check', '.gitignore'], LIMIT_MS);
    await mustRun(['git', '-C', tree, ...identity, 'commit', '-q', '-m', 'tree'], LIMIT_MS);
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function withTrees(script: string, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await bash(
      `set -euo pipefail
      as_root() { "$@"; }
      stop() { echo "$*" >&2; exit 3; }
      root=${folder}/root
      source ${FS_TESTS}/image-trees.sh
      ${script}`,
      ...args,
    );
    expect(status, stderr).toBe(0);
    return stdout;
  }

  const copied = async (dir: string) => {
    await withTrees('copy_tree "$1" copy', dir);
    const found = await mustRun(
      ['find', `${folder}/root/usr/src/copy`, '-type', 'f', '-printf', '%P\n'],
      LIMIT_MS,
    );
    return found.trim().split('\n').sort();
  };

  test('has the tests that are not in git yet, and no objects', async () => {
    const before = await withTrees('tree_state "$1"', tree);
    writeFileSync(join(tree, '999'), 'new');
    writeFileSync(join(tree, 'fsx.o'), 'object');
    expect(await withTrees('tree_state "$1"', tree)).not.toBe(before);
    expect(await copied(tree)).toEqual(['.gitignore', '999', 'check', 'inside/check']);
  });

  test('in a folder of another clone is that folder, not the clone', async () => {
    const inside = join(tree, 'inside');
    writeFileSync(join(inside, 'fsx.o'), 'object');
    expect((await withTrees('tree_name "$1"', inside)).trim()).toBe('no git tree');
    expect(await copied(inside)).toEqual(['check', 'fsx.o']);
  });
});

describe('a command that runs', () => {
  test('is told to end, and has time to clean up', async () => {
    const stop = new AbortController();
    const folder = mkdtempSync(join(tmpdir(), 'vloop-stop-'));
    try {
      const up = join(folder, 'up');
      const script = `trap 'rm -r ${folder}; exit 5' TERM; mkdir ${up}; sleep 60 & wait`;
      const running = run(['bash', '-c', script], LIMIT_MS, stop.signal);
      const refused = expect(running).rejects.toThrow('interrupted');
      await waitFor(
        () => 'script that runs',
        LIMIT_MS,
        () => existsSync(up) || undefined,
      );
      stop.abort(new Error('interrupted'));
      await refused;
      expect(existsSync(folder)).toBe(false);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('is not begun any more after that', async () => {
    const stop = AbortSignal.abort(new Error('interrupted'));
    await expect(run(['/nonexistent/program'], LIMIT_MS, stop)).rejects.toThrow('interrupted');
  });
});
