/**
 * A file system without direct I/O: vloop serves its files through the page cache and says why, and when
 * direct I/O was asked for it refuses in a line. A ramfs is one, and unlike tmpfs nothing names it.
 */
import { existsSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { SmallFilesystem } from '../support/small-filesystem.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const mounted = SmallFilesystem.mount(4 * 2 ** 20, 'ramfs');
const skipped = typeof mounted === 'string';
if (skipped) process.stdout.write(`skipped: a file system without direct I/O: ${mounted}\n`);

const WHY = 'the file system refuses O_DIRECT';

describe.skipIf(skipped)('a file system without direct I/O', () => {
  const parent = skipped ? '' : mounted.directory;
  let disk: ServedDisk;

  afterEach(async () => {
    await disk.close();
  });

  afterAll(() => {
    if (!skipped) mounted.unmount();
  });

  test('is served buffered, with the reason in the log', async () => {
    disk = await ServedDisk.serve({ parent, sizeBytes: 2 ** 20 });
    expect(disk.vloop.log('serving')[0]).toMatchObject({ directIo: false, directIoReason: WHY });
    const { queue } = await disk.connect();
    await queue.mustRun(blk.write(8, noise(4096, 1)));
    expect(Buffer.compare(await queue.mustRun(blk.read(8, 4096)), noise(4096, 1))).toBe(0);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  });

  test('--direct-io=on is refused', async () => {
    disk = new ServedDisk({ parent, sizeBytes: 2 ** 20 });
    const files = [`--blk-file=${disk.image}`, `--socket-path=${disk.socket}`];
    const { status, stdout, stderr } = await VloopProcess.run([...files, '--direct-io=on']);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toBe(`vloop: --direct-io=on: ${disk.image}: ${WHY}\n`);
    expect(existsSync(disk.socket)).toBe(false);
  });
});
