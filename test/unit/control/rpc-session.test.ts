/**
 * JSON-RPC 2.0 as a session speaks it: the examples of the specification's last section, and what a server of ours
 * adds. Source: www.jsonrpc.org/specification.
 */
import { expect, test } from 'vitest';
import { ControlError } from '../../../src/control/controlled-disk.ts';
import { RpcSession } from '../../../src/control/rpc-session.ts';

const calls: Readonly<Record<string, (params: never) => unknown>> = {
  subtract: ([a, b]: readonly [number, number]) => a - b,
  nothing: () => undefined,
  busy: () => {
    throw new ControlError('EBUSY', 'it is busy');
  },
  broken: () => {
    throw new TypeError('a fault of ours');
  },
};

async function answersTo(...texts: readonly string[]): Promise<unknown[]> {
  const answers: string[] = [];
  const session = new RpcSession((method, params) => calls[method]!(params as never), {
    send: (text) => answers.push(text),
    unreadBytes: 0,
  });
  await Promise.all(texts.map((text) => session.receive(text)));
  expect(session.waiting).toBe(0);
  return answers.map((text) => JSON.parse(text) as unknown);
}

const subtract = (id: unknown) =>
  JSON.stringify({ jsonrpc: '2.0', method: 'subtract', params: [42, 23], id });

test('a call is answered with its id', async () => {
  expect(await answersTo(subtract(1), subtract('two'), subtract(null))).toEqual([
    { jsonrpc: '2.0', result: 19, id: 1 },
    { jsonrpc: '2.0', result: 19, id: 'two' },
    { jsonrpc: '2.0', result: 19, id: null },
  ]);
});

test('a result of nothing is null', async () => {
  expect(await answersTo('{"jsonrpc":"2.0","method":"nothing","id":1}')).toEqual([
    { jsonrpc: '2.0', result: null, id: 1 },
  ]);
});

test('a notification is not answered, also when it fails', async () => {
  expect(await answersTo(subtract(undefined), '{"jsonrpc":"2.0","method":"broken"}')).toEqual([]);
});

test.each<[string, string, number, unknown]>([
  ['no JSON', '{"jsonrpc": "2.0", "method', -32700, null],
  ['no object', '1', -32600, null],
  ['an empty batch', '[]', -32600, null],
  ['a huge batch', JSON.stringify(new Array(101).fill(1)), -32600, null],
  ['another version', '{"jsonrpc":"1.0","method":"subtract","id":4}', -32600, 4],
  ['a method that is no word', '{"jsonrpc":"2.0","method":1,"id":5}', -32600, 5],
  [
    'params that are no structure',
    '{"jsonrpc":"2.0","method":"nothing","params":"x","id":6}',
    -32600,
    6,
  ],
  ['an id that is none', '{"jsonrpc":"2.0","method":"nothing","id":{}}', -32600, null],
  ['a fault of ours', '{"jsonrpc":"2.0","method":"broken","id":7}', -32603, 7],
])('%s is answered with an error', async (_, text, code, id) => {
  const [answer] = await answersTo(text);
  expect(answer).toMatchObject({ jsonrpc: '2.0', id, error: { code } });
});

test('a refusal says in one word why', async () => {
  expect(await answersTo('{"jsonrpc":"2.0","method":"busy","id":1}')).toEqual([
    {
      jsonrpc: '2.0',
      id: 1,
      error: { code: -32000, message: 'it is busy', data: { code: 'EBUSY' } },
    },
  ]);
});

test('a batch is answered as one, without its notifications', async () => {
  const batch = `[${subtract(1)}, ${subtract(undefined)}, 1, ${subtract('3')}]`;
  const [answer, ...more] = await answersTo(batch);
  expect(more).toEqual([]);
  expect(answer).toMatchObject([{ id: 1 }, { id: null, error: { code: -32600 } }, { id: '3' }]);
});

test('a batch of notifications is not answered', async () => {
  expect(await answersTo(`[${subtract(undefined)}]`)).toEqual([]);
});

test('what a session holds is let go when it ends', () => {
  const ended: string[] = [];
  const session = new RpcSession(() => null, { send() {}, unreadBytes: 0 });
  session.onEnd(() => ended.push('first'));
  session.onEnd(() => ended.push('taken back'))();
  session.close();
  session.close();
  expect(ended).toEqual(['first']);
});
