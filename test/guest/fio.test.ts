/**
 * fio in a guest with crc32c verification: direct, random writes of mixed sizes on several queues, read
 * back and compared by the guest; then the same data once more after the guest has been restarted.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';

const MIB = 2 ** 20;
const opened = await requireGuestAssets('fio in a guest');

const options =
  '--filename=/dev/vda --direct=1 --rw=randwrite --verify=crc32c --verify_fatal=1 --randrepeat=1 ' +
  '--output-format=terse --group_reporting';
const mixed =
  `fio --name=mixed ${options} --ioengine=libaio --iodepth=16 --bsrange=512-128k ` +
  '--blockalign=512 --size=128M --io_size=48M --serialize_overlap=1 --do_verify=1';
const small =
  `fio --name=small ${options} --ioengine=io_uring --iodepth=32 --bs=4k --offset=128M --size=32M ` +
  '--norandommap=0';

describe.skipIf(!opened.ok)('fio with crc32c verification', () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let first: GuestReport;
  let second: GuestReport;
  let summary: Summary;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', { sizeBytes: 256 * MIB, vloop: ['--workers=2'] });
    const qemuArguments = disk.qemuArguments('num-queues=2');
    const run = async (script: string) => {
      const guest = await lab.boot({ script, programs: ['fio'], arguments: qemuArguments });
      return await guest.finish();
    };
    first = await run(`
set -e
echo "RESULT queues $(ls /sys/block/vda/mq | wc -l)"
${mixed} >/tmp/out 2>&1 && echo 'RESULT mixed ok' || { cat /tmp/out; exit 1; }
${small} --do_verify=1 >/tmp/out 2>&1 && echo 'RESULT small ok' || { cat /tmp/out; exit 1; }
`);
    second = await run(`
set -e
${small} --verify_only=1 >/tmp/out 2>&1 && echo 'RESULT again ok' || { cat /tmp/out; exit 1; }
# The verifier itself: one changed byte must not pass.
printf x | dd of=/dev/vda bs=1 seek=$((130 * 1048576 + 99)) conv=notrunc 2>/dev/null
sync
${small} --verify_only=1 >/tmp/out 2>&1 && echo 'RESULT damaged ok' || echo 'RESULT damaged found'
`);
    summary = await disk.stop();
  });

  afterAll(() => lab?.close());

  test('random writes of 512 bytes to 128 KiB read back as written, on two queues', () => {
    expect(first.value('queues')).toBe('2');
    expect(first.value('mixed')).toBe('ok');
  });

  test('random 4 KiB writes at queue depth 32 read back as written', () => {
    expect(first.value('small')).toBe('ok');
  });

  test('another boot of the guest verifies the same data, and sees a byte that was changed', () => {
    expect(second.value('again')).toBe('ok');
    expect(second.value('damaged')).toBe('found');
  });

  test('vloop counted what fio wrote', () => {
    expect(summary['bytesWritten']).toBeGreaterThanOrEqual(80 * MIB);
    expect(summary['bytesRead']).toBeGreaterThanOrEqual(80 * MIB);
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
  });
});
