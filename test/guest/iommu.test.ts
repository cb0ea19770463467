/**
 * A guest with an IOMMU of its own in front of the disk: QEMU translates nothing for vloop but what it asks
 * for. Unmapped after every request (strict) and in bulk (lazy, where the rings' own translations go too);
 * the data comes back from the image, and vloop's counters show that no vring broke.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import { GuestLab } from '../support/guest-lab.ts';

const opened = await requireGuestAssets('a guest behind an IOMMU');

const script = `
set -e
disk=$(basename $(readlink -f /sys/block/vda/device))
echo "RESULT feature $(cut -c34 /sys/bus/virtio/devices/$disk/features)"
echo "RESULT groups $(ls /sys/kernel/iommu_groups | wc -l)"
echo "RESULT type $(cat $(readlink -f /sys/block/vda/device/../iommu_group)/type)"
mkfs.ext4 -q -F /dev/vda
round() {
  mount -t ext4 /dev/vda /mnt
  for i in 1 2 3 4; do dd if=/dev/urandom of=/mnt/data$1$i bs=64k count=16 conv=fsync 2>/dev/null & done
  wait
  sum=$(cat /mnt/data$1? | sha256sum)
  umount /mnt
  echo 3 >/proc/sys/vm/drop_caches
  mount -t ext4 /dev/vda /mnt
  [ "$(cat /mnt/data$1? | sha256sum)" = "$sum" ]
  umount /mnt
}
round a
echo $disk >/sys/bus/virtio/drivers/virtio_blk/unbind
echo $disk >/sys/bus/virtio/drivers/virtio_blk/bind
round b
e2fsck -fn /dev/vda >/dev/null 2>&1
echo 'RESULT verified yes'
`;

describe.skipIf(!opened.ok)('a guest behind an IOMMU', () => {
  let lab: GuestLab;

  beforeAll(() => {
    if (opened.ok) lab = new GuestLab(opened.assets);
  });

  afterAll(() => lab?.close());

  test.each([
    ['strict', 'iommu.strict=1', 'DMA'],
    ['lazy', 'iommu.strict=0', 'DMA-FQ'],
  ])('intel-iommu, %s', async (name, strictness, type) => {
    const trace = join(lab.folder, `trace-${name}`);
    const vloop = ['--workers=2', `--trace-messages=${trace}`];
    const disk = await lab.disk(name, { sizeBytes: 64 * 2 ** 20, vloop });
    const guest = await lab.boot({
      script,
      append: `intel_iommu=on ${strictness}`,
      arguments: [
        ...['-device', 'intel-iommu,intremap=off,device-iotlb=on'],
        // On the root bus itself QEMU's devices have no ATS, and nobody would hear of invalidations.
        ...['-device', 'pcie-root-port,id=rp0,chassis=1'],
        ...disk.qemuArguments('bus=rp0,iommu_platform=on,ats=on,num-queues=2'),
      ],
    });
    const report = await guest.finish();
    expect(report.value('feature')).toBe('1');
    expect(Number(report.value('groups'))).toBeGreaterThan(0);
    expect(report.value('type')).toBe(type);
    expect(report.value('verified')).toBe('yes');
    const summary = await disk.stop();
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
    expect(summary['bytesRead']).toBeGreaterThan(8 * 2 ** 20);
    await mustRun(['e2fsck', '-fn', disk.image], 60_000);
    // Without them this would be the wrong machine: nothing that was unmapped would have been heard of.
    const lines = readFileSync(trace, 'latin1').split('\n');
    expect(lines.filter((line) => line.includes('type=3')).length).toBeGreaterThan(20);
  });
});
