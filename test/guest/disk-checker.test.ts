/**
 * The disk checker in a guest: on a right vloop it finds nothing, on the device with two queues and on a file on it; on
 * vloops that are broken on purpose it finds each, says where, and ends with status 1.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Breakage, brokenVloop } from '../support/broken-vloop.ts';
import { requireDiskChecker } from '../support/disk-checker-program.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk, Summary } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';

const MIB = 2 ** 20;
const what = 'the disk checker in a guest';
const checked = await requireDiskChecker(what);
const opened = await requireGuestAssets(what);

/** Each found within the operations that a right disk passes, whatever the seed. */
const BROKEN: ReadonlyArray<readonly [string, Breakage, number]> = [
  ['vdb', 'lost', 97],
  ['vdc', 'stale', 97],
  ['vdd', 'notZeroed', 3],
  ['vde', 'swapped', 5],
];

const script = `
check() {
  name=$1
  shift
  disk-checker --seed=11 --size=8M --rounds=2 --shrink-seconds=0 "$@" >/tmp/out 2>&1
  echo "RESULT $name-status $?"
  sed "s/^/RESULT $name-said /" /tmp/out
}
check device --ops=800 /dev/vda
check buffered --ops=200 --io=buffered --size=512K /dev/vda
mkfs.ext4 -q -F /dev/vda
mount -t ext4 /dev/vda /mnt
check file --ops=400 /mnt/file
check busy --ops=10 /dev/vda
umount /mnt
for disk in ${BROKEN.map(([disk]) => disk).join(' ')}; do check $disk --ops=600 --shrink-seconds=$([ $disk = vdb ] && echo 5 || echo 0) /dev/$disk; done
`;

describe.skipIf(!opened.ok || !checked.ok)(what, () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let report: GuestReport;
  let summary: Summary;

  beforeAll(async () => {
    if (!opened.ok || !checked.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('vda', { sizeBytes: 64 * MIB, vloop: ['--workers=2'] });
    const qemuArguments = disk.qemuArguments('num-queues=2');
    for (const [name, breakage, oneIn] of BROKEN) {
      const { nodeFlags, args } = brokenVloop(breakage, oneIn);
      const broken = await lab.disk(name, { sizeBytes: 16 * MIB, vloop: args, nodeFlags });
      qemuArguments.push(...broken.qemuArguments('num-queues=2'));
    }
    const archives = [checked.checker.archive];
    const guest = await lab.boot({ script, archives, arguments: qemuArguments });
    report = await guest.finish();
    summary = await disk.stop();
  });

  afterAll(() => lab?.close());

  const said = (name: string) => report.values(`${name}-said`).join('\n');

  test.each([
    ['device', 3200],
    ['buffered', 800],
    ['file', 1600],
  ])('a right disk passes: %s', (name, operations) => {
    expect(report.value(`${name}-status`), said(name)).toBe('0');
    const ok = /disk-checker: ok: (\d+) operations, (\d+) read, (\d+) write, (\d+) zero/;
    const counts = ok.exec(said(name))?.slice(1).map(Number) ?? [];
    expect(counts[0], said(name)).toBeGreaterThan(operations);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  test('its requests reached vloop as what they are, and none failed', () => {
    expect(summary['errors']).toBe(0);
    expect(summary['guestViolations']).toBe(0);
    for (const kind of ['reads', 'writes', 'flushes', 'discards', 'writeZeroes'])
      expect(summary[kind], kind).toBeGreaterThan(10);
  });

  test('a mounted disk is left alone: status 2', () => {
    expect(report.value('busy-status')).toBe('2');
    expect(said('busy')).toBe('disk-checker: /dev/vda is in use (mounted?)');
  });

  test.each(BROKEN)('%s: a write or read that is %s is found', (name) => {
    expect(report.value(`${name}-status`), said(name)).toBe('1');
    const found = /MISMATCH at offset (\d+): expected (.*) \(.*\), #(\d+) got .*\(seed 11\)/;
    const [, offset, , number] = found.exec(said(name)) ?? [];
    expect(offset, said(name)).toBeDefined();
    expect(said(name)).toContain(`\n#${number} thread `);
  });

  test('a write that was lost is the whole of the smallest log', () => {
    expect(said('vdb')).toMatch(/the fewest found that fail .*, 1 of \d+:\n#\d+ thread \d write/);
  });
});
