/**
 * The page in a real browser, on a disk that a mock front-end works on: what it shows moves, the block map
 * lights where something happens and nowhere else, each button does what it says, strangers are kept out.
 */
import { truncateSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type OpenPage, requireBrowser, TestBrowser } from '../support/browser.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import type { MockFrontEnd } from '../support/mock-frontend.ts';
import { PageView, pageAddress } from '../support/page-view.ts';
import { ServedDisk } from '../support/served-disk.ts';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
const BLOCK = 64 * 1024;
const WAIT = { timeout: 30_000 };
const opened = await requireBrowser('the page');

describe.skipIf(!opened.ok)('the page', { timeout: 180_000 }, () => {
  let browser: TestBrowser;
  let disk: ServedDisk;
  let address: string;
  const tabs: OpenPage[] = [];

  beforeAll(async () => {
    if (opened.ok) browser = await TestBrowser.start(opened.path);
  });

  afterAll(() => browser?.close());

  beforeEach(async () => {
    disk = new ServedDisk({ sizeBytes: SIZE });
    await start('--http=127.0.0.1:0');
  });

  afterEach(async () => {
    for (const tab of tabs.splice(0)) await tab.close();
    await disk.close();
  });

  async function start(http: string): Promise<void> {
    process.env['VLOOP_RUN_DIR'] = join(disk.directory, 'run');
    await disk.startVloop([http, '--direct-io=off']);
    address = await pageAddress(() => disk.vloop.stdout + disk.vloop.stderr);
  }

  async function tab(options: Parameters<TestBrowser['open']>[0] = {}): Promise<OpenPage> {
    const made = await browser.open(options);
    tabs.push(made);
    return made;
  }

  async function view(options: Parameters<TestBrowser['open']>[0] = {}): Promise<PageView> {
    return await PageView.open((await tab(options)).page, address);
  }

  /** Writes one range again and again until it is told to stop. */
  function load(frontEnd: MockFrontEnd, from: number, end: number): () => Promise<void> {
    let stopped = false;
    const working = (async () => {
      const queue = frontEnd.queues[0]!;
      for (let at = from; !stopped; at = at + BLOCK < end ? at + BLOCK : from) {
        await queue.mustRun(blk.write(at / 512, noise(BLOCK, at)));
      }
    })();
    return async () => {
      stopped = true;
      await working;
    };
  }

  test('counts move and the map lights where a front-end writes, and nothing is complained of', async () => {
    const made = await tab();
    const shown = await PageView.open(made.page, address);
    await shown.state.filter({ hasText: 'no front-end' }).waitFor();
    await shown.mapped('64 MiB');
    const cold = await shown.cellColour(40 * MIB, SIZE);
    expect(await shown.cellColour(8 * MIB, SIZE)).toBe(cold);
    const frontEnd = await disk.connect();
    const stop = load(frontEnd, 8 * MIB, 9 * MIB);
    try {
      await shown.state.filter({ hasText: 'connected' }).waitFor();
      await expect.poll(() => shown.now('iops'), WAIT).toBeGreaterThan(0);
      await expect.poll(() => shown.now('bandwidth'), WAIT).toBeGreaterThan(0);
      await made.page.getByRole('row', { name: /^0 / }).waitFor();
      await expect
        .poll(() => shown.cellText(8.5 * MIB, SIZE), WAIT)
        .toMatch(/^8\.50–8\.5\d MiB: 0 reads, [1-9]\S* writes, 0 discards$/);
      for (const at of [8, 8.5, 8.95]) {
        await expect.poll(() => shown.cellColour(at * MIB, SIZE), WAIT).not.toBe(cold);
      }
    } finally {
      await stop();
    }
    for (const at of [0, 7.9, 9.1, 40, 63.9]) {
      expect([at, await shown.cellColour(at * MIB, SIZE)]).toEqual([at, cold]);
      expect(await shown.cellText(at * MIB, SIZE)).toContain(': 0 reads, 0 writes, 0 discards');
    }
    await made.page.getByText('FLUSH', { exact: true }).waitFor();
    await expect.poll(() => shown.now('iops'), WAIT).toBe(0);
    expect(made.complaints).toEqual([]);
  });

  test('pause really pauses, resume goes on, and both ask before', async () => {
    const shown = await view();
    const queue = (await disk.connect()).queues[0]!;
    await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    await shown.state.filter({ hasText: 'connected' }).waitFor();
    await shown.button('Pause').click();
    await shown.page.getByRole('dialog', { name: 'Pause disk.img?' }).waitFor();
    await shown.confirm('Cancel');
    await queue.mustRun(blk.write(0, noise(BLOCK, 2)));
    await shown.button('Pause').click();
    await shown.confirm('Pause');
    await shown.state.filter({ hasText: 'paused' }).waitFor();
    queue.offer(blk.write(0, noise(BLOCK, 3)));
    queue.kick();
    // Two more looks of the page, each answered by the process that would have written by then.
    const looked = () => shown.page.evaluate('performance.now()') as Promise<number>;
    const sinceMs = await looked();
    await expect.poll(looked, WAIT).toBeGreaterThan(sinceMs + 2000);
    expect(queue.collect()).toEqual([]);
    expect(Buffer.compare(disk.imageBytes().subarray(0, BLOCK), noise(BLOCK, 2))).toBe(0);
    await shown.button('Resume').click();
    await shown.confirm('Resume');
    await queue.drained();
    expect(Buffer.compare(disk.imageBytes().subarray(0, BLOCK), noise(BLOCK, 3))).toBe(0);
    await shown.state.filter({ hasText: 'connected' }).waitFor();
    await shown.events.filter({ hasText: 'paused' }).first().waitFor();
  });

  test('another size is taken, and the page shows what the disk has', async () => {
    const shown = await view();
    const size = shown.page.getByRole('definition').filter({ hasText: /^64 MiB$/ });
    await size.waitFor();
    truncateSync(disk.image, 2 * SIZE);
    await shown.button('Resize…').click();
    await shown.confirm('Resize');
    await shown.page
      .getByRole('definition')
      .filter({ hasText: /^128 MiB$/ })
      .waitFor();
    expect(await size.count()).toBe(0);
  });

  test('the direct-I/O switch shows what holds, or says why it cannot be', async () => {
    const shown = await view();
    const knob = shown.page.getByRole('switch', { name: 'Direct I/O' });
    expect(await knob.getAttribute('aria-checked')).toBe('false');
    await knob.click();
    await shown.confirm('Switch on');
    const refusal = shown.page.getByRole('alert').filter({ hasText: /direct/i });
    const on = shown.page.getByRole('switch', { name: 'Direct I/O', checked: true });
    await on.or(refusal).first().waitFor();
    // A file system in memory may refuse it: then the words are in the dialog, and nothing is shown as done.
    const isOn = await on.isVisible();
    await shown.page
      .getByRole('definition')
      .filter({ hasText: isOn ? /^direct I\/O$/ : /^buffered$/ })
      .waitFor();
  });

  test('a wrong token opens nothing, the right one does', async () => {
    const { page, complaints } = await tab();
    await page.goto(address.replace(/token=.*/, `token=${'A'.repeat(43)}`));
    const dialog = page.getByRole('dialog', { name: 'This page needs its token' });
    await dialog.getByText('That token is not the right one.').waitFor();
    expect(await page.locator('#disk-name').textContent()).toBe('\u00a0');
    // The whole link is what one has at hand.
    await dialog.getByLabel('Token').fill(address);
    await dialog.getByRole('button', { name: 'Open' }).click();
    const shown = new PageView(page);
    await shown.connection('live');
    await page.getByRole('heading', { name: 'disk.img' }).waitFor();
    expect(page.url()).not.toContain('token');
    // The browser itself reports the 401; nothing else went wrong.
    expect(complaints.filter((line) => !line.includes('401'))).toEqual([]);
    expect(disk.vloop.stderr).not.toContain(new URL(address).hash.slice('#token='.length));
  });

  describe('strangers', () => {
    let site: Server;
    const port = () => (site.address() as AddressInfo).port;

    beforeEach(async () => {
      site = createServer((_, response) => {
        response.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>');
      });
      await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    });

    afterEach(() => {
      site.closeAllConnections();
      site.close();
    });

    /** What becomes of a WebSocket that the page of this tab opens, with the right token. */
    async function webSocket(page: OpenPage['page']): Promise<string> {
      const { host, hash } = new URL(address);
      const protocols = JSON.stringify(['vloop.json-rpc', hash.replace('#token=', 'vloop.token.')]);
      const dial = `new WebSocket('ws://${host}/ws', ${protocols})`;
      return (await page.evaluate(`new Promise((resolve) => {
        const socket = ${dial};
        socket.onopen = () => resolve('open');
        socket.onerror = () => resolve('refused');
      })`)) as string;
    }

    test('another site on this machine gets no WebSocket, not even with the token', async () => {
      const { page } = await tab();
      await page.goto(`http://127.0.0.1:${port()}/`);
      expect(await webSocket(page)).toBe('refused');
      await page.goto(address);
      expect(await webSocket(page)).toBe('open');
      expect(disk.vloop.stderr).toContain('Origin');
    });

    test('a name that was turned to this machine is refused by its Host', async () => {
      const bound = await TestBrowser.start(opened.ok ? opened.path : '', [
        '--host-resolver-rules=MAP evil.example 127.0.0.1',
      ]);
      try {
        const { page } = await bound.open();
        const answer = await page.goto(address.replace('127.0.0.1', 'evil.example'));
        expect(answer?.status()).toBe(403);
      } finally {
        await bound.close();
      }
    });

    test('what the policy forbids is blocked: an inline script, another machine', async () => {
      const made = await tab();
      await PageView.open(made.page, address);
      const inline = made.page.addScriptTag({ content: 'window.inline = true' });
      await expect(inline).rejects.toThrow();
      const asked = made.page.evaluate(`fetch('http://127.0.0.1:${port()}/')`);
      await expect(asked).rejects.toThrow();
      expect(await made.page.evaluate('window.inline')).toBeUndefined();
      expect(made.complaints.join()).toContain('Content Security Policy');
    });
  });

  test.each([
    ['a desktop, light', { width: 1280, height: 900 }, 'light'],
    ['a phone, dark', { width: 375, height: 812 }, 'dark'],
  ] as const)('on %s', async (_, viewport, colorScheme) => {
    const isPhone = viewport.width < 900;
    const made = await tab({ viewport, colorScheme, hasTouch: isPhone });
    const shown = await PageView.open(made.page, address);
    const queue = (await disk.connect()).queues[0]!;
    await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    await shown.state.filter({ hasText: 'connected' }).waitFor();
    await expect.poll(() => shown.page.locator('#queues tr').count(), WAIT).toBe(1);
    // Nothing to scroll sideways, nothing too small for a finger.
    const width = await made.page.evaluate('document.documentElement.scrollWidth');
    expect(width).toBeLessThanOrEqual(viewport.width);
    for (const name of isPhone ? ['Pause', 'Resize…'] : []) {
      expect((await shown.button(name).boundingBox())!.height).toBeGreaterThanOrEqual(44);
    }
    const ground = 'getComputedStyle(document.documentElement).backgroundColor';
    const [light, dark] = ['rgb(244, 246, 248)', 'rgb(12, 15, 20)'];
    expect(await made.page.evaluate(ground)).toBe(colorScheme === 'light' ? light : dark);
    const places = () =>
      Promise.all(['#map', '#iops', '#events'].map((id) => made.page.locator(id).boundingBox()));
    const before = await places();
    // The system's choice, then light, then dark: whichever it was.
    for (const [label, colour] of [
      ['Colours: as the system', light],
      ['Colours: light', dark],
    ] as const) {
      await shown.button(label).click();
      await expect.poll(() => made.page.evaluate(ground), WAIT).toBe(colour);
    }
    await queue.mustRun(blk.write(0, noise(BLOCK, 2)));
    expect(await places()).toEqual(before);
    expect(made.complaints).toEqual([]);
  });

  test('everything can be reached and done with the keyboard', async () => {
    const shown = await view();
    const { page } = shown;
    await shown.mapped('64 MiB');
    const focused = () => page.evaluate('document.activeElement.id') as Promise<string>;
    const reached: string[] = [];
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press('Tab');
      reached.push(await focused());
    }
    expect(reached).toEqual(
      expect.arrayContaining([
        'theme',
        'pause',
        'resize',
        'direct-io',
        'map',
        'scope',
        'operation',
      ]),
    );
    await page.locator('#pause').focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Pause disk.img?' });
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await focused()).toBe('pause');
    await page.locator('#map').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.getByText('16–32 KiB: 0 reads').waitFor();
  });

  test('it finds its way back when vloop is started again, and says so', async () => {
    const shown = await view();
    await disk.stopVloop();
    await shown.connection('trying again');
    expect(await shown.button('Pause').isDisabled()).toBe(true);
    await start(`--http=127.0.0.1:${new URL(address).port}`);
    await shown.connection('live');
    await shown.events.filter({ hasText: 'started anew' }).waitFor();
    const queue = (await disk.connect()).queues[0]!;
    await queue.mustRun(blk.write(0, noise(BLOCK, 1)));
    await shown.state.filter({ hasText: 'connected' }).waitFor();
  });
});
