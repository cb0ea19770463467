/**
 * One vloop process and what happens to its front-end: the guest reboots, the machine is reset and
 * stopped under load, QEMU is killed under load. Each time the disk is set up again and everything that
 * was synced is there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const opened = await requireGuestAssets('reboots and restarts');

/** Makes the file system on the first boot, and checks it on every later one. */
const prologue = `
set -e
if mount -t ext4 /dev/vda /mnt 2>/dev/null; then
  [ "$(cat /mnt/data* | sha256sum)" = "$(cat /mnt/sum)" ]
  boots=$(($(cat /mnt/boots) + 1))
else
  mkfs.ext4 -q -F /dev/vda
  mount -t ext4 /dev/vda /mnt
  boots=1
fi
dd if=/dev/urandom of=/mnt/data$boots bs=1M count=4 2>/dev/null
cat /mnt/data* | sha256sum >/mnt/sum
echo $boots >/mnt/boots
sync
echo "RESULT boots $boots"
`;
const epilogue = `
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1
echo 'RESULT fsck clean'
`;
/** Data of which nothing is expected afterwards, except that it does no harm. */
const load = `
for i in 1 2; do
  while :; do dd if=/dev/urandom of=/mnt/load$i bs=256k count=16 conv=fsync 2>/dev/null; done &
done
echo LOAD-RUNS
wait
`;

describe.skipIf(!opened.ok)('the front-end comes and goes', () => {
  let lab: GuestLab;
  let disk: GuestDisk;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', { sizeBytes: 256 * 2 ** 20, vloop: ['--workers=2'] });
  });

  afterAll(() => lab?.close());

  /** The guest's boots are counted on the disk, so that each test knows which one it sees. */
  let boots = 0;

  test('the guest reboots by itself and finds its data', async () => {
    const guest = await lab.boot({
      script: `${prologue}
if [ $boots = 1 ]; then
  umount /mnt
  reboot -f
  sleep 60
fi
${epilogue}`,
      mayReboot: true,
      arguments: disk.qemuArguments(),
    });
    const report = await guest.finish();
    expect(report.values('boots')).toEqual([`${++boots}`, `${++boots}`]);
    expect(report.value('fsck')).toBe('clean');
  });

  test('the machine is stopped, continued and reset while the guest writes', async () => {
    const guest = await lab.boot({
      script: `${prologue}
if [ $boots = ${boots + 1} ]; then
${load}
fi
${epilogue}`,
      mayReboot: true,
      arguments: disk.qemuArguments(),
    });
    await guest.says('LOAD-RUNS');
    for (let round = 0; round < 3; round++) {
      await sleep(200);
      await guest.qmp('stop');
      await guest.qmp('cont');
    }
    await sleep(500);
    await guest.qmp('system_reset');
    const report = await guest.finish();
    expect(report.values('boots')).toEqual([`${++boots}`, `${++boots}`]);
    expect(report.value('fsck')).toBe('clean');
  });

  test('QEMU gets SIGKILL while the guest writes, and is started again', async () => {
    const victim = await lab.boot({
      script: `${prologue}${load}`,
      arguments: disk.qemuArguments(),
    });
    await victim.says('LOAD-RUNS');
    expect(victim.serial).toContain(`RESULT boots ${++boots}`);
    await sleep(1000);
    await victim.kill();
    const guest = await lab.boot({
      script: `${prologue}${epilogue}`,
      arguments: disk.qemuArguments(),
    });
    const report = await guest.finish();
    expect(report.values('boots')).toEqual([`${++boots}`]);
    expect(report.value('fsck')).toBe('clean');
  });

  test('vloop has served all of it as one process, and the image is sound', async () => {
    const summary = await disk.stop();
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
    await mustRun(['e2fsck', '-fn', disk.image], 60_000);
  });
});
