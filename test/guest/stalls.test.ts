/**
 * Machines that do not come on: what the tests' own waits do with them. One that never begins, with disks that
 * owe it nothing, is started again before it counts as a failure; one that waits for its disk is a failure at
 * once, and the message says what the disk owes.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const opened = await requireGuestAssets('machines that do not come on');
const SPIN = [0xeb, 0xfe];
const FIRMWARE_BYTES = 65_536;

describe.skipIf(!opened.ok)('a machine that does not come on', () => {
  let lab: GuestLab;
  let disk: GuestDisk;

  beforeEach(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', { sizeBytes: 16 * 2 ** 20 });
  });

  afterEach(() => lab?.close());

  test('in its firmware, is started again twice, each time with a line, and then a failure', async () => {
    const firmware = join(lab.folder, 'spin');
    writeFileSync(firmware, Buffer.alloc(FIRMWARE_BYTES, Buffer.from(SPIN)));
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const boot = lab.boot({
      script: '',
      bootTimeoutMs: 500,
      arguments: ['-bios', firmware, ...disk.qemuArguments()],
    });
    const reason = await boot.catch((error: Error) => error.message);
    const lines = said.mock.calls.map(([text]) => `${text}`.split('\n')[0]);
    said.mockRestore();
    expect(reason).toMatch(
      /attempt 3.*threads of QEMU.*QEMU answers: running.*has no driver yet$/s,
    );
    expect(lines).toEqual([
      expect.stringContaining('(attempt 1); its disks owe it nothing: started again'),
      expect.stringContaining('(attempt 2); its disks owe it nothing: started again'),
    ]);
  });

  test('because its disk does not answer, is a failure that says so', async () => {
    const guest = await lab.boot({
      script: `
until dd if=/dev/vda of=/dev/null bs=4k count=1 skip=$((skip += 1)) iflag=direct 2>/dev/null && [ -e /stop ]; do
  echo READS
done`,
      arguments: disk.qemuArguments(),
    });
    await guest.says('READS');
    disk.process.signal('SIGSTOP');
    await expect(guest.says('never', 1000)).rejects.toThrow(
      /no "never".*the guest's last words:.*READS.*QEMU answers: running.*: 1 requests are not answered/s,
    );
    expect((await guest.evidence()).disksOweNothing).toBe(false);
    disk.process.signal('SIGCONT');
    await vi.waitUntil(async () => (await guest.evidence()).text.includes('nothing is owed'), {
      timeout: 20_000,
    });
  });
});
