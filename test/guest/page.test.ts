/**
 * The page beside a real guest: what it shows of a Linux that works on its disk, and what its buttons do to
 * it. Keeps pictures of it (test/artefacts) for whoever wants to see what the test has seen.
 */
import { mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OpenPage, requireBrowser, TestBrowser } from '../support/browser.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import { GuestLab } from '../support/guest-lab.ts';
import { PageView, pageAddress } from '../support/page-view.ts';

const MIB = 2 ** 20;
const SIZE = 256 * MIB;
const ARTEFACTS = join(import.meta.dirname, '../artefacts');
const WAIT = { timeout: 60_000 };
const assets = await requireGuestAssets('the page beside a guest');
const browserFound = await requireBrowser('the page beside a guest');

/** Reads, writes and discards, each in a part of the disk of its own, until the disk has another size. */
const script = `
set -e
disk=/dev/vda
blkdiscard -o ${128 * MIB} -l ${16 * MIB} $disk
while [ "$(cat /sys/block/vda/size)" = ${SIZE / 512} ]; do
  dd if=/dev/zero of=$disk bs=64k seek=${(64 * MIB) / 65_536} count=256 oflag=direct 2>/dev/null
  dd if=$disk of=/dev/null bs=64k skip=${(192 * MIB) / 65_536} count=256 iflag=direct 2>/dev/null
done
echo "RESULT size $(cat /sys/block/vda/size)"
`;

describe.skipIf(!assets.ok || !browserFound.ok)('the page beside a guest', () => {
  let lab: GuestLab;
  let browser: TestBrowser;
  let tab: OpenPage;

  beforeAll(async () => {
    if (!assets.ok || !browserFound.ok) return;
    mkdirSync(ARTEFACTS, { recursive: true });
    lab = new GuestLab(assets.assets);
    browser = await TestBrowser.start(browserFound.path);
    tab = await browser.open({ colorScheme: 'dark', viewport: { width: 1280, height: 1000 } });
  });

  afterAll(async () => {
    await tab?.close();
    await browser?.close();
    await lab?.close();
  });

  test('shows a guest’s work where it is, and gives it another size', async () => {
    const disk = await lab.disk('page', { sizeBytes: SIZE, vloop: ['--http=127.0.0.1:0'] });
    const shown = await PageView.open(tab.page, await pageAddress(() => disk.process.output));
    const guest = await lab.boot({ script, arguments: disk.qemuArguments() });
    await shown.state.filter({ hasText: 'connected' }).waitFor();
    await shown.mapped('256 MiB');
    for (const name of ['DISCARD', 'WRITE_ZEROES', 'EVENT_IDX', 'VERSION_1']) {
      await tab.page.getByText(name, { exact: true }).first().waitFor();
    }
    await expect
      .poll(() => shown.cellText(72 * MIB, SIZE), WAIT)
      .toMatch(/: 0 reads, [1-9]\S* writes, 0 discards$/);
    await expect
      .poll(() => shown.cellText(200 * MIB, SIZE), WAIT)
      .toMatch(/: [1-9]\S* reads, 0 writes, 0 discards$/);
    expect(await shown.cellText(136 * MIB, SIZE)).toMatch(
      /: 0 reads, 0 writes, [1-9]\S* discards$/,
    );
    expect(await shown.cellText(100 * MIB, SIZE)).toContain(': 0 reads, 0 writes, 0 discards');
    await expect.poll(() => shown.now('iops'), WAIT).toBeGreaterThan(0);
    await tab.page.screenshot({ path: join(ARTEFACTS, 'page.png'), fullPage: true });
    truncateSync(disk.image, 2 * SIZE);
    await shown.button('Resize…').click();
    await shown.confirm('Resize');
    const report = await guest.finish();
    expect(report.value('size')).toBe(`${(2 * SIZE) / 512}`);
    await tab.page
      .getByRole('definition')
      .filter({ hasText: /^512 MiB$/ })
      .waitFor();
    expect(tab.complaints).toEqual([]);
  });
});
