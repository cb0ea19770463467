/**
 * A disk that a guest formats, fills, verifies and checks, once with ext4 and once with xfs; then this
 * machine reads the same files out of the image, without the guest, and the checksums agree. Beside it
 * the disk's write cache, as the guest sees and switches it.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import { missingLoopMount, skipWith } from '../support/guest-requires.ts';
import type { GuestReport } from '../support/guest-vm.ts';

const MIB = 2 ** 20;
const opened = await requireGuestAssets('data disks');
const noXfsMount = opened.ok ? await missingLoopMount('xfs') : null;

/** Files of odd sizes, one that spans many extents, a tree; all with their checksums. */
const script = `
set -e
fill() {
  cd /mnt
  dd if=/dev/urandom of=big bs=1M count=12 2>/dev/null
  head -c 1 big >one
  head -c 4097 big >odd
  mkdir tree
  cp -r /lib tree
  cp /dev/null empty
  # A file whose second half was punched out by not writing it.
  dd if=big of=sparse bs=4k count=16 seek=512 2>/dev/null
  find . -type f -exec sha256sum {} + >/tmp/sums
  cd /
}
for pair in ext4:vda xfs:vdb; do
  fs=\${pair%:*}
  disk=/dev/\${pair#*:}
  if [ $fs = ext4 ]; then mkfs.ext4 -q -F $disk; else mkfs.xfs -q -f $disk; fi
  mount -t $fs $disk /mnt
  fill
  umount /mnt
  mount -t $fs $disk /mnt
  cd /mnt
  sha256sum -c /tmp/sums >/tmp/checked
  echo "RESULT $fs-verified $(grep -c ': OK' /tmp/checked)"
  cd /
  umount /mnt
  if [ $fs = ext4 ]; then e2fsck -fn $disk >/tmp/fsck 2>&1; else xfs_repair -n $disk >/tmp/fsck 2>&1; fi
  echo "RESULT $fs-fsck $?"
  sed "s/^/RESULT $fs-sum /" /tmp/sums
done

# Column 15 of the disk's statistics: flush requests completed.
flushes() { awk '{ print $16 }' /sys/block/vda/stat; }
flushed_by_fsync() {
  before=$(flushes)
  for i in 1 2 3 4; do dd if=/dev/urandom of=/dev/vda bs=4k count=1 seek=$i conv=fsync,notrunc 2>/dev/null; done
  echo $(($(flushes) - before))
}
echo "RESULT cache $(cat /sys/block/vda/cache_type)"
echo "RESULT flushes-write-back $(flushed_by_fsync)"
echo "write through" >/sys/block/vda/cache_type
echo "RESULT cache $(cat /sys/block/vda/cache_type)"
echo "RESULT flushes-write-through $(flushed_by_fsync)"
echo "write back" >/sys/block/vda/cache_type
echo "RESULT cache $(cat /sys/block/vda/cache_type)"
echo "RESULT flushes-back-again $(flushed_by_fsync)"
`;

describe.skipIf(!opened.ok)('a data disk', () => {
  let lab: GuestLab;
  let ext4: GuestDisk;
  let xfs: GuestDisk;
  let report: GuestReport;
  let summary: Summary;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    ext4 = await lab.disk('ext4', { sizeBytes: 256 * MIB });
    xfs = await lab.disk('xfs', { sizeBytes: 512 * MIB });
    const disks = [...ext4.qemuArguments(), ...xfs.qemuArguments()];
    const guest = await lab.boot({ script, arguments: disks });
    report = await guest.finish();
    summary = await ext4.stop();
    await xfs.stop();
  });

  afterAll(() => lab?.close());

  /** The guest's checksums, path by path. */
  const sums = (fs: string) => {
    const pairs = report.values(`${fs}-sum`).map((line) => line.split(/\s+/) as [string, string]);
    return new Map(pairs.map(([sum, path]) => [path, sum]));
  };

  for (const fs of ['ext4', 'xfs']) {
    test(`${fs}: every file has its checksum after a remount, and fsck is content`, () => {
      expect(sums(fs).size).toBeGreaterThan(20);
      expect(report.value(`${fs}-verified`)).toBe(`${sums(fs).size}`);
      expect(report.value(`${fs}-fsck`)).toBe('0');
    });
  }

  test('ext4: debugfs on this machine reads the same files out of the image', async () => {
    const folder = join(lab.folder, 'dumped');
    mkdirSync(folder);
    await mustRun(['debugfs', '-R', `rdump / ${folder}`, ext4.image], 60_000);
    for (const [path, sum] of sums('ext4')) {
      const here = createHash('sha256')
        .update(readFileSync(join(folder, path)))
        .digest('hex');
      expect(here, path).toBe(sum);
    }
  });

  test.skipIf(skipWith('xfs read on this machine', noXfsMount))(
    'xfs: this machine mounts the image and reads the same files',
    async () => {
      const folder = join(lab.folder, 'mounted');
      mkdirSync(folder);
      const read = await mustRun(
        [
          ...['unshare', '-m', 'sh', '-c'],
          'mount -o loop,ro "$1" "$2" && cd "$2" && find . -type f -exec sha256sum {} +',
          ...['sh', xfs.image, folder],
        ],
        60_000,
      );
      const here = new Map(
        read
          .trim()
          .split('\n')
          .map((line) => [line.slice(66), line.slice(0, 64)] as const),
      );
      expect(Object.fromEntries(here)).toEqual(Object.fromEntries(sums('xfs')));
    },
  );

  test('xfs: xfs_repair on this machine finds nothing to repair', async () => {
    await mustRun(['xfs_repair', '-n', xfs.image], 60_000);
  });

  test('the write cache starts as write back, and the guest switches it', () => {
    expect(report.values('cache')).toEqual(['write back', 'write through', 'write back']);
    // One flush at least for each of the four fsyncs, and none where the disk needs none.
    expect(Number(report.value('flushes-write-back'))).toBeGreaterThanOrEqual(4);
    expect(report.value('flushes-write-through')).toBe('0');
    expect(Number(report.value('flushes-back-again'))).toBeGreaterThanOrEqual(4);
    expect(summary['flushes']).toBeGreaterThanOrEqual(8);
  });
});
