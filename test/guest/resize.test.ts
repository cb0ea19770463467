/**
 * What changes while a guest runs: the disk grows and shrinks under load, and the guest's kernel and its
 * partition tool see it; the guest switches the cache to write-through and back, and vloop's counters show
 * the difference.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, truncateSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const MIB = 2 ** 20;
const SECTORS_A_MIB = MIB / 512;
const opened = await requireGuestAssets('resizing and cache modes');

/** vda is resized, vdb has its cache switched; both are written to meanwhile. */
const script = `
set -e
size() { cat /sys/block/vda/size; }
becomes() {
  tries=0
  until [ "$(size)" = "$1" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ]
    sleep 0.1
  done
}
table() { fdisk -l /dev/vda | sed -n 's/^Disk .vda: .*, \\([0-9]*\\) sectors.*/\\1/p;s/^Disk .dev.vda: .*, \\([0-9]*\\) sectors.*/\\1/p'; }
echo "RESULT start $(size)"
printf 'o\\nn\\np\\n1\\n2048\\n\\nw\\n' | fdisk /dev/vda >/dev/null 2>&1
mkfs.ext4 -q -F /dev/vda1
mount -t ext4 /dev/vda1 /mnt
( while [ ! -e /tmp/enough ]; do dd if=/dev/urandom of=/mnt/load bs=256k count=16 conv=fsync 2>/dev/null; done ) &
load=$!
echo GROW-NOW
becomes ${128 * SECTORS_A_MIB}
echo "RESULT grown $(table)"
dd if=/dev/urandom of=/tmp/new bs=1M count=4 2>/dev/null
dd if=/tmp/new of=/dev/vda bs=1M seek=124 oflag=direct 2>/dev/null
echo "RESULT sum $(sha256sum </tmp/new)"
dd if=/dev/vda of=/tmp/back bs=1M skip=124 iflag=direct 2>/dev/null
cmp /tmp/new /tmp/back
echo SHRINK-NOW
becomes ${96 * SECTORS_A_MIB}
echo "RESULT shrunk $(table)"
[ "$(dd if=/dev/vda bs=1M skip=100 count=1 iflag=direct 2>/dev/null | wc -c)" = 0 ]
touch /tmp/enough
wait $load
umount /mnt
e2fsck -fn /dev/vda1 >/dev/null 2>&1
echo 'RESULT fsck clean'

cache=/sys/block/vdb/cache_type
echo "RESULT cache $(cat $cache)"
write() { for i in 1 2 3 4; do dd if=/dev/urandom of=/dev/vdb bs=64k count=16 seek=$((i * 16)) conv=fsync,notrunc 2>/dev/null & done; wait; }
write
echo 'write through' >$cache
echo "RESULT cache $(cat $cache)"
write
echo 'write back' >$cache
echo "RESULT cache $(cat $cache)"
write
`;

describe.skipIf(!opened.ok)('a disk that changes under a running guest', () => {
  let lab: GuestLab;
  let grown: GuestDisk;
  let cached: GuestDisk;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    grown = await lab.disk('grown', { sizeBytes: 64 * MIB, vloop: ['--workers=2'] });
    cached = await lab.disk('cached', { sizeBytes: 64 * MIB });
  });

  afterAll(() => lab?.close());

  function resize(sizeMib: number): void {
    truncateSync(grown.image, sizeMib * MIB);
    grown.process.signal('SIGHUP');
  }

  test('it grows, shrinks and has its cache switched, all under load', async () => {
    const guest = await lab.boot({
      script,
      arguments: [...grown.qemuArguments(), ...cached.qemuArguments()],
    });
    await guest.says('GROW-NOW');
    resize(128);
    await guest.says('SHRINK-NOW');
    const end = Buffer.alloc(4 * MIB);
    const image = openSync(grown.image, 'r');
    readSync(image, end, 0, end.length, 124 * MIB);
    closeSync(image);
    resize(96);
    const report = await guest.finish();
    expect(report.value('start')).toBe(`${64 * SECTORS_A_MIB}`);
    expect(report.value('grown')).toBe(`${128 * SECTORS_A_MIB}`);
    expect(report.value('shrunk')).toBe(`${96 * SECTORS_A_MIB}`);
    expect(report.value('fsck')).toBe('clean');
    const sum = createHash('sha256').update(end).digest('hex');
    expect(report.value('sum')).toContain(sum);
    expect(report.values('cache')).toEqual(['write back', 'write through', 'write back']);
  });

  test('vloop’s counters show what the guest did', async () => {
    const resized = await grown.stop();
    expect(resized['errors']).toBe(0);
    expect(resized['guestViolations']).toBe(0);
    expect(resized['durableWrites']).toBe(0);
    const summary = await cached.stop();
    // A third of the writes were made durable one by one; the rest by the flushes of the other phases.
    const writes = Number(summary['writes']);
    const durable = Number(summary['durableWrites']);
    expect(durable).toBeGreaterThan(0);
    expect(durable).toBeLessThan(writes / 2);
    expect(summary['flushes']).toBeGreaterThanOrEqual(2);
    expect(summary['errors']).toBe(0);
  });
});
