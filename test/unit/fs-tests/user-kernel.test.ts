/**
 * A kernel and modules of the user's: what does not fit together is refused in one line, before anything is built.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UsageError } from '../../../qemu-examples/fs-tests/cases.ts';
import { bzImageRelease, openUserKernel } from '../../../qemu-examples/fs-tests/user-kernel.ts';

const { signal } = new AbortController();

/** The setup header as far as it is read: boot.rst, offsets 0x202 and 0x20e. */
function bzImage(version: string): Buffer {
  const bytes = Buffer.alloc(0x600);
  bytes.write('HdrS', 0x202, 'latin1');
  bytes.writeUInt16LE(0x300, 0x20e);
  bytes.write(version, 0x500, 'latin1');
  return bytes;
}

test('the release is the first word of the version', () => {
  expect(bzImageRelease(bzImage('6.1.0-50-cloud-amd64 (me@here) #1 SMP'))).toBe(
    '6.1.0-50-cloud-amd64',
  );
  expect(bzImageRelease(Buffer.alloc(0x600))).toBeNull();
  expect(bzImageRelease(Buffer.from('short'))).toBeNull();
});

describe('a kernel', () => {
  let folder: string;
  let kernel: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vloop-kernel-'));
    kernel = join(folder, 'bzImage');
    writeFileSync(kernel, bzImage('7.0.1-mine (me@here)'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('without modules is taken as it is; none is none', async () => {
    expect(await openUserKernel(kernel, null, signal)).toEqual({ image: kernel, modules: null });
    expect(await openUserKernel(null, null, signal)).toBeNull();
  });

  test('that is not there, or is none, is refused', async () => {
    await expect(openUserKernel(`${kernel}2`, null, signal)).rejects.toThrow(
      /bzImage2: no such file$/,
    );
    await expect(openUserKernel(folder, null, signal)).rejects.toThrow(
      /--kernel=.*: expected a file$/,
    );
    writeFileSync(kernel, 'text');
    await expect(openUserKernel(kernel, null, signal)).rejects.toThrow(/no bzImage/);
  });

  test('whose modules are not there, or are of another release, is refused', async () => {
    const other = join(folder, 'lib/modules/6.1.0');
    mkdirSync(join(other, 'kernel'), { recursive: true });
    for (const given of [folder, join(folder, 'lib/modules'), other]) {
      const refused = openUserKernel(kernel, given, signal);
      await expect(refused).rejects.toThrow(UsageError);
      await expect(refused).rejects.toThrow(
        `--modules=${given}: the kernel is 7.0.1-mine, and there is no lib/modules/7.0.1-mine in it`,
      );
    }
    await expect(openUserKernel(kernel, '/nonexistent', signal)).rejects.toThrow(
      /no such directory$/,
    );
  });
});
