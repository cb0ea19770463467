/**
 * A wrong value is told by its key, itself and what was expected; an unknown key with a suggestion.
 */
import { Compile } from 'typebox/schema';
import { describe, expect, test } from 'vitest';
import { expectedWords, explainErrors } from '../../../src/control/explain-errors.ts';

const DISK = {
  type: 'object',
  additionalProperties: false,
  required: ['file'],
  properties: {
    file: { type: 'string', minLength: 1 },
    block_size: { type: 'integer', enum: [512, 1024] },
    num_queues: { type: 'integer', minimum: 1, maximum: 256 },
    offset: { type: 'integer', minimum: 0 },
    direct_io: { enum: ['on', 'off', 'auto'] },
    read_only: { type: 'boolean' },
    cpus: { type: 'array', items: { type: 'integer' } },
    poll_us: { anyOf: [{ type: 'integer', minimum: 0, maximum: 1000 }, { enum: ['auto'] }] },
    serial: { type: 'string', minLength: 1, maxLength: 20 },
    name: { type: 'string', pattern: '^[a-z]+$', description: 'letters' },
  },
} as const;
const CONFIG = {
  type: 'object',
  additionalProperties: false,
  properties: { disks: { type: 'array', items: DISK } },
} as const;

const validator = Compile(CONFIG);

function explained(value: unknown): string {
  const [valid, errors] = validator.Errors(value);
  expect(valid).toBe(false);
  return explainErrors(CONFIG, value, errors).join('\n');
}

const disk = (members: object) => ({ disks: [{ file: 'a.img', ...members }] });

describe('a wrong value', () => {
  test.each([
    [{ disks: [{ file: 1 }] }, 'disks[0].file=1: expected a text that is not empty'],
    [{ disks: [{ file: '' }] }, 'disks[0].file="": expected a text that is not empty'],
    [disk({ block_size: 513 }), 'disks[0].block_size=513: expected one of 512, 1024'],
    [disk({ num_queues: 0 }), 'disks[0].num_queues=0: expected an integer from 1 to 256'],
    [disk({ num_queues: '3' }), 'disks[0].num_queues="3": expected an integer from 1 to 256'],
    [disk({ offset: -1 }), 'disks[0].offset=-1: expected an integer from 0 on'],
    [disk({ direct_io: 'x' }), 'disks[0].direct_io="x": expected one of on, off, auto'],
    [disk({ read_only: 'no' }), 'disks[0].read_only="no": expected true or false'],
    [disk({ cpus: [1, 'x'] }), 'disks[0].cpus[1]="x": expected an integer'],
    [
      disk({ poll_us: -1 }),
      'disks[0].poll_us=-1: expected an integer from 0 to 1000 or one of auto',
    ],
    [disk({ serial: 'x'.repeat(21) }), ': expected a text of 1 to 20 characters'],
    [disk({ name: 'A' }), 'disks[0].name="A": expected a text (letters)'],
    [{ disks: {} }, 'disks={}: expected a list'],
    [[], 'expected an object, got []'],
    [null, 'expected an object, got null'],
  ])('%j', (value, words) => expect(explained(value)).toContain(words));

  test('is shown in short', () => {
    expect(explained(disk({ num_queues: 'long'.repeat(1000) })).length).toBeLessThan(150);
  });
});

test('an unknown key, and a missing one', () => {
  expect(explained({ disks: [{ fiel: 'a' }] })).toBe(
    'disks[0].fiel: there is no such key; did you mean "file"?\ndisks[0].file is missing',
  );
  expect(explained({ dsks: [] })).toBe('dsks: there is no such key; did you mean "disks"?');
  expect(explained(disk({ xyzzy: 1 }))).toContain(
    'disks[0].xyzzy: there is no such key; expected one of file, block_size',
  );
});

test('what other schemas expect', () => {
  expect(expectedWords({ type: 'integer', maximum: 3 })).toBe('an integer up to 3');
  expect(expectedWords({ type: 'number' })).toBe('a number');
  expect(expectedWords({ description: 'a colour' })).toBe('a colour');
  expect(expectedWords({})).toBe('another value');
});
