/**
 * What a run leaves behind: summary.txt, junit.xml, results.json, the output of each test that did not pass under tests/, and
 * the guests' consoles and vloop's logs under guests/.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type CaseResult, UsageError } from './cases.ts';
import type { RunConditions } from './conditions.ts';
import { junitXml, resultTable, summaryTable } from './report.ts';

const OWN = ['summary.txt', 'junit.xml', 'results.json', 'difference.txt', 'tests', 'guests'];

export interface RunRecord {
  readonly conditions: RunConditions;
  readonly results: readonly CaseResult[];
}

/** Whether a run of fs-tests has left results here: it writes them from its beginning on. */
function hasResults(path: string): boolean {
  try {
    const record = JSON.parse(readFileSync(join(path, 'results.json'), 'utf8')) as RunRecord;
    return record.conditions.commit !== undefined && Array.isArray(record.results);
  } catch {
    return false;
  }
}

/** The folder without what an earlier run left in it; other files stay. Throws UsageError when such names are not a run's. */
export function openResultsFolder(path: string): void {
  mkdirSync(path, { recursive: true });
  const foreign = hasResults(path) ? undefined : OWN.find((name) => existsSync(join(path, name)));
  if (foreign !== undefined) {
    throw new UsageError(
      `--output=${path}: its ${foreign} is not of an earlier run, and would be removed; give another folder`,
    );
  }
  for (const name of OWN) rmSync(join(path, name), { recursive: true, force: true });
}

export function writeResults(path: string, record: RunRecord, difference: string | null): void {
  const { results } = record;
  const write = (name: string, text: string) => {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const table = [resultTable(results), '', summaryTable(results)].join('\n');
  write('summary.txt', `${table}\n`);
  write('junit.xml', junitXml(results));
  write('results.json', `${JSON.stringify(record, undefined, 1)}\n`);
  if (difference !== null) write('difference.txt', `${difference}\n`);
  for (const { side, suite, fs, name, output, reason } of results) {
    if (output !== '')
      write(`tests/${side}/${suite}/${fs}/${name}.txt`, `${reason}\n\n${output}\n`);
  }
}
