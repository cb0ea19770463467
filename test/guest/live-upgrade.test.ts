/**
 * A guest whose file system is written and verified without a break while its disk goes from one vloop
 * process to the next, several times. The guest has one device, QEMU one connection, and neither reports
 * anything; the file system is clean, seen from inside and from outside.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';

const UPGRADES_LEAST = 5;
const UPGRADE_TIMEOUT_MS = 30_000;
const TOOK_OVER = '"msg":"took over from another process"';
const opened = await requireGuestAssets('live upgrade under a guest');

/** Written at depth 16 in pieces of 4 to 64 KiB past the page cache, read back and compared, over and over. */
const fio =
  'fio --name=load --directory=/mnt --size=24M --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite ' +
  '--bsrange=4k-64k --verify=crc32c --verify_fatal=1 --verify_backlog=128 --serialize_overlap=1 ' +
  '--do_verify=1 --randrepeat=0 --fsync=64 --output-format=terse';

const script = `
set -e
seconds() { cut -d. -f1 /proc/uptime; }
mkfs.ext4 -q -F /dev/vda
mount -t ext4 /dev/vda /mnt
echo LOAD-RUNS
end=$(($(seconds) + 10))
rounds=0
while [ $(seconds) -lt $end ]; do
  ${fio} >/tmp/out 2>&1 || { cat /tmp/out; exit 1; }
  rounds=$((rounds + 1))
done
echo LOAD-ENDS
echo "RESULT rounds $rounds"
echo "RESULT complaints $(dmesg | grep -ciE 'i/o error|vda.*(reset|timeout)|blocked for more' || true)"
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1 && echo 'RESULT fsck clean'
`;

describe.skipIf(!opened.ok)('a disk goes from process to process under a guest that writes', () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let report: GuestReport;
  let summary: Summary;
  let pauses: number[];

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', { sizeBytes: 128 * 2 ** 20 });
    const guest = await lab.boot({ script, programs: ['fio'], arguments: disk.qemuArguments() });
    await guest.says('LOAD-RUNS');
    while (!guest.serial.includes('LOAD-ENDS') && !guest.serial.includes('GUEST-RC')) {
      await upgrade();
    }
    report = await guest.finish();
    summary = await disk.stop();
    const lines = disk.process.output.split('\n').filter((line) => line.includes(TOOK_OVER));
    pauses = lines.map((line) => Number((JSON.parse(line) as Record<string, number>)['pauseUs']));
  });

  afterAll(() => lab?.close());

  async function upgrade(): Promise<void> {
    const count = () => disk.process.output.split(TOOK_OVER).length;
    const before = count();
    disk.process.signal('SIGUSR2');
    await waitFor(
      () => `successor of vloop; it said: ${disk.process.output}`,
      UPGRADE_TIMEOUT_MS,
      () => count() > before || undefined,
    );
  }

  test('several upgrades, each with a pause that is told', () => {
    const sorted = pauses.map((us) => us / 1000).sort((a, b) => a - b);
    process.stdout.write(
      `guest: pause of ${sorted.length} upgrades: median ${sorted[sorted.length >> 1]?.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms\n`,
    );
    expect(sorted.length).toBeGreaterThanOrEqual(UPGRADES_LEAST);
    expect(sorted[0]).toBeGreaterThan(0);
  });

  test('every byte was right, nothing was complained of, and the file system is clean', async () => {
    expect(Number(report.value('rounds'))).toBeGreaterThan(0);
    expect(report.value('complaints')).toBe('0');
    expect(report.value('fsck')).toBe('clean');
    await mustRun(['e2fsck', '-fn', disk.image], 60_000);
  });

  test('one front-end, whose requests all processes together have counted', () => {
    expect(disk.process.output.split('"msg":"front-end connected"')).toHaveLength(2);
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
    const least = Number(report.value('rounds')) * 24 * 2 ** 20;
    expect(summary['bytesWritten']).toBeGreaterThanOrEqual(least);
  });
});
