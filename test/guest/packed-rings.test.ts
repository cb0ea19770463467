/**
 * A guest on packed rings (QEMU: packed=on): with indirect tables and event indices on two queues, and
 * with chains in the ring and neither. SeaBIOS has driven both on split rings before. Both are formatted,
 * filled, read back after the driver was taken off and put on again, and compared with the images on this
 * machine. Sizes that are no power of two cannot be had here: Linux 6.1 refuses them itself.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  VIRTIO_F_RING_PACKED,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../../protocol/virtio-ring.ts';
import { mustRun } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';

const MIB = 2 ** 20;
const opened = await requireGuestAssets('packed rings');

const script = `
set -e
for disk in vda vdb; do
  echo "RESULT $disk-features $(cat /sys/block/$disk/device/features)"
  echo "RESULT $disk-queues $(ls /sys/block/$disk/mq | wc -l)"
done

# Large and small requests at once, in both directions, at any depth the guest likes.
for disk in vda vdb; do
  dd if=/dev/urandom of=/tmp/$disk bs=1M count=24 2>/dev/null
  for part in 0 1 2 3; do
    dd if=/tmp/$disk of=/dev/$disk bs=$((4 << (2 * part)))k iflag=fullblock,skip_bytes,count_bytes \\
      skip=$((part * 6))M count=6M oflag=seek_bytes,direct seek=$((128 + part * 6))M conv=notrunc 2>/dev/null &
  done
done
wait
for disk in vda vdb; do
  mkfs.ext4 -q -F /dev/$disk 100M
  mount -t ext4 /dev/$disk /mnt
  cp -r /lib /tmp/$disk /mnt
  find /mnt -type f -exec sha256sum {} + >/tmp/$disk.sums
  umount /mnt
done

# The driver goes and comes: rings stop and start anew, and nothing is in the guest's cache any more.
for disk in vda vdb; do
  device=$(basename "$(readlink -f /sys/block/$disk/device)")
  echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind
  echo $device >/sys/bus/virtio/drivers/virtio_blk/bind
done
for i in 1 2 3 4 5; do [ -b /dev/vda ] && [ -b /dev/vdb ] && break; sleep 1; done
for disk in vda vdb; do
  mount -t ext4 /dev/$disk /mnt
  sha256sum -c /tmp/$disk.sums >/tmp/checked
  echo "RESULT $disk-verified $(grep -c ': OK' /tmp/checked) of $(wc -l </tmp/$disk.sums)"
  umount /mnt
  e2fsck -fn /dev/$disk >/dev/null 2>&1
  echo "RESULT $disk-sum $(sha256sum </tmp/$disk)"
  echo "RESULT $disk-read $(dd if=/dev/$disk bs=64k iflag=skip_bytes,count_bytes,direct skip=128M count=24M 2>/dev/null | sha256sum)"
done
`;

describe.skipIf(!opened.ok)('a guest on packed rings', () => {
  let lab: GuestLab;
  let report: GuestReport;
  const disks: GuestDisk[] = [];
  const summaries: Summary[] = [];
  const logs: string[] = [];

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    const kinds = [
      ['indirect', 'packed=on,num-queues=2'],
      ['chained', 'packed=on,num-queues=1,queue-size=256,indirect_desc=off,event_idx=off'],
    ] as const;
    const qemuArguments: string[] = [];
    for (const [name, deviceOptions] of kinds) {
      const disk = await lab.disk(name, { sizeBytes: 256 * MIB, vloop: ['--log-level=debug'] });
      disks.push(disk);
      qemuArguments.push(...disk.qemuArguments(deviceOptions));
    }
    const guest = await lab.boot({ script, arguments: qemuArguments });
    report = await guest.finish();
    for (const disk of disks) {
      summaries.push(await disk.stop());
      logs.push(disk.process.output);
    }
  });

  afterAll(() => lab?.close());

  const names = ['vda', 'vdb'];
  const hasBit = (name: string, bit: number) => report.value(`${name}-features`)[bit] === '1';

  test('the guest has acked packed rings on both, and the rest on the first only', () => {
    expect(names.map((name) => hasBit(name, VIRTIO_F_RING_PACKED))).toEqual([true, true]);
    expect(names.map((name) => hasBit(name, VIRTIO_RING_F_INDIRECT_DESC))).toEqual([true, false]);
    expect(names.map((name) => hasBit(name, VIRTIO_RING_F_EVENT_IDX))).toEqual([true, false]);
    expect(names.map((name) => report.value(`${name}-queues`))).toEqual(['2', '1']);
  });

  test('vloop served packed rings, and split ones to the firmware', () => {
    const started = (log: string) =>
      log
        .split('\n')
        .filter((line) => line.includes('"vring started"'))
        .map((line) => JSON.parse(line) as { layout: string; size: number });
    for (const [i, size] of [128, 256].entries()) {
      expect(started(logs[i]!)[0]).toMatchObject({ layout: 'split' });
      expect(started(logs[i]!).at(-1)).toMatchObject({ layout: 'packed', size });
    }
  });

  test('every file has its checksum after the driver was taken off and put on again', () => {
    for (const name of names) {
      const [verified, , files] = report.value(`${name}-verified`).split(' ');
      expect(Number(files)).toBeGreaterThan(20);
      expect(verified).toBe(files);
    }
  });

  test('what was written is what the guest reads, and what the image holds', async () => {
    for (const [i, name] of names.entries()) {
      const sum = report.value(`${name}-sum`);
      expect(report.value(`${name}-read`)).toBe(sum);
      const bytes = Buffer.alloc(24 * MIB);
      const fd = openSync(disks[i]!.image, 'r');
      readSync(fd, bytes, 0, bytes.length, 128 * MIB);
      closeSync(fd);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sum.slice(0, 64));
      await mustRun(['e2fsck', '-fn', disks[i]!.image], 60_000);
    }
  });

  test('no request of the guest was broken or failed', () => {
    for (const summary of summaries) {
      expect(summary).toMatchObject({ guestViolations: 0, errors: 0 });
      expect(summary['bytesWritten']).toBeGreaterThan(24 * MIB);
    }
  });
});
