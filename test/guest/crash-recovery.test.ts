/**
 * vloop gets SIGKILL again and again while a guest works on its disk, and is started again on the same socket:
 * QEMU connects by itself and hands the in-flight region back. The guest checks every byte that it wrote
 * and sees no error; the file system is sound. GUEST_KILLS=n makes a campaign of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const opened = await requireGuestAssets('recovery after SIGKILL');

const KILLS = Number(process.env['GUEST_KILLS'] ?? 4);
/** QEMU's reconnect=1 waits a second, and vloop serves for a random while. */
const CYCLE_S = 3;
const CONNECT_TIMEOUT_MS = 20_000;
const KILLS_OF_A_CAMPAIGN = 30;
const WRITERS = 3;
const TAKEN_UP = 'requests in flight taken up again';

/** Writers that read back what they wrote, from the disk, and fio with checksums at depth 32 beside them. */
const script = (seconds: number) => `
set -e
mkfs.ext4 -q -F /dev/vda
mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/tmp/source bs=1M count=4 2>/dev/null
end=$(($(date +%s) + ${seconds}))
writer() {
  rounds=0
  while [ $(date +%s) -lt $end ]; do
    { echo $1 $rounds; tail -c +$((1 + rounds * 512)) /tmp/source; } >/tmp/w$1
    dd if=/tmp/w$1 of=/mnt/w$1 bs=32k conv=fsync 2>/dev/null || echo "RESULT bad write $1 $rounds"
    echo 1 >/proc/sys/vm/drop_caches
    cmp /tmp/w$1 /mnt/w$1 || echo "RESULT bad data $1 $rounds"
    rounds=$(((rounds + 1) % 8000))
  done
  echo "RESULT rounds $rounds"
}
deep() {
  passes=0
  while [ $(date +%s) -lt $end ]; do
    fio --name=deep --filename=/mnt/deep --size=16M --rw=randwrite --bsrange=4k-1m --direct=1 \\
      --ioengine=libaio --iodepth=32 --verify=crc32c --verify_fatal=1 >/tmp/fio 2>&1 ||
      { echo 'RESULT bad fio'; cat /tmp/fio; }
    passes=$((passes + 1))
  done
  echo "RESULT passes $passes"
}
for i in $(seq ${WRITERS}); do writer $i & done
deep &
echo LOAD-RUNS
wait
echo LOAD-ENDS
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1
echo 'RESULT fsck clean'
dmesg | grep -i 'I/O error' | sed 's/^/RESULT kernel /' || true
`;

describe.skipIf(!opened.ok).each([
  ['split', ''],
  ['packed', 'packed=on'],
])('%s rings', (layout, deviceOptions) => {
  let lab: GuestLab;
  let disk: GuestDisk;
  const options = { sizeBytes: 128 * 2 ** 20, vloop: ['--num-queues=2', '--direct-io=auto'] };

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', options);
  });

  afterAll(() => lab?.close());

  /** Requests that this process took up from the one before it. */
  const takenUp = () =>
    disk.process.output
      .split('\n')
      .filter((line) => line.includes(TAKEN_UP))
      .reduce((sum, line) => sum + Number(/"requests":(\d+)/.exec(line)?.[1] ?? 0), 0);

  test(
    `vloop is killed ${KILLS} times under verified load`,
    async () => {
      const guest = await lab.boot({
        script: script(KILLS * CYCLE_S + 3),
        programs: ['fio'],
        arguments: [
          ...['-chardev', `socket,id=disk,path=${disk.socket},reconnect=1`],
          ...['-device', `vhost-user-blk-pci,chardev=disk,${deviceOptions || 'packed=off'}`],
        ],
      });
      await guest.says('LOAD-RUNS');
      let repeated = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(300 + ((kill * 271) % 900));
        expect(guest.serial, 'the load still runs').not.toContain('LOAD-ENDS');
        repeated += takenUp();
        await disk.process.kill();
        disk = await lab.disk('disk', options);
        await waitFor(
          () => `front-end at vloop again; it said: ${disk.process.output}`,
          CONNECT_TIMEOUT_MS,
          () => disk.process.output.includes('front-end connected') || undefined,
        );
        // QEMU 7.2 does not come back from a connection that ends before its first answer.
        await sleep(200);
      }
      const report = await guest.finish();
      repeated += takenUp();
      const rounds = report.values('rounds').map(Number);
      process.stderr.write(
        `${layout}: ${KILLS} kills, ${repeated} requests repeated, ${rounds.join(' + ')} rounds of 4 MiB written and checked, ${report.value('passes')} passes of fio\n`,
      );
      expect(report.values('bad')).toEqual([]);
      expect(report.values('kernel')).toEqual([]);
      expect(rounds).toHaveLength(WRITERS);
      expect(report.value('fsck')).toBe('clean');
      // A kill between two requests leaves none to repeat; the kernel tests make sure of that.
      if (KILLS >= KILLS_OF_A_CAMPAIGN) expect(repeated).toBeGreaterThan(0);
      const summary = await disk.stop();
      expect(summary['errors']).toBe(0);
      expect(summary['guestViolations']).toBe(0);
      await mustRun(['e2fsck', '-fn', disk.image], 60_000);
    },
    180_000 + KILLS * 10_000,
  );
});
