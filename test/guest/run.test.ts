/**
 * `vloop run` with QEMU: disks filled into its command line, memory made shared, a disk killed under the guest's
 * verified writes, the guest's own end and SIGTERM. Afterwards no process, socket or directory is left.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { Guest } from '../support/guest-vm.ts';
import { noise } from '../support/image-content.ts';
import { isAlive } from '../support/process-alive.ts';
import { vloopCommand } from '../support/vloop-process.ts';

const opened = await requireGuestAssets('vloop run');
const WAIT_MS = 30_000;
const BOOT_TIMEOUT_MS = 60_000;
const BOOT_ATTEMPTS = 3;
const DATA_BYTES = 4 * 2 ** 20;

/** Writes and reads back until vloop has been killed and serves again, then a few times more. */
const script = `
set -e
echo "RESULT serial $(cat /sys/block/vda/serial)"
echo "RESULT queues $(ls /sys/block/vda/mq | wc -l)"
echo "RESULT ro $(cat /sys/block/vdb/ro)"
echo "RESULT sum $(sha256sum </dev/vdb)"
dd if=/dev/urandom of=/tmp/data bs=64k count=64 2>/dev/null
round() {
  dd if=/tmp/data of=/dev/vda bs=64k seek=$(($1 % 2 * 64)) oflag=direct 2>/dev/null
  dd if=/dev/vda of=/tmp/read bs=64k skip=$(($1 % 2 * 64)) count=64 iflag=direct 2>/dev/null
  cmp /tmp/data /tmp/read
}
i=0
while [ $i -lt 2000 ] && ! grep -q again /dev/vdc; do
  round $i
  i=$((i + 1))
  [ $i != 2 ] || echo LOAD-RUNS
  echo 1 >/proc/sys/vm/drop_caches
done
round 0
round 1
echo "RESULT rounds $i"
dmesg | grep -i 'I/O error' | sed 's/^/RESULT kernel /' || true
`;

describe.skipIf(!opened.ok)('QEMU under vloop run', () => {
  let lab: GuestLab;
  let temporary: string;
  const path = (name: string) => join(lab.folder, name);

  beforeAll(() => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    temporary = path('tmp');
    mkdirSync(temporary);
    writeFileSync(path('data.img'), new Uint8Array(2 * DATA_BYTES));
    writeFileSync(path('fixed.img'), noise(DATA_BYTES, 3));
    writeFileSync(path('word.img'), new Uint8Array(4096));
  });

  afterAll(() => lab?.close());

  const through = () => [
    ...['env', `TMPDIR=${temporary}`, `VLOOP_RUN_DIR=${path('run')}`, ...vloopCommand(), 'run'],
    ...['--disk', `${path('data.img')},serial=data,num_queues=2`],
    ...['--disk', `${path('fixed.img')},ro`],
    ...['--disk', `${path('word.img')},direct_io=off`],
    // The machine is not to outlive a test run that is killed.
    ...['--log', path('log'), '--', 'setpriv', '--pdeathsig', 'KILL', '--'],
  ];

  const logged = (message: string) =>
    (existsSync(path('log')) ? readFileSync(path('log'), 'utf8') : '')
      .split('\n')
      .filter((line) => line.includes(`"msg":"${message}"`) && line.endsWith('}'))
      .map((line) => JSON.parse(line) as { pid: number; file: string });
  const pidOf = (name: string) =>
    logged('serving').findLast(({ file }) => file === path(name))?.pid;

  function expectNothingLeft(): void {
    expect(readdirSync(temporary)).toEqual([]);
    for (const { pid } of logged('serving')) expect(isAlive(pid)).toBe(false);
  }

  /** As GuestLab boots: QEMU 7.2's TCG loses a machine now and then. The disks end with it. */
  async function boot(): Promise<Guest> {
    for (let attempt = 1; ; attempt++) {
      const guest = lab.start({ script, through: through(), arguments: ['{disks}'] });
      const stall = await guest.stallAtBoot(BOOT_TIMEOUT_MS);
      if (stall === null) return guest;
      await guest.terminate();
      if (attempt === BOOT_ATTEMPTS) throw new Error(stall.text);
    }
  }

  test('a guest works on its disks, one of which is killed, and powers off', async () => {
    const guest = await boot();
    await guest.says('LOAD-RUNS');
    const killed = pidOf('data.img')!;
    process.kill(killed, 'SIGKILL');
    await waitFor(
      () => `disk that is started again; log: ${readFileSync(path('log'), 'utf8')}`,
      WAIT_MS,
      () => pidOf('data.img') !== killed || undefined,
    );
    writeFileSync(path('word.img'), 'again'.padEnd(4096), { flag: 'r+' });
    const report = await guest.finish();
    expect(report.value('serial')).toBe('data');
    expect(report.value('queues')).toBe('2');
    expect(report.value('ro')).toBe('1');
    const sum = createHash('sha256').update(noise(DATA_BYTES, 3)).digest('hex');
    expect(report.value('sum')).toContain(sum);
    expect(Number(report.value('rounds'))).toBeGreaterThan(1);
    expect(report.values('kernel')).toEqual([]);
    expectNothingLeft();
  });

  test('SIGTERM ends the machine, and the disks after it', async () => {
    // Not started (-S): there is nothing that has to boot.
    const before = logged('front-end connected').length;
    const guest = lab.start({ script, through: through(), arguments: ['{disks}', '-S'] });
    await waitFor(
      () => `QEMU at its disks; log: ${readFileSync(path('log'), 'utf8')}`,
      WAIT_MS,
      () => logged('front-end connected').length >= before + 3 || undefined,
    );
    // It answers: by now it handles signals, too.
    await guest.qmp('query-status');
    const { status, signal } = await guest.terminate(WAIT_MS);
    expect([status, signal]).toEqual([0, null]);
    expectNothingLeft();
  });
});
