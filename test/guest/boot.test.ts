/**
 * Guests that boot from a vloop disk: firmware, boot loader, kernel and root file system all come from
 * it. OVMF's legacy driver, which no vhost-user-blk back-end can serve, is refused in words, and vloop
 * goes on to serve the next front-end.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';

const REFUSAL_TIMEOUT_MS = 60_000;
const opened = await requireGuestAssets('booting from a disk');

const script = `
set -e
if [ -d /sys/firmware/efi ]; then echo 'RESULT firmware UEFI'; else echo 'RESULT firmware BIOS'; fi
echo "RESULT root $(grep ' / ext4 ' /proc/mounts | cut -d' ' -f1)"
dd if=/dev/urandom of=/written bs=1M count=4 2>/dev/null
echo "RESULT sum $(sha256sum </written)"
sync
`;

describe.skipIf(!opened.ok)('boot from a vloop disk', () => {
  let lab: GuestLab;
  let disk: GuestDisk;

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    copyFileSync(join(opened.assets.boot, 'boot.img'), join(lab.folder, 'boot.img'));
    disk = await lab.disk('boot', {});
  });

  afterAll(() => lab?.close());

  const firmware = () => ['-bios', opened.ok ? join(opened.assets.boot, 'OVMF.fd') : ''];

  /** Lines in vloop's log that refuse a legacy driver. */
  function refusals(): number {
    return disk.process.output
      .split('\n')
      .filter((line) => line.includes('VIRTIO_F_VERSION_1') && line.includes('disable-legacy=on'))
      .length;
  }

  async function bootsWith(kind: string, ...qemuArguments: string[]): Promise<void> {
    const guest = await lab.boot({ script, kernel: false, arguments: qemuArguments });
    const report = await guest.finish();
    expect(report.serial).toContain('GRUB-STARTED');
    expect(report.value('firmware')).toBe(kind);
    expect(report.value('root')).toBe('/dev/vda1');
    // What the guest wrote to its root file system is in the image.
    const written = join(lab.folder, 'written');
    const partition = `${disk.image}?offset=${2048 * 512}`;
    await mustRun(['debugfs', '-R', `dump /written ${written}`, partition], 30_000);
    expect(await mustRun(['sha256sum', written], 30_000)).toContain(
      report.value('sum').slice(0, 64),
    );
  }

  test('SeaBIOS and GRUB', async () => {
    await bootsWith('BIOS', ...disk.qemuArguments('bootindex=1'));
  });

  test.each([
    ["OVMF's legacy driver", true, ''],
    ['a legacy device (disable-modern=on)', false, ',disable-modern=on'],
  ])('%s is refused with a line that says what to do', async (_, uefi, device) => {
    const before = refusals();
    const guest = lab.start({
      script,
      kernel: false,
      arguments: [...(uefi ? firmware() : []), ...disk.qemuArguments(`bootindex=1${device}`)],
    });
    await waitFor(
      () => `refusal in vloop's log: ${disk.process.output}\n${guest.serial.slice(-500)}`,
      REFUSAL_TIMEOUT_MS,
      () => refusals() > before || undefined,
    );
    await guest.kill();
    expect(guest.serial).not.toContain('GRUB-STARTED');
    expect(disk.process.ended).toBe(false);
  });

  test('OVMF and GRUB on a modern device, on the vloop process that refused before', async () => {
    await bootsWith('UEFI', ...firmware(), ...disk.qemuArguments('bootindex=1,disable-legacy=on'));
  });

  test('OVMF and GRUB behind a PCIe root port, where a device is modern by itself', async () => {
    await bootsWith(
      'UEFI',
      ...firmware(),
      ...['-device', 'pcie-root-port,id=rp0,chassis=1'],
      ...disk.qemuArguments('bootindex=1,bus=rp0'),
    );
  });

  test('vloop served all of them and ends cleanly', async () => {
    const summary = await disk.stop();
    expect(summary['errors']).toBe(0);
    expect(summary['bytesRead']).toBeGreaterThan(60 * 2 ** 20);
  });
});
