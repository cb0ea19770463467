/**
 * The page of a process with two disks: each is shown by itself, and what is done to one is not done to the
 * other.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireBrowser, TestBrowser } from '../support/browser.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { MockFrontEnd } from '../support/mock-frontend.ts';
import { PageView, pageAddress } from '../support/page-view.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const MIB = 2 ** 20;
const SIZES = { 'a.img': 64 * MIB, 'b.img': 128 * MIB };
const WAIT = { timeout: 30_000 };
const opened = await requireBrowser('the page of two disks');

describe.skipIf(!opened.ok)('the page of two disks', { timeout: 180_000 }, () => {
  test('shows one at a time, and pauses the one that is shown', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
    const ends: Array<() => unknown> = [() => rmSync(directory, { recursive: true, force: true })];
    try {
      const browser = await TestBrowser.start(opened.ok ? opened.path : '');
      ends.push(() => browser.close());
      const images = Object.entries(SIZES).map(([name, size]) => {
        const image = join(directory, name);
        writeFileSync(image, '');
        truncateSync(image, size);
        return image;
      });
      // The default sockets are named after the images, in the working directory.
      const before = process.cwd();
      process.chdir(directory);
      const vloop = await VloopProcess.serving({
        args: ['serve', ...images, '--http=127.0.0.1:0'],
      }).finally(() => process.chdir(before));
      ends.push(() => vloop.kill());
      const queues = await Promise.all(
        ['a.img.sock', 'b.img.sock'].map(async (socket) => {
          const frontEnd = await MockFrontEnd.start(join(directory, socket), {});
          ends.push(() => frontEnd.close());
          return frontEnd.queues[0]!;
        }),
      );
      const { page } = await browser.open();
      const shown = await PageView.open(page, await pageAddress(() => vloop.stdout));
      await page.getByRole('heading', { name: 'a.img' }).waitFor();
      await shown.mapped('64 MiB');
      await queues[1]!.mustRun(blk.write(0, noise(4096, 1)));
      expect(await shown.cellText(0, SIZES['a.img'])).toContain('0 writes');

      await page.getByRole('navigation', { name: 'Disks' }).getByText('b.img').click();
      await page.getByRole('heading', { name: 'b.img' }).waitFor();
      await shown.mapped('128 MiB');
      await expect
        .poll(() => shown.cellText(0, SIZES['b.img']), WAIT)
        .toContain(': 0 reads, 1 writes');
      await shown.button('Pause').click();
      await page.getByRole('dialog', { name: 'Pause b.img?' }).waitFor();
      await shown.confirm('Pause');
      await shown.state.filter({ hasText: 'paused' }).waitFor();

      // The other one serves; this one's request waits until it is resumed.
      queues[1]!.offer(blk.write(0, noise(4096, 2)));
      queues[1]!.kick();
      await queues[0]!.mustRun(blk.write(0, noise(4096, 3)));
      expect(queues[1]!.collect()).toEqual([]);
      await page.getByRole('button', { name: 'a.img' }).click();
      await shown.state.filter({ hasText: 'connected' }).waitFor();
      await page.getByRole('button', { name: 'b.img' }).click();
      await shown.button('Resume').click();
      await shown.confirm('Resume');
      await queues[1]!.drained();
    } finally {
      for (const end of ends.reverse()) await end();
    }
  });
});
