/**
 * The page as a person sees it: where it is, and what it says. By roles and names where there are some, so that
 * a test also proves that they are.
 */
import type { Locator, Page } from 'playwright-core';
import { eventually } from './waiting.ts';

const START_TIMEOUT_MS = 20_000;

/** The address that vloop printed, with the token. `output`: what it has printed so far. */
export async function pageAddress(output: () => string): Promise<string> {
  return await eventually(
    () => `address of the page; vloop said: ${output()}`,
    START_TIMEOUT_MS,
    () => /^page {4}(http:\S+)$/m.exec(output())?.[1],
  );
}

export class PageView {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Opens the page and waits until it shows a disk. */
  static async open(page: Page, address: string): Promise<PageView> {
    await page.goto(address);
    const view = new PageView(page);
    await view.connection('live');
    return view;
  }

  get state(): Locator {
    return this.page.locator('#disk-state');
  }

  get events(): Locator {
    return this.page.getByRole('article', { name: 'Events' }).getByRole('listitem');
  }

  button(name: string): Locator {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Waits until the words beside the lamp are these. */
  async connection(words: string): Promise<void> {
    await this.page.getByRole('status').filter({ hasText: words }).waitFor();
  }

  /** Asks for something and says yes. */
  async confirm(yes: string): Promise<void> {
    await this.page.getByRole('dialog').getByRole('button', { name: yes, exact: true }).click();
  }
}
