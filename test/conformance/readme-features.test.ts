/**
 * README's tables of features: they are what the declarations render, and what GET_FEATURES and
 * GET_PROTOCOL_FEATURES answer is what they say is served, bit by bit, so that no row can lie.
 */
import { describe, expect, test } from 'vitest';
import { bitsToWord } from '../../protocol/layout.ts';
import { offeredFeatures } from '../../src/blk/features.ts';
import { README_PARTS, readmePart } from '../support/readme-parts.ts';
import { RECORDED_SHAPE, RecordedSession } from '../support/recording-session-port.ts';
import { replyU64 } from '../support/vhost-user-messages.ts';

test.each(Object.keys(README_PARTS))('README: %s are as declared (else: npm run docs)', (name) => {
  expect(readmePart(name)).toBe(README_PARTS[name]!());
});

interface Row {
  readonly bit: number;
  readonly does: string;
  readonly words: string;
}

/** The rows of a table as a reader of README sees them. */
function rowsOf(name: string): Row[] {
  const lines = readmePart(name).split('\n').slice(2);
  return lines.map((line) => {
    const [, bit, , does, words] = line.split('|').map((cell) => cell.trim());
    return { bit: Number(bit), does: does!, words: words! };
  });
}

function servedWord(rows: readonly Row[], readOnly: boolean): bigint {
  const kinds = ['served', `served (${readOnly ? 'read-only' : 'writable'} disks)`];
  return bitsToWord(...rows.filter(({ does }) => kinds.includes(does)).map(({ bit }) => bit));
}

describe('what is answered is what README says', () => {
  test('GET_PROTOCOL_FEATURES', async () => {
    const [reply] = await new RecordedSession().say('GET_PROTOCOL_FEATURES');
    const rows = rowsOf('protocol features');
    expect(replyU64(reply!)).toBe(servedWord(rows, false));
    expect(rows.map(({ bit }) => bit)).toEqual(Array.from({ length: 24 }, (_, bit) => bit));
  });

  test.each([false, true])('GET_FEATURES, read-only: %s', async (readOnly) => {
    const session = new RecordedSession();
    session.disk.features = offeredFeatures({ ...RECORDED_SHAPE, readOnly });
    const [reply] = await session.say('GET_FEATURES');
    const rows = [...rowsOf('ring features'), ...rowsOf('disk features')];
    expect(replyU64(reply!)).toBe(servedWord(rows, readOnly));
    expect(new Set(rows.map(({ bit }) => bit)).size).toBe(rows.length);
  });

  test('every row is served or refused, and says what or why', () => {
    const names = ['protocol features', 'ring features', 'disk features'];
    for (const { bit, does, words } of names.flatMap(rowsOf)) {
      expect(does, `bit ${bit}`).toMatch(/^(refused|served( \((writable|read-only) disks\))?)$/);
      expect(words, `bit ${bit}`).toMatch(/\w/);
    }
  });
});
