/**
 * The search for secrets in a log finds them in every form, wherever they begin, and finds nothing in an honest log: a
 * check that cannot fail would prove nothing (kernel/hostile-log.test.ts uses it).
 */
import { expect, test } from 'vitest';
import { secretBytes, tracesOf } from '../support/secret-traces.ts';

const SECRET = secretBytes(0, 32);
const view = new DataView(SECRET.buffer);

test.each<[string, (part: Uint8Array) => string | Buffer]>([
  ['its bytes', (part) => Buffer.from(part)],
  ['UTF-8 of its bytes', (part) => Buffer.from(Buffer.from(part).toString('latin1'))],
  [
    'JSON escapes',
    (part) =>
      JSON.stringify(Buffer.from(part).toString('latin1')).replace(
        /[\u0080-\u00ff]/g,
        (c) => `\\u00${c.charCodeAt(0).toString(16)}`,
      ),
  ],
  ['hex', (part) => Buffer.from(part).toString('hex')],
  ['hex in capitals', (part) => Buffer.from(part).toString('hex').toUpperCase()],
  ['hex with blanks', (part) => [...part].map((byte) => byte.toString(16)).join(' ')],
  ['base64', (part) => Buffer.from(part).toString('base64')],
  ['base64 for addresses', (part) => Buffer.from(part).toString('base64url')],
  ['a list of numbers', (part) => JSON.stringify([...part])],
  ['a Buffer as JSON', (part) => JSON.stringify(Buffer.from(part))],
  ['an array as an object', (part) => [...part].join(', ')],
])('%s: a part of the secret is found at any place', (_, write) => {
  for (const from of [0, 1, 2, 3, 5]) {
    const written = write(SECRET.subarray(from, from + 12));
    const before = Buffer.from('{"level":30,"msg":"');
    const text =
      typeof written === 'string' ? `${before}${written}"}` : Buffer.concat([before, written]);
    expect(tracesOf(SECRET, text)).not.toEqual([]);
  }
});

test.each<[string, string]>([
  ['a 32-bit number', `sector=${view.getUint32(3, true)}`],
  ['one of the other order in hex', `at 0x${view.getUint32(5).toString(16)}`],
  ['one with a sign', `${view.getInt32(6, true)}`],
  ['a 64-bit number', `${view.getBigUint64(7, true)}`],
  ['one in hex', `0x${view.getBigUint64(9).toString(16)}`],
])('%s of it is found', (_, text) => expect(tracesOf(SECRET, text)).not.toEqual([]));

test('a log without it is a log without it', () => {
  const lines = Array.from({ length: 500 }, (_, i) =>
    JSON.stringify({
      level: 30,
      time: 1_795_610_849_852 + i * 997,
      pid: 4711 + i,
      vring: i % 64,
      msg: 'the guest broke a vring',
      address: `0x${(i * 0x10000001).toString(16)}`,
    }),
  ).join('\n');
  expect(tracesOf(SECRET, lines)).toEqual([]);
  expect(tracesOf(SECRET, Buffer.from(lines))).toEqual([]);
});
