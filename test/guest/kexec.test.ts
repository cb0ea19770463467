/**
 * A guest that changes its kernel while it reads and writes: kexec leaves the rings of the old kernel in
 * memory that the new one takes over, a reboot comes through firmware. The kernels come from the vloop
 * disk; what one has written the next one reads. vloop keeps one process, its fds and its mappings.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const MIB = 2 ** 20;
const BOOTS = 4;
const KERNEL_AT = 1;
const INITRD_AT = 32;
const DATA_AT = 96;
const LOAD_AT = 112;
const opened = await requireGuestAssets('kexec');

const script = (kernelBytes: number, initrdBytes: number) => `
set -e
boots=$(($(dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | head -n 1) + 1))
dd if=/dev/vda of=/tmp/data bs=1M skip=${DATA_AT} count=4 iflag=direct 2>/dev/null
echo "RESULT found $(sha256sum </tmp/data)"
dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=1M seek=${DATA_AT} oflag=direct conv=notrunc 2>/dev/null
(echo $boots; head -c 510 /dev/zero) | head -c 512 | dd of=/dev/vda bs=512 oflag=direct conv=notrunc 2>/dev/null
echo "RESULT wrote $(sha256sum </tmp/data)"
echo "RESULT kernel $(grep -c by-kexec /proc/cmdline)"
[ $boots -lt ${BOOTS} ] || exit 0

# Of these nothing is expected, except that they do no harm.
for i in 0 1; do
  (while :; do dd if=/dev/vda of=/dev/null bs=256k count=32 iflag=direct 2>/dev/null; done) &
  (while :; do dd if=/dev/zero of=/dev/vda bs=64k count=64 seek=$((${LOAD_AT * 16} + i * 64)) oflag=direct conv=notrunc 2>/dev/null; done) &
done
if [ $((boots % 2)) = 1 ]; then
  dd if=/dev/vda bs=1M skip=${KERNEL_AT} count=24 2>/dev/null | head -c ${kernelBytes} >/tmp/kernel
  dd if=/dev/vda bs=1M skip=${INITRD_AT} count=48 2>/dev/null | head -c ${initrdBytes} >/tmp/initrd
  kexec -l /tmp/kernel --initrd=/tmp/initrd --append="$(cat /proc/cmdline) by-kexec"
  echo "KEXEC-$boots"
  kexec -e
else
  sleep 0.2
  echo "REBOOT-$boots"
  reboot -f
fi
sleep 60
exit 1
`;

describe.skipIf(!opened.ok)('a guest that changes its kernel under load', () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let kernelBytes = 0;
  let initrdBytes = 0;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    const { base, kexec } = opened.assets;
    const kernel = readFileSync(join(base, 'vmlinuz'));
    const archives = [join(base, 'guest.cpio'), join(kexec, 'kexec.cpio')];
    const initrd = Buffer.concat(archives.map((path) => readFileSync(path)));
    kernelBytes = kernel.length;
    initrdBytes = initrd.length;
    const image = Buffer.alloc(160 * MIB);
    image.write('0\n');
    kernel.copy(image, KERNEL_AT * MIB);
    initrd.copy(image, INITRD_AT * MIB);
    expect(KERNEL_AT * MIB + kernelBytes).toBeLessThan(INITRD_AT * MIB);
    expect(INITRD_AT * MIB + initrdBytes).toBeLessThan(DATA_AT * MIB);
    writeFileSync(join(lab.folder, 'disk.img'), image);
    disk = await lab.disk('disk', { vloop: ['--workers=2'] });
  });

  afterAll(() => lab?.close());

  function held() {
    const { pid } = disk.process;
    const maps = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n');
    return {
      fds: readdirSync(`/proc/${pid}/fd`).length,
      mappings: maps.filter((line) => line.includes('/memfd:')).length,
    };
  }

  test('kexec, reboot, kexec: every kernel finds what the last one wrote', async () => {
    const guest = await lab.boot({
      script: script(kernelBytes, initrdBytes),
      programs: ['kexec'],
      mayReboot: true,
      arguments: disk.qemuArguments('num-queues=2'),
    });
    await guest.says('KEXEC-1');
    const before = held();
    await guest.says('KEXEC-3');
    expect(held()).toEqual(before);
    const report = await guest.finish();
    expect(report.values('kernel')).toEqual(['0', '1', '0', '1']);
    expect(report.values('found').slice(1)).toEqual(report.values('wrote').slice(0, -1));
    expect(new Set(report.values('wrote')).size).toBe(BOOTS);
    const summary = await disk.stop();
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
  });
});
