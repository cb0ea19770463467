/**
 * A backing file whose file system is full: the write fails, one log line says so, everything else works.
 */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { SmallFilesystem } from '../support/small-filesystem.ts';

const MIB = 2 ** 20;
const BLOCK = 64 * 1024;

const mounted = SmallFilesystem.mount(4 * MIB);
const skipped = typeof mounted === 'string';
if (skipped) process.stdout.write(`skipped: a full file system: ${mounted}\n`);

describe.skipIf(skipped)('a full file system', () => {
  let disk: ServedDisk;

  afterEach(async () => {
    await disk.close();
  });

  afterAll(() => {
    if (!skipped) mounted.unmount();
  });

  test('writes that do not fit answer IOERR, with one log line; vloop lives', async () => {
    const parent = (mounted as SmallFilesystem).directory;
    disk = await ServedDisk.serve({ parent, sizeBytes: 16 * MIB });
    const { queue } = await disk.connect();
    const statuses = [];
    for (let i = 0; i < 128; i++) {
      const { status, usedBytes } = await queue.run(blk.write((i * BLOCK) / 512, noise(BLOCK, i)));
      expect(usedBytes).toBe(1);
      statuses.push(status);
    }
    const written = statuses.filter((status) => status === VIRTIO_BLK_S_OK).length;
    expect(written).toBeGreaterThan(16);
    expect(statuses.filter((status) => status === VIRTIO_BLK_S_IOERR)).toHaveLength(128 - written);
    const lines = await disk.vloop.logged('the backing file failed');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 50, operation: 'write', error: 'ENOSPC' });

    // What is there is still read, holes read as zeroes, and a discard makes room again.
    expect(Buffer.compare(await queue.mustRun(blk.read(0, BLOCK)), noise(BLOCK, 0))).toBe(0);
    await queue.mustRun(blk.discard({ sector: 0, sectors: (16 * BLOCK) / 512 }));
    await queue.mustRun(blk.write((100 * BLOCK) / 512, noise(BLOCK, 100)));
    await disk.stopVloop();
    expect(disk.vloop.log('summary')[0]).toMatchObject({
      errors: 128 - written,
      writes: written + 1,
    });
  });
});
