/**
 * Vitest reporter: the last lines of what each failed test said (logs are cut at the front), one line for
 * each part of the tests, and the closing line `N passed, N failed, N skipped`. In CI a part of which nothing ran fails the run: a machine that lacks what a part needs
 * must not look green.
 */
import type { Reporter, TestModule } from 'vitest/node';

const FAILURES_SHOWN = 5;
/** What a guest or a process said last comes at the end of a message. */
const LINES_SHOWN = 15;
const LINE_CHARACTERS = 200;

interface PartCount {
  passed: number;
  failed: number;
  skipped: number;
}

export default class PartReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const parts = new Map<string, PartCount>();
    const failures: string[] = [];
    for (const module of modules) {
      const name = module.project.name || 'all';
      const count = parts.get(name) ?? { passed: 0, failed: 0, skipped: 0 };
      parts.set(name, count);
      for (const test of module.children.allTests()) {
        const { state, errors: reasons } = test.result();
        for (const { message } of reasons ?? []) failures.push(lastWords(test.fullName, message));
        count[state === 'passed' || state === 'failed' ? state : 'skipped']++;
      }
      // A file that does not load has no tests to fail.
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) {
        count.failed++;
      }
    }
    const total = { passed: 0, failed: errors.length, skipped: 0 };
    const lines = [...parts].map(([name, count]) => {
      total.passed += count.passed;
      total.failed += count.failed;
      total.skipped += count.skipped;
      return `${name.padEnd(12)} ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`;
    });
    const empty = [...parts].filter(([, count]) => count.passed + count.failed === 0);
    if (process.env['CI'] && empty.length > 0) {
      lines.push(`skipped whole, which fails in CI: ${empty.map(([name]) => name).join(', ')}`);
      total.failed += empty.length;
      process.exitCode = 1;
    }
    lines.push(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
    lines.unshift(...failures.slice(0, FAILURES_SHOWN));
    process.stdout.write(`\n${lines.join('\n')}\n`);
  }
}

function lastWords(test: string, message: string): string {
  const lines = message.trimEnd().split('\n').slice(-LINES_SHOWN);
  return [`failed: ${test}`, ...lines.map((line) => `    ${line.slice(0, LINE_CHARACTERS)}`)].join(
    '\n',
  );
}
