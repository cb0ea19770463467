/**
 * A headless Chromium from Debian for tests of the page: one browser a test file, a context of its own a
 * test. Everything that the page complains of is kept (console, uncaught errors, requests that failed or went
 * anywhere else), so that a test can say that there was nothing. Ends with the test run, whatever happens.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { run } from './bounded-process.ts';

const SCRIPT = join(import.meta.dirname, 'chromium.sh');
const INSTALL_TIMEOUT_MS = 600_000;
/** Of each wait for an element: a busy machine of two cores needs seconds to draw a page. */
const WAIT_TIMEOUT_MS = 30_000;

export type BrowserOrReason = { ok: true; path: string } | { ok: false; reason: string };

/** Where Chromium is, or the reason why it is not, said once per test file. */
export async function requireBrowser(what: string): Promise<BrowserOrReason> {
  const { status, stdout, stderr } = await run(['bash', SCRIPT], INSTALL_TIMEOUT_MS);
  const path = stdout.trim().split('\n').at(-1) ?? '';
  if (status === 0 && path !== '') return { ok: true, path };
  const reason = stderr.trim().split('\n').at(-1) ?? `chromium.sh ended with ${status}`;
  process.stderr.write(`skipped: ${what}: ${reason}\n`);
  return { ok: false, reason };
}

export interface OpenPage {
  readonly page: Page;
  /** Whatever went wrong in it, in words. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export class TestBrowser {
  readonly #browser: Browser;
  readonly #folder: string;

  private constructor(browser: Browser, folder: string) {
    this.#browser = browser;
    this.#folder = folder;
  }

  static async start(path: string, flags: readonly string[] = []): Promise<TestBrowser> {
    const folder = mkdtempSync(join(tmpdir(), 'vloop-browser-'));
    // It dies with the test run, also with one that is killed.
    const starter = join(folder, 'chromium');
    writeFileSync(starter, `#!/bin/sh\nexec setpriv --pdeathsig KILL -- '${path}' "$@"\n`);
    chmodSync(starter, 0o755);
    try {
      const browser = await chromium.launch({
        executablePath: starter,
        timeout: 120_000,
        artifactsDir: folder,
        env: { ...process.env, HOME: folder, TMPDIR: folder },
        // Its sandbox needs what root in a container does not have; it sees no page but ours.
        args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', ...flags],
      });
      return new TestBrowser(browser, folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** A tab with nothing in it, and nothing remembered from another. */
  async open(options: BrowserContextOptions = {}): Promise<OpenPage> {
    const context = await this.#browser.newContext({
      viewport: { width: 1280, height: 900 },
      colorScheme: 'light',
      ...options,
    });
    context.setDefaultTimeout(WAIT_TIMEOUT_MS);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (line) => {
      if (['error', 'warning'].includes(line.type())) complaints.push(line.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      const { hostname } = new URL(request.url());
      if (hostname !== '127.0.0.1') complaints.push(`it asked ${request.url()}`);
    });
    return { page, complaints, close: () => context.close() };
  }

  async close(): Promise<void> {
    await this.#browser.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
