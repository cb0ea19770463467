/**
 * What a value that does not fit the schema is told: where, which value, what was expected.
 */
import { expect, test } from 'vitest';
import { complaint } from '../../../src/control/validate.ts';

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['disk'],
  properties: {
    disk: { type: 'string', minLength: 1 },
    mode: { enum: ['on', 'off'] },
    size: { type: 'integer', minimum: 512, maximum: 4096 },
    list: { type: 'array', items: { type: 'string' } },
  },
} as const;

test.each<[string, unknown, RegExp]>([
  ['no object', [], /^params=\[\]: it must be object$/],
  ['a missing key', {}, /^params: "disk" is missing$/],
  ['an unknown key', { disk: 'a', dsik: 1 }, /^params: unknown key "dsik"$/],
  ['a wrong type', { disk: 7 }, /^params\.disk=7: it must be string$/],
  ['an empty word', { disk: '' }, /^params\.disk="": it must not have fewer than 1 character/],
  ['a wrong word', { disk: 'a', mode: 'maybe' }, /^params\.mode="maybe": expected one of on, off$/],
  ['too small', { disk: 'a', size: 1 }, /^params\.size=1: it must be >= 512$/],
  ['no whole number', { disk: 'a', size: 600.5 }, /^params\.size=600\.5: it must be integer$/],
  ['inside a list', { disk: 'a', list: ['x', 1] }, /^params\.list\.1=1: it must be string$/],
])('%s', (_, value, expected) => expect(complaint(schema, value, 'params')).toMatch(expected));

test('nothing, when it fits', () => {
  expect(complaint(schema, { disk: 'a', mode: 'on', size: 512, list: [] }, 'params')).toBeNull();
});

test('a long value is shortened', () => {
  const says = complaint(schema, { disk: 'a', mode: 'x'.repeat(1000) }, 'params');
  expect(says!.length).toBeLessThan(150);
});
