/**
 * The page in a real browser, on a disk that a mock front-end is connected to: it shows what is, strangers are
 * kept out, and it finds its way back.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type OpenPage, requireBrowser, TestBrowser } from '../support/browser.ts';
import { PageView, pageAddress } from '../support/page-view.ts';
import { ServedDisk } from '../support/served-disk.ts';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
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

  test('it shows the disk as it is, and who is connected', async () => {
    const made = await tab();
    const shown = await PageView.open(made.page, address);
    await shown.state.filter({ hasText: 'no front-end' }).waitFor();
    await made.page.getByRole('heading', { name: 'disk.img' }).waitFor();
    await made.page
      .getByRole('definition')
      .filter({ hasText: /^64 MiB$/ })
      .waitFor();
    await disk.connect();
    await shown.state.filter({ hasText: 'connected' }).waitFor();
    await made.page.getByText('FLUSH', { exact: true }).waitFor();
    expect(made.complaints).toEqual([]);
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

  test('it finds its way back when vloop is started again, and says so', async () => {
    const shown = await view();
    await disk.stopVloop();
    await shown.connection('trying again');
    await start(`--http=127.0.0.1:${new URL(address).port}`);
    await shown.connection('live');
    await shown.events.filter({ hasText: 'started anew' }).waitFor();
    await disk.connect();
    await shown.state.filter({ hasText: 'connected' }).waitFor();
  });
});
