/**
 * What the page is made of: the files of `page/` as they are (plain modules: nothing is built, stripped or
 * bundled), and uPlot from its package. A request names one of this list or gets nothing, so that no path
 * of a request ever reaches the file system.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/** The published package runs from dist/, which holds compiled modules only. */
function pageFolder(): string {
  const beside = join(import.meta.dirname, 'page');
  return existsSync(beside) ? beside : join(import.meta.dirname, '../../../src/control/page');
}

/** Request path → file. */
function listFiles(): ReadonlyMap<string, string> {
  const folder = pageFolder();
  const names = readdirSync(folder).filter((name) => extname(name) in TYPES);
  const { resolve } = createRequire(import.meta.url);
  return new Map([
    ...names.map((name) => [`/${name}`, join(folder, name)] as const),
    ['/', join(folder, 'index.html')],
    ['/uplot.js', resolve('uplot/dist/uPlot.esm.js')],
    ['/uplot.css', resolve('uplot/dist/uPlot.min.css')],
  ]);
}

export class PageFiles {
  readonly #paths = listFiles();
  readonly #read = new Map<string, PageFile>();

  /** Read once; undefined when there is no such file. */
  get(path: string): PageFile | undefined {
    const place = this.#paths.get(path);
    if (place === undefined) return undefined;
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const file = { type: TYPES[extname(place)]!, bytes: readFileSync(place) };
    this.#read.set(path, file);
    return file;
  }
}
