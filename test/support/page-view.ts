/**
 * The page as a person sees it: where it is, what it says, where a byte of the disk stands on its block map
 * and which colour it has. By roles and names where there are some, so that a test also proves that they are.
 */
import type { Locator, Page } from 'playwright-core';
import { MapLayout } from '../../src/control/page/map-layout.js';
import { eventually } from './waiting.ts';

const START_TIMEOUT_MS = 20_000;
/** Cells of a block map at most; a disk of a power of two has exactly as many. */
const CELLS = 4096;

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

  get map(): Locator {
    return this.page.getByRole('img', { name: 'Block map' });
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

  /** The number that a chart's card says for now. */
  async now(id: 'iops' | 'bandwidth' | 'depth'): Promise<number> {
    const text = (await this.page.locator(`#${id}-now`).textContent()) ?? '';
    return Number.parseFloat(text) || 0;
  }

  /** Where the cell that holds a byte of the disk stands on the map, in CSS pixels of the canvas. */
  async #place(byte: number, sizeBytes: number): Promise<{ x: number; y: number; ratio: number }> {
    const box = await this.map.boundingBox();
    if (box === null) throw new Error('the block map is not shown');
    const ratio = Number(await this.page.evaluate('window.devicePixelRatio'));
    const layout = new MapLayout();
    layout.fit(CELLS, Math.round(box.width), Math.round(box.height), ratio);
    const tile = layout.tile(layout.tileOf(Math.floor((byte / sizeBytes) * CELLS)));
    return { x: (tile.x + tile.width / 2) / ratio, y: (tile.y + tile.height / 2) / ratio, ratio };
  }

  /** Waits until the map shows a disk of this size, in its words. */
  async mapped(size: string): Promise<void> {
    await this.page.locator('#map-end').filter({ hasText: size }).waitFor();
  }

  /** What the map says of the cell that holds a byte: the pointer is put there. */
  async cellText(byte: number, sizeBytes: number): Promise<string> {
    const { x, y } = await this.#place(byte, sizeBytes);
    await this.map.hover({ position: { x, y } });
    return (await this.page.locator('#map-cell').textContent()) ?? '';
  }

  /** Red, green and blue of the cell that holds a byte. */
  async cellColour(byte: number, sizeBytes: number): Promise<string> {
    const { x, y, ratio } = await this.#place(byte, sizeBytes);
    const [left, top] = [Math.floor(x * ratio), Math.floor(y * ratio)];
    // Out of a copy: the browser warns of a canvas that is read again and again.
    const channels = (await this.page.evaluate(`(() => {
      const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
      pixel.drawImage(document.getElementById('map'), ${left}, ${top}, 1, 1, 0, 0, 1, 1);
      return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
    })()`)) as number[];
    return channels.join(' ');
  }
}
