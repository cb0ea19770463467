/**
 * The recipes in qemu-examples/recipes: what they call exists and is taken, with the options that they give, and the shell
 * recipe's exit status is the worst of its runs. A stand-in for npm says what it was called with.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../../qemu-examples/fs-tests/options.ts';
import { makePlan } from '../../../qemu-examples/fs-tests/plan.ts';

const ROOT = join(import.meta.dirname, '../../..');
const RECIPES = join(ROOT, 'qemu-examples/recipes');

/** The tests that a command line asks for, in a tree that has two of the list. */
function planOf(args: readonly string[]) {
  const asked = { options: parseCommandLine(args), listText: null, defaultList: 'generic/013' };
  const lists = { xfstests: new Map([['generic', '013 auto quick']]), blktests: ['block/003'] };
  return makePlan(asked, lists);
}

describe('fs-tests-ci.sh', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vloop-recipe-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs it; `statuses`: how the runs of fs-tests end, one after the other. */
  function ci(environment: Record<string, string>, statuses: readonly number[] = [0, 0]) {
    const [log, ends] = [join(folder, 'log'), join(folder, 'ends')];
    writeFileSync(log, '');
    writeFileSync(ends, statuses.join('\n'));
    writeFileSync(
      join(folder, 'npm'),
      '#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >>"$LOG"; echo . >>"$LOG"\n' +
        '[ "$1" = ci ] && exit\nstatus=$(head -n 1 "$ENDS"); sed -i 1d "$ENDS"; exit "$status"\n',
    );
    chmodSync(join(folder, 'npm'), 0o755);
    const { status, stderr } = spawnSync('sh', [join(RECIPES, 'fs-tests-ci.sh')], {
      env: { PATH: `${folder}:${process.env['PATH']}`, LOG: log, ENDS: ends, ...environment },
    });
    const calls = readFileSync(log, 'utf8').split('\n.\n').filter(Boolean);
    return { status, stderr: `${stderr}`, calls: calls.map((call) => call.split('\n')) };
  }

  const fsTests = (call: readonly string[]) => {
    expect(call.slice(0, 4)).toEqual(['run', '--silent', 'fs-tests', '--']);
    return call.slice(4);
  };

  test('installs, then runs the packaged suite; its options are taken', () => {
    const { status, stderr, calls } = ci({});
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(calls[0]!.slice(0, 1)).toEqual(['ci']);
    expect(calls).toHaveLength(2);
    const options = parseCommandLine(fsTests(calls[1]!));
    expect(options).toMatchObject({ output: 'fs-tests-results/packaged', kernel: null });
    expect(planOf(fsTests(calls[1]!)).every(({ suite }) => suite === 'packaged')).toBe(true);
  });

  test('a kernel with its modules, results elsewhere, a short form, a tree of xfstests', () => {
    const { calls } = ci({
      ...{ KERNEL: '/boot/my kernel', MODULES: '/lib/modules/1', RESULTS: '/r', XFSTESTS: '/x' },
      ...{ NPM_CI: 'true', PACKAGED: '--fs=ext4 fio-verify', FURTHER: '--guests=1' },
    });
    const [packaged, xfstests] = calls.map((call) => parseCommandLine(fsTests(call)));
    const shared = { kernel: '/boot/my kernel', modules: '/lib/modules/1', guestCount: 1 };
    expect(packaged).toMatchObject({ ...shared, output: '/r/packaged', tests: ['fio-verify'] });
    expect(xfstests).toMatchObject({ ...shared, output: '/r/xfstests', xfstestsDir: '/x' });
    expect(calls).toHaveLength(2);
  });

  test.each([
    [[0, 0], 0, 2],
    [[1, 0], 1, 2],
    [[0, 1], 1, 2],
    [[0, 3], 3, 2],
    [[3, 0], 3, 1],
    [[130, 0], 130, 1],
  ])('runs that end with %j end with %i after %i', (statuses, expected, count) => {
    const { status, calls } = ci({ NPM_CI: 'true', XFSTESTS: '/x' }, statuses);
    expect({ status, count: calls.length }).toEqual({ status: expected, count });
  });
});

describe('fs-tests.github.yml', () => {
  const text = readFileSync(join(RECIPES, 'fs-tests.github.yml'), 'utf8');
  const commands = [...text.matchAll(/run: npm run (\S+) -- (.*)$/gm)];

  test('calls fs-tests with options that it takes', () => {
    expect(commands).toHaveLength(2);
    const suites = commands.map(([, script, args]) => {
      expect(script).toBe('fs-tests');
      const words = args!.split(' ');
      expect(parseCommandLine(words).output).toMatch(/^results\//);
      return planOf(words)[0]!.suite;
    });
    expect(suites).toEqual(['packaged', 'xfstests']);
  });

  test('names scripts of package.json and files that are here', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['fs-tests']).toBe('node qemu-examples/fs-tests.ts');
    expect(text).toContain("hashFiles('qemu-examples/fs-tests/image*.sh')");
    expect(readFileSync(join(ROOT, 'qemu-examples/fs-tests/image.sh'), 'utf8')).toContain('cache=');
  });
});
