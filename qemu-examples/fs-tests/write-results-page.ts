/**
 * Writes qemu-examples/RESULTS.md from result folders of fs-tests: `write-results-page.ts [--note=TEXT] [TITLE=]DIR…`, in that order.
 * A folder without results is an error; the page is not touched then.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RunRecord } from './results-folder.ts';
import { resultsPage } from './results-page.ts';

const PAGE = join(import.meta.dirname, '../RESULTS.md');

const NOTE = '--note=';
const note = process.argv[2]?.startsWith(NOTE) ? process.argv[2].slice(NOTE.length) : '';
const folders = process.argv.slice(note === '' ? 2 : 3);
if (folders.length === 0) {
  process.stderr.write('write-results-page: which folders? ([TITLE=]DIR…)\n');
  process.exit(2);
}
const runs = folders.map((argument) => {
  const [, title, path] = /^(?:([^=]*)=)?(.*)$/.exec(argument)!;
  const record = JSON.parse(readFileSync(join(path!, 'results.json'), 'utf8')) as RunRecord;
  return { title: title ?? basename(path!), record };
});
writeFileSync(PAGE, resultsPage(runs, note));
