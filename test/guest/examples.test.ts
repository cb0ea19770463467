/**
 * The example scripts, as a user runs them: each succeeds, says so, and leaves no file and no process
 * behind, also when it is interrupted. And they keep the form that README promises.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BoundedProcess, mustRun, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';

const EXAMPLES = join(import.meta.dirname, '../../qemu-examples');
const RUN_TIMEOUT_MS = 240_000;
const LINES_MAX = 60;

const opened = await requireGuestAssets('the example scripts');
const scripts = readdirSync(EXAMPLES).filter((name) => name.endsWith('.sh'));
const library = readdirSync(join(EXAMPLES, 'lib')).filter((name) => name.endsWith('.sh'));
/** It waits for somebody who types. */
const interactive = 'shell.sh';

/** Command lines of the processes that mention the folder. */
function processesWith(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(join('/proc', pid, 'cmdline'), 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(folder));
}

describe('the form of the examples', () => {
  test.each(scripts)('%s is short, says what it shows, and stops at the first error', (name) => {
    const lines = readFileSync(join(EXAMPLES, name), 'utf8').trimEnd().split('\n');
    const header = lines.slice(1).findIndex((line) => !line.startsWith('# '));
    expect(lines.length).toBeLessThan(LINES_MAX);
    expect(lines[0]).toBe('#!/usr/bin/env bash');
    expect(header).toBeGreaterThanOrEqual(2);
    expect(header).toBeLessThanOrEqual(6);
    expect(lines[1 + header]).toBe('set -euo pipefail');
  });

  test.each(library)('lib/%s says what it is about', (name) => {
    const lines = readFileSync(join(EXAMPLES, 'lib', name), 'utf8').split('\n');
    const comment = lines.find((line) => /^# (?!shellcheck)/.test(line));
    expect(comment?.length).toBeGreaterThan(20);
  });

  test('README lists every script', () => {
    const readme = readFileSync(join(EXAMPLES, 'README.md'), 'utf8');
    for (const name of scripts) expect(readme).toContain(`](${name})`);
  });
});

describe.skipIf(!opened.ok)('the examples run', () => {
  let folder: string;
  let example: BoundedProcess;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vloop-examples-'));
  });

  afterEach(async () => {
    await example.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(name: string, args: string[] = [], stdin = '/dev/null'): BoundedProcess {
    example = new BoundedProcess([
      ...['env', `TMPDIR=${folder}`, 'bash', '-c', `exec bash "$0" "$@" <>${stdin}`],
      ...[join(EXAMPLES, name), ...args],
    ]);
    return example;
  }

  async function expectNothingLeft(): Promise<void> {
    await waitFor(
      () => `end of ${processesWith(folder).join('; ')}`,
      3000,
      () => processesWith(folder).length === 0 || undefined,
    );
    expect(readdirSync(folder)).toEqual([]);
  }

  test.each(scripts.filter((name) => name !== interactive))('%s', async (name) => {
    const { status, stdout, stderr } = await start(name).within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(0);
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^ok {2}/);
    expect(stdout).toMatch(/==> vloop served \d+ reads, \d+ writes/);
    await expectNothingLeft();
  });

  test('an interrupted example takes its guest and its vloop with it', async () => {
    const interrupted = start('kill-qemu.sh');
    await waitFor(
      () => `guest; ${interrupted.output}`,
      RUN_TIMEOUT_MS,
      () => interrupted.output.includes('without end') || undefined,
    );
    expect(processesWith(folder).some((line) => line.includes('qemu-system'))).toBe(true);
    // To the script alone: what it started must not depend on a terminal's signal to the group.
    process.kill(interrupted.pid, 'SIGTERM');
    const { status } = await interrupted.within(20_000);
    expect(status).toBe(143);
    await expectNothingLeft();
  });

  test('a missing back-end is one clear line', async () => {
    example = new BoundedProcess([
      ...['env', `TMPDIR=${folder}`, 'VLOOP=/nonexistent/vloop', 'bash'],
      join(EXAMPLES, 'data-disk.sh'),
    ]);
    const { status, stderr } = await example.within(60_000);
    expect(status).toBe(1);
    expect(stderr.trimEnd()).toMatch(/^data-disk\.sh: vloop ended: .*No such file/);
    await expectNothingLeft();
  });

  test('shell.sh gives a shell on the image that it was given', async () => {
    const image = join(folder, 'mine.img');
    const keys = join(folder, 'keys');
    await mustRun(['mkfifo', keys], 5000);
    const shell = start(interactive, [image, '--serial=MINE'], keys);
    await waitFor(
      () => `prompt; ${shell.output}`,
      RUN_TIMEOUT_MS,
      () => shell.output.includes('/ # ') || undefined,
    );
    writeFileSync(keys, 'echo "size $(($(cat /sys/block/vda/size) / 2048))"; exit\n');
    const { status, stdout, stderr } = await shell.within(RUN_TIMEOUT_MS);
    expect(status, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toContain('/dev/vda  1024 MiB');
    expect(stdout.replaceAll('\r', '')).toContain('\nsize 1024\n');
    rmSync(keys);
    rmSync(image);
    await expectNothingLeft();
  });
});
