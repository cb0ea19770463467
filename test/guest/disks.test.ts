/**
 * Disks of many kinds on one guest at once: two with several queues and workers that are filled together, a read-only
 * one, one with 4 KiB blocks, one on which discard makes holes that the host sees, and two with partition tables.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RpcClient } from '../../src/control/rpc-client.ts';
import type { DiskPartitions } from '../../src/control/schema/disk-partitions.ts';
import { mustRun } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';
import { noise } from '../support/image-content.ts';
import { writePartitioned } from '../support/partition-image.ts';

const MIB = 2 ** 20;
const opened = await requireGuestAssets('several disks');

const script = `
set -e
for disk in vda vdb vdc vdd vde; do
  echo "RESULT $disk-serial $(cat /sys/block/$disk/serial)"
  echo "RESULT $disk-queues $(ls /sys/block/$disk/mq | wc -l)"
  echo "RESULT $disk-read-only $(cat /sys/block/$disk/ro)"
  echo "RESULT $disk-block-size $(cat /sys/block/$disk/queue/logical_block_size)"
done

# Both at once, from several processes, so that all queues have something to do.
for disk in vda vdb; do
  for part in 0 1 2 3; do
    (
      dd if=/dev/urandom of=/tmp/$disk.$part bs=1M count=8 2>/dev/null
      taskset -c $part dd if=/tmp/$disk.$part of=/dev/$disk bs=32k seek=$((part * 256)) oflag=direct conv=notrunc 2>/dev/null
    ) &
  done
done
wait
for disk in vda vdb; do
  cat /tmp/$disk.0 /tmp/$disk.1 /tmp/$disk.2 /tmp/$disk.3 | cmp - /dev/$disk 2>/tmp/cmp || grep -q 'EOF on -' /tmp/cmp
  echo "RESULT $disk-sum $(cat /tmp/$disk.0 /tmp/$disk.1 /tmp/$disk.2 /tmp/$disk.3 | sha256sum)"
done

echo "RESULT vdc-sum $(sha256sum </dev/vdc)"
if dd if=/dev/zero of=/dev/vdc bs=4k count=1 oflag=direct conv=notrunc 2>/tmp/error; then
  echo 'RESULT vdc-write done'
else
  echo "RESULT vdc-write refused: $(head -n 1 /tmp/error)"
fi

mkfs.xfs -q -f /dev/vdd
mount -t xfs /dev/vdd /mnt
cp /tmp/vda.0 /mnt/data
umount /mnt
mount -t xfs /dev/vdd /mnt
cmp /mnt/data /tmp/vda.0
umount /mnt
xfs_repair -n /dev/vdd >/dev/null 2>&1
echo 'RESULT vdd-xfs ok'
mkfs.ext4 -q -F /dev/vdd
mount -t ext4 /dev/vdd /mnt
cp /tmp/vdb.0 /mnt/data
umount /mnt
mount -t ext4 /dev/vdd /mnt
cmp /mnt/data /tmp/vdb.0
umount /mnt
e2fsck -fn /dev/vdd >/dev/null 2>&1
echo 'RESULT vdd-ext4 ok'

for disk in vdf vdg; do
  for part in /sys/block/$disk/$disk?*; do
    [ -e $part/partition ] || continue
    echo "RESULT $disk-$(cat $part/partition) $(cat $part/start) $(cat $part/size)"
  done
done

cat /tmp/vda.? /tmp/vdb.? | dd of=/dev/vde bs=1M iflag=fullblock oflag=direct conv=notrunc 2>/dev/null
echo "RESULT vde-before $(dd if=/dev/vde bs=1M count=16 2>/dev/null | sha256sum)"
/usr/sbin/blkdiscard -f -o $((16 * 1048576)) -l $((24 * 1048576)) /dev/vde
# Zeroed blocks read as zeroes at once; Linux sends this as write-zeroes.
/usr/sbin/blkdiscard -f -z -o $((48 * 1048576)) -l $((8 * 1048576)) /dev/vde
dd if=/dev/vde bs=1M skip=48 count=8 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c >/tmp/left
echo "RESULT vde-zeroed-left $(cat /tmp/left)"
echo "RESULT vde-tail $(dd if=/dev/vde bs=1M skip=56 count=8 iflag=direct 2>/dev/null | sha256sum)"
`;

describe.skipIf(!opened.ok)('several disks at once', () => {
  let lab: GuestLab;
  let report: GuestReport;
  const disks = new Map<string, GuestDisk>();
  const summaries = new Map<string, Summary>();
  const partitions = new Map<'dos' | 'gpt', DiskPartitions['partitions']>();
  const readOnlyContent = noise(16 * MIB, 3);

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    writeFileSync(join(lab.folder, 'fixed.img'), readOnlyContent);
    for (const kind of ['dos', 'gpt'] as const) {
      writePartitioned(join(lab.folder, `${kind}.img`), kind);
    }
    const kinds: [string, number, string[], string][] = [
      ['first', 128 * MIB, ['--num-queues=4', '--workers=2', '--serial=FIRST'], 'num-queues=4'],
      ['second', 128 * MIB, ['--num-queues=2', '--serial=SECOND-DISK-20-CHARS'], 'num-queues=2'],
      ['fixed', 0, ['--read-only', '--serial=FIXED'], ''],
      ['blocks', 512 * MIB, ['--block-size=4096', '--serial=BLOCKS'], ''],
      ['holes', 64 * MIB, ['--serial=HOLES'], ''],
      ['dos', 0, [`--control=${lab.folder}/dos.ctl`], ''],
      ['gpt', 0, [`--control=${lab.folder}/gpt.ctl`], ''],
    ];
    const qemuArguments: string[] = [];
    for (const [name, sizeBytes, vloop, deviceOptions] of kinds) {
      const disk = await lab.disk(name, { sizeBytes, vloop });
      disks.set(name, disk);
      qemuArguments.push(...disk.qemuArguments(deviceOptions));
    }
    const guest = await lab.boot({ script, cpus: 4, arguments: qemuArguments });
    report = await guest.finish();
    for (const kind of ['dos', 'gpt'] as const) {
      const client = await RpcClient.connect(`${lab.folder}/${kind}.ctl`);
      const table = await client.call('disk_get_partitions', { disk: `${kind}.img` });
      partitions.set(kind, table.partitions);
      client.close();
    }
    for (const [name, disk] of disks) summaries.set(name, await disk.stop());
  });

  afterAll(() => lab?.close());

  function sumOfImage(name: string, offset: number, length: number): string {
    const bytes = Buffer.alloc(length);
    const fd = openSync(disks.get(name)!.image, 'r');
    readSync(fd, bytes, 0, length, offset);
    closeSync(fd);
    return createHash('sha256').update(bytes).digest('hex');
  }
  const guestSum = (name: string) => report.value(name).slice(0, 64);

  test('each has its own serial in sysfs', () => {
    const serials = ['vda', 'vdb', 'vdc', 'vdd', 'vde'].map((d) => report.value(`${d}-serial`));
    expect(serials).toEqual(['FIRST', 'SECOND-DISK-20-CHARS', 'FIXED', 'BLOCKS', 'HOLES']);
  });

  test('two disks of four and two queues, filled at the same time, hold what each was given', () => {
    expect(report.value('vda-queues')).toBe('4');
    expect(report.value('vdb-queues')).toBe('2');
    expect(sumOfImage('first', 0, 32 * MIB)).toBe(guestSum('vda-sum'));
    expect(sumOfImage('second', 0, 32 * MIB)).toBe(guestSum('vdb-sum'));
    expect(guestSum('vda-sum')).not.toBe(guestSum('vdb-sum'));
  });

  test('without num-queues= QEMU takes one queue for each processor', () => {
    expect(report.value('vdc-queues')).toBe('4');
  });

  test('a write to the read-only disk is an error in the guest, and the image stays as it was', () => {
    expect(report.value('vdc-read-only')).toBe('1');
    expect(report.value('vda-read-only')).toBe('0');
    expect(guestSum('vdc-sum')).toBe(createHash('sha256').update(readOnlyContent).digest('hex'));
    expect(report.value('vdc-write')).toMatch(/^refused: .*(not permitted|Read-only)/);
    expect(readFileSync(disks.get('fixed')!.image).equals(readOnlyContent)).toBe(true);
    expect(summaries.get('fixed')!['bytesWritten']).toBe(0);
  });

  test('a disk with 4 KiB blocks says so and takes xfs and ext4', async () => {
    expect(report.value('vdd-block-size')).toBe('4096');
    expect(report.value('vda-block-size')).toBe('512');
    expect(report.value('vdd-xfs')).toBe('ok');
    expect(report.value('vdd-ext4')).toBe('ok');
    await mustRun(['e2fsck', '-fn', disks.get('blocks')!.image], 60_000);
  });

  test('discarded blocks are holes on the host, and the rest is untouched', () => {
    const disk = disks.get('holes')!;
    // 64 MiB were written; 24 were discarded, 8 were zeroed, which may leave a hole too.
    expect(disk.allocatedBytes).toBeLessThanOrEqual(41 * MIB);
    expect(disk.allocatedBytes).toBeGreaterThanOrEqual(31 * MIB);
    const zeroes = createHash('sha256')
      .update(Buffer.alloc(24 * MIB))
      .digest('hex');
    expect(sumOfImage('holes', 16 * MIB, 24 * MIB)).toBe(zeroes);
    expect(sumOfImage('holes', 0, 16 * MIB)).toBe(guestSum('vde-before'));
    expect(summaries.get('holes')!['discards']).toBeGreaterThanOrEqual(1);
  });

  test('zeroed blocks read as zeroes in the guest and on the host', () => {
    expect(report.value('vde-zeroed-left')).toBe('0');
    const zeroes = createHash('sha256')
      .update(Buffer.alloc(8 * MIB))
      .digest('hex');
    expect(sumOfImage('holes', 48 * MIB, 8 * MIB)).toBe(zeroes);
    expect(sumOfImage('holes', 56 * MIB, 8 * MIB)).toBe(guestSum('vde-tail'));
    expect(summaries.get('holes')!['writeZeroes']).toBeGreaterThanOrEqual(1);
  });

  test.each([
    ['dos', 'vdf'],
    ['gpt', 'vdg'],
  ] as const)('the partitions of a %s table are those that vloop reads in it', (kind, device) => {
    const listed = partitions.get(kind)!;
    expect(listed.length).toBe(kind === 'dos' ? 5 : 3);
    for (const { number, start, size, type_name } of listed) {
      const [guestStart, guestSize] = report.value(`${device}-${number}`).split(' ').map(Number);
      // Linux shows two sectors of an extended partition: enough for a boot loader.
      const sectors = type_name === 'Extended' ? 2 : size / 512;
      expect([number, guestStart, guestSize]).toEqual([number, start / 512, sectors]);
    }
  });

  test('no request of the guest was broken or failed', () => {
    for (const [name, summary] of summaries) {
      expect(summary['guestViolations'], name).toBe(0);
      expect(summary['errors'], name).toBe(0);
    }
  });
});
