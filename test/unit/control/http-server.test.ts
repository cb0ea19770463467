/**
 * http and the WebSocket on a real loopback socket, in front of a session that echoes: what is served and
 * with which headers, who is refused, and that a client that floods, sends too much or never reads is cut
 * off while another one goes on.
 */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { WS_PROTOCOL, WS_TOKEN_PREFIX } from '../../../src/control/http-guard.ts';
import { HttpListener } from '../../../src/control/http-server.ts';
import { newToken } from '../../../src/control/http-token.ts';
import { eventually, within } from '../../support/waiting.ts';

const TIMEOUT_MS = 20_000;
const ANSWER_BYTES = 2 ** 18;
/** Told why, or ended because the client was still busy sending a second later. */
const CUT_OFF = [1006, 1008];

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

const token = newToken();
let listener: HttpListener;
let refusals: string[];
let counts: { received: number; reads: number; sessions: number };
const sockets: WebSocket[] = [];

beforeEach(async () => {
  refusals = [];
  // Of this listener: the sessions of the last one may end later.
  const mine = { received: 0, reads: 0, sessions: 0 };
  counts = mine;
  listener = await HttpListener.start({
    address: { host: '127.0.0.1', port: 0 },
    token,
    open(transport) {
      mine.sessions++;
      return {
        async receive(text) {
          mine.received++;
          transport.send(text === 'large' ? 'x'.repeat(ANSWER_BYTES) : `echo ${text}`);
        },
        onRead() {
          mine.reads++;
        },
        close() {
          mine.sessions--;
        },
      };
    },
    metrics: async () => ({ type: 'text/plain; version=0.0.4', text: 'vloop_up 1\n' }),
    refused: (reason) => refusals.push(reason),
  });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await listener.close();
});

const port = () => Number(new URL(listener.url).port);
const host = () => `127.0.0.1:${port()}`;
const authorization = `Bearer ${token}`;

async function ask(
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  const asked = new Promise<Answer>((resolve, reject) => {
    const outgoing = httpRequest({ host: '127.0.0.1', port: port(), path, method, headers });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    outgoing.end();
  });
  return await within(`answer to ${method} ${path}`, TIMEOUT_MS, asked);
}

interface Handshake {
  readonly token?: string;
  readonly origin?: string;
  readonly host?: string;
  readonly path?: string;
}

function dial(how: Handshake = {}): WebSocket {
  const protocols = [WS_PROTOCOL, `${WS_TOKEN_PREFIX}${how.token ?? token}`];
  const socket = new WebSocket(`ws://${host()}${how.path ?? '/ws'}`, protocols, {
    origin: how.origin ?? `http://${host()}`,
    headers: how.host === undefined ? {} : { host: how.host },
  });
  sockets.push(socket);
  return socket;
}

async function open(how: Handshake = {}): Promise<WebSocket> {
  const socket = dial(how);
  const opened = new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  await within('WebSocket', TIMEOUT_MS, opened);
  return socket;
}

/** The status that the handshake was refused with. */
async function refusedWith(how: Handshake): Promise<number> {
  const socket = dial(how);
  socket.on('error', () => {});
  const answered = new Promise<number>((resolve, reject) => {
    socket.once('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
    socket.once('open', () => reject(new Error('the handshake was accepted')));
  });
  return await within('refusal', TIMEOUT_MS, answered);
}

async function echo(socket: WebSocket, text: string): Promise<string> {
  const answer = new Promise<string>((resolve) => {
    socket.once('message', (bytes) => resolve(bytes.toString()));
  });
  socket.send(text);
  return await within(`answer to ${text}`, TIMEOUT_MS, answer);
}

async function closeCode(socket: WebSocket): Promise<number> {
  socket.on('error', () => {});
  const closed = new Promise<number>((resolve) => {
    if (socket.readyState === socket.CLOSED) resolve(0);
    else socket.once('close', resolve);
  });
  return await within('end of the connection', TIMEOUT_MS, closed);
}

describe('http', { timeout: 60_000 }, () => {
  test('the URL says the chosen port, and the token where no log has it', () => {
    expect(listener.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*\/$/);
    expect(listener.urlWithToken).toBe(`${listener.url}#token=${token}`);
  });

  test('the page is served with headers that let nothing foreign in', async () => {
    const { status, headers, text } = await ask('/');
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(text).toContain('<title>vloop</title>');
    const policy = headers['content-security-policy']!;
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain(`connect-src 'self' ws://${host()};`);
    expect(policy).not.toMatch(/unsafe|https?:|data:|\*/);
    expect(headers['cache-control']).toBe('no-store');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['referrer-policy']).toBe('no-referrer');
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  test('uPlot comes from its package', async () => {
    const { status, headers, text } = await ask('/uplot.js');
    expect([status, headers['content-type']]).toEqual([200, 'text/javascript; charset=utf-8']);
    expect(text).toContain('export { uPlot as default }');
    expect((await ask('/uplot.css')).headers['content-type']).toContain('text/css');
  });

  test.each([
    '/../http-token.ts',
    '/%2e%2e/http-token.ts',
    '//etc/passwd',
    '/page/index.html',
    '/http.token',
    '/nothing',
  ])('%s is nothing', async (path) => expect((await ask(path)).status).toBe(404));

  test('health is everybody’s on this machine', async () => {
    const { status, text } = await ask('/healthz');
    expect([status, text]).toEqual([200, 'ok\n']);
    expect((await ask('/healthz', {}, 'HEAD')).text).toBe('');
  });

  test('metrics need the token', async () => {
    const wrong = await ask('/metrics', { authorization: `Bearer ${newToken()}` });
    expect([wrong.status, wrong.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(wrong.text).not.toContain('vloop_up');
    expect((await ask('/metrics')).status).toBe(401);
    expect((await ask(`/metrics?token=${token}`)).status).toBe(401);
    const right = await ask('/metrics', { authorization });
    expect([right.status, right.text]).toEqual([200, 'vloop_up 1\n']);
    expect((await ask('/token', { authorization })).status).toBe(204);
    expect((await ask('/token')).status).toBe(401);
  });

  test('another site and another machine’s name are refused whatever the token', async () => {
    const foreign = { authorization, origin: 'http://evil.example' };
    const rebound = { authorization, host: `evil.example:${port()}` };
    for (const path of ['/', '/metrics', '/healthz', '/token']) {
      expect((await ask(path, foreign)).status).toBe(403);
      expect((await ask(path, rebound)).status).toBe(403);
    }
    expect(refusals[0]).toContain('Origin');
    expect(refusals[1]).toContain('Host');
  });

  test('nothing is changed by http', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask('/', { authorization }, method);
      expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
    }
  });

  test('headers that never end are no reason to keep much', async () => {
    const socket = connect(port(), '127.0.0.1');
    const answered = new Promise<string>((resolve, reject) => {
      let said = '';
      socket.on('data', (chunk) => {
        said += chunk.toString();
      });
      socket.once('close', () => resolve(said));
      socket.once('error', reject);
    });
    socket.write(`GET / HTTP/1.1\r\nhost: ${host()}\r\nx: ${'x'.repeat(9000)}`);
    expect(await within('end', TIMEOUT_MS, answered)).toContain('431');
  });

  test('a port that is taken is an error with its code', async () => {
    const parts = { token, open: () => ({ receive: async () => {}, onRead() {}, close() {} }) };
    const again = HttpListener.start({
      ...parts,
      address: { host: '127.0.0.1', port: port() },
      metrics: async () => ({ type: '', text: '' }),
      refused: () => {},
    });
    await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

describe('bug class 26, control plane: the WebSocket', { timeout: 60_000 }, () => {
  test('carries text both ways, and the token is not said back', async () => {
    const socket = await open();
    expect(socket.protocol).toBe(WS_PROTOCOL);
    expect(await echo(socket, 'hello')).toBe('echo hello');
  });

  test('its session learns when everything has been read', async () => {
    const socket = await open();
    expect(await echo(socket, 'hello')).toBe('echo hello');
    await eventually('read', TIMEOUT_MS, () => counts.reads > 0 || undefined);
  });

  test.each([
    [401, 'a wrong token', () => ({ token: newToken() })],
    [401, 'no token', () => ({ token: '' })],
    [403, 'a foreign Origin', () => ({ origin: 'http://evil.example' })],
    [403, 'another port’s Origin', () => ({ origin: `http://127.0.0.1:${port() + 1}` })],
    [403, 'a wrong Host', () => ({ host: `evil.example:${port()}` })],
    [404, 'another path', () => ({ path: '/' })],
  ])('%i: %s', async (status, _, how) => {
    expect(await refusedWith(how())).toBe(status);
    expect(counts.sessions).toBe(0);
  });

  test('sixteen at once, and a place is free again when one goes', async () => {
    const open16 = await Promise.all(Array.from({ length: 16 }, () => open()));
    expect(await refusedWith({})).toBe(503);
    open16[0]!.close();
    await closeCode(open16[0]!);
    await eventually('free place', TIMEOUT_MS, () => counts.sessions === 15 || undefined);
    expect(await echo(await open(), 'last')).toBe('echo last');
  });

  test('a client that floods is cut off, another one is not', async () => {
    const calm = await open();
    const flooding = await open();
    const closed = closeCode(flooding);
    for (let i = 0; i < 20_000; i++) flooding.send('x');
    expect(CUT_OFF).toContain(await closed);
    expect(counts.received).toBeLessThan(5000);
    expect(refusals.join()).toContain('messages a second');
    expect(await echo(calm, 'still here')).toBe('echo still here');
    await eventually('end of its session', TIMEOUT_MS, () => counts.sessions === 1 || undefined);
  });

  test('a flood of pings is one too', async () => {
    const flooding = await open();
    const closed = closeCode(flooding);
    for (let i = 0; i < 20_000; i++) flooding.ping();
    expect(CUT_OFF).toContain(await closed);
  });

  test('100 MB are refused by their length', async () => {
    const calm = await open();
    const socket = await open();
    const closed = closeCode(socket);
    socket.send(Buffer.alloc(100_000_000), { binary: false });
    expect([1006, 1009]).toContain(await closed);
    expect(counts.received).toBe(0);
    expect(await echo(calm, 'still here')).toBe('echo still here');
  });

  test('a client that never reads is cut off', async () => {
    const deaf = await open();
    deaf.pause();
    for (let i = 0; i < 200; i++) deaf.send('large');
    await eventually('end of its session', TIMEOUT_MS, () => counts.sessions === 0 || undefined);
    expect(refusals.join()).toContain('does not read');
  });

  test('a binary message ends the connection', async () => {
    const socket = await open();
    const closed = closeCode(socket);
    socket.send(Buffer.from('x'));
    expect(await closed).toBe(1003);
    expect(counts.received).toBe(0);
  });

  test('the end of the server is the end of its sessions', async () => {
    const socket = await open();
    const closed = closeCode(socket);
    await listener.close();
    await closed;
    expect(counts.sessions).toBe(0);
  });
});
