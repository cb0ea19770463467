/**
 * A run as a table for people, JUnit XML for CI, and a summary in words. Pure: from results to text.
 */
import { type CaseResult, caseLabel, isGreen, VERDICTS, type Verdict } from './cases.ts';

/** "57 pass, 2 not run, 1 fail". */
export function countsText(results: readonly CaseResult[]): string {
  return VERDICTS.flatMap((verdict) => {
    const count = results.filter((result) => result.verdict === verdict).length;
    return count === 0 ? [] : [`${count} ${verdict}`];
  }).join(', ');
}

export function secondsText(seconds: number): string {
  return seconds < 9.95 ? seconds.toFixed(1) : seconds.toFixed(0);
}

/** One row for each test, in columns that line up. */
export function resultTable(results: readonly CaseResult[]): string {
  const showSide = new Set(results.map(({ side }) => side)).size > 1;
  const rows = results.map((result) => [
    result.suite,
    caseLabel(result),
    ...(showSide ? [result.side] : []),
    result.verdict,
    secondsText(result.seconds),
    result.reason.slice(0, 100),
  ]);
  const head = ['suite', 'test', ...(showSide ? ['side'] : []), 'result', 's', 'reason'];
  const widths = head.map((title, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]!.length), title.length),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** For each suite, file system and side: how many of what, and how long. */
export function summaryTable(results: readonly CaseResult[]): string {
  const groups = Map.groupBy(results, ({ suite, fs, side }) => `${suite} on ${fs}, ${side}`);
  return [...groups]
    .map(([name, of]) => {
      const seconds = of.reduce((sum, result) => sum + result.seconds, 0);
      return `${name}: ${of.length} tests: ${countsText(of)}; ${seconds.toFixed(0)} s`;
    })
    .join('\n');
}

/** Characters that XML 1.0 does not allow, and those that have a meaning. */
function xml(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to be removed
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '?')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
  );
}

function junitCase(result: CaseResult, suiteName: string): string {
  const { verdict, reason, output } = result;
  const head = `    <testcase classname="${xml(suiteName)}" name="${xml(result.name)}" time="${result.seconds.toFixed(3)}"`;
  if (verdict === 'pass') return `${head}/>`;
  if (verdict === 'not run')
    return `${head}>\n      <skipped message="${xml(reason)}"/>\n    </testcase>`;
  // A test that says no is a failure, a machine that was lost an error.
  const kind = verdict === 'fail' ? 'failure' : 'error';
  const body = `<${kind} type="${verdict}" message="${xml(reason)}">${xml(output)}</${kind}>`;
  return `${head}>\n      ${body}\n    </testcase>`;
}

/** JUnit XML: a test suite for each suite, file system and side. */
export function junitXml(results: readonly CaseResult[]): string {
  const groups = Map.groupBy(results, ({ suite, fs, side }) => `${suite}.${fs}.${side}`);
  const suites = [...groups].map(([name, of]) => {
    const count = (wanted: (verdict: Verdict) => boolean) =>
      of.filter(({ verdict }) => wanted(verdict)).length;
    const seconds = of.reduce((sum, result) => sum + result.seconds, 0);
    const failures = count((verdict) => verdict === 'fail');
    const errors = count((verdict) => !isGreen(verdict) && verdict !== 'fail');
    const skipped = count((verdict) => verdict === 'not run');
    return [
      `  <testsuite name="${xml(name)}" tests="${of.length}" failures="${failures}" errors="${errors}" skipped="${skipped}" time="${seconds.toFixed(3)}">`,
      ...of.map((result) => junitCase(result, name)),
      '  </testsuite>',
    ].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}
