/**
 * A batch of tests: each gets the lines between its begin and its end, and a lost machine is the result of the test that was
 * on, not of those that were over or had not begun.
 */
import { describe, expect, test } from 'vitest';
import { Batch } from '../../../qemu-examples/fs-tests/batch.ts';
import type { CaseResult } from '../../../qemu-examples/fs-tests/cases.ts';
import { parseChannelLine } from '../../../qemu-examples/fs-tests/channel-lines.ts';

function batchOf(names: readonly string[]) {
  const results: CaseResult[] = [];
  const batch = new Batch(
    names.map((name) => ({ suite: 'xfstests', fs: 'ext4', name })),
    { side: 'vloop', guest: 'g', timeoutSeconds: 60, onResult: (result) => results.push(result) },
  );
  const hear = (...lines: string[]) => lines.map((line) => batch.take(parseChannelLine(line)));
  return { batch, results, hear };
}

describe('a batch', () => {
  test('each test has its own output, reason, counters and seconds', () => {
    const { batch, results, hear } = batchOf(['a', 'b', 'c']);
    hear('@begin xfstests ext4 a', '@counters before scratch 1 1 1 1 1 1');
    hear('@counters after scratch 3 1 1 1 1 1');
    expect(hear('@end 0 1500')).toEqual(['pass']);
    hear('@begin xfstests ext4 b', '@counters before scratch 9 1 1 1 1 1', '@reason no such thing');
    expect(hear('|text', '@end 77 10')).toEqual([null, 'not run']);
    hear('@begin xfstests ext4 c', '|- output mismatch');
    expect(hear('@end 1 20')).toEqual(['fail']);
    expect(results).toMatchObject([
      { name: 'a', verdict: 'pass', reason: '', output: '', seconds: 1.5 },
      { name: 'b', verdict: 'not run', reason: 'no such thing', output: 'text', counters: {} },
      { name: 'c', verdict: 'fail', reason: '- output mismatch', output: '- output mismatch' },
    ]);
    expect(results[0]!.counters['scratch']!.reads).toBe(2);
    expect(batch.done).toBe(3);
  });

  test('a lost machine is the result of the test that was on', () => {
    const { batch, results, hear } = batchOf(['a', 'b', 'c']);
    hear('@begin xfstests ext4 a', '@end 0 1', '@begin xfstests ext4 b', '|half');
    batch.lose({ verdict: 'panic', reason: 'Oops' }, 3, 'console');
    expect(results.map(({ name, verdict }) => [name, verdict])).toEqual([
      ['a', 'pass'],
      ['b', 'panic'],
    ]);
    expect(results[1]).toMatchObject({ reason: 'Oops', seconds: 3, output: 'half\nconsole' });
    expect(batch.done).toBe(2);
  });

  test('lines after the last test are nobody’s result', () => {
    const { results, hear } = batchOf(['a']);
    hear('@begin xfstests ext4 a', '@end 0 1', '@begin xfstests ext4 z', '@end 1 1');
    expect(results).toHaveLength(1);
  });
});
