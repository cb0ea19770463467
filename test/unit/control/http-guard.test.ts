/**
 * Who may ask, where http may listen, and the token's file: the parts of http that need no socket.
 */
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { hostAndPort, parseHttpAddress } from '../../../src/control/http-address.ts';
import {
  bearerToken,
  foreignness,
  isToken,
  subprotocolToken,
} from '../../../src/control/http-guard.ts';
import { newToken, tokenOf } from '../../../src/control/http-token.ts';

describe('where http may listen', () => {
  test.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['127.9.8.7:1', '127.9.8.7', 1],
    ['localhost:0', 'localhost', 0],
    ['[::1]:65535', '::1', 65535],
  ])('%s', (text, host, port) => {
    expect(parseHttpAddress(text)).toEqual({ host, port });
    expect(hostAndPort({ host, port })).toBe(text);
  });

  test.each([
    ['0.0.0.0:80', '0.0.0.0 is refused: http is for this machine only'],
    [':80', 'every address of this machine is refused'],
    ['[::]:80', '[::] is refused'],
    ['192.168.1.4:80', '192.168.1.4 is refused'],
    ['example.org:80', 'use ssh -L'],
    ['127.0.0.1.example.org:80', 'is refused'],
    ['127.0.0.256:80', 'is refused'],
    ['127.0.0.1:65536', 'port 65536 is above 65535'],
    ['127.0.0.1', 'expected HOST:PORT'],
    ['8080', 'expected HOST:PORT'],
    ['127.0.0.1:http', 'expected HOST:PORT'],
    ['', 'expected HOST:PORT'],
  ])('%j is refused in words', (text, words) => {
    expect(parseHttpAddress(text)).toContain(words);
  });
});

describe('a request that comes from elsewhere', () => {
  const host = '127.0.0.1:8080';

  test.each([
    [{ host }],
    [{ host: 'localhost:8080', origin: 'http://localhost:8080' }],
    [{ host: 'LOCALHOST:9000' }],
    [{ host: '[::1]:8080', origin: 'http://[::1]:8080' }],
    [{ host: '127.0.0.1' }],
  ])('%j does not', (by) => expect(foreignness(by)).toBeNull());

  test.each([
    [{}],
    [{ host: '' }],
    [{ host: 'evil.example' }],
    [{ host: '127.0.0.1.evil.example:8080' }],
    [{ host: 'localhost.evil.example:8080' }],
    [{ host: 'evil.example@127.0.0.1:8080' }],
    [{ host: '127.0.0.1:8080;x' }],
    [{ host: '192.168.0.1:8080' }],
  ])('by its Host: %j', (by) => expect(foreignness(by)).toContain('Host'));

  test.each([
    ['null'],
    ['http://evil.example'],
    // Another program of this machine, and the same port under another name.
    ['http://127.0.0.1:8081'],
    ['http://localhost:8080'],
    ['https://127.0.0.1:8080'],
    ['http://127.0.0.1:8080.evil.example'],
    [''],
  ])('by its Origin: %j', (origin) => expect(foreignness({ host, origin })).toContain('Origin'));
});

describe('the token', () => {
  const folders: string[] = [];
  const folder = () => {
    folders.push(mkdtempSync(join(tmpdir(), 'vloop-token-')));
    return folders.at(-1)!;
  };
  afterEach(() => {
    for (const path of folders.splice(0)) rmSync(path, { recursive: true });
  });

  test('is right when it is the same, and wrong otherwise', () => {
    const token = newToken();
    expect(isToken(token, token)).toBe(true);
    for (const wrong of [undefined, '', token.slice(1), `${token}a`, token.toLowerCase()]) {
      expect([wrong, isToken(wrong, token)]).toEqual([wrong, false]);
    }
  });

  test('is found in a header of either kind', () => {
    expect(bearerToken('Bearer abc-_9')).toBe('abc-_9');
    expect(bearerToken('Basic abc')).toBeUndefined();
    expect(bearerToken('Bearer a b')).toBeUndefined();
    expect(subprotocolToken('vloop.json-rpc, vloop.token.abc')).toBe('abc');
    expect(subprotocolToken('vloop.json-rpc')).toBeUndefined();
    expect(subprotocolToken(undefined)).toBeUndefined();
  });

  test('stays the same in a run directory, and is its owner’s alone', () => {
    const path = folder();
    const token = tokenOf(path);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(tokenOf(path)).toBe(token);
    expect(tokenOf(folder())).not.toBe(token);
    expect(readdirSync(path)).toEqual(['http.token']);
    expect(statSync(join(path, 'http.token')).mode & 0o777).toBe(0o600);
  });

  test('is not taken from a file that others can read, or that is none', () => {
    const path = folder();
    tokenOf(path);
    chmodSync(join(path, 'http.token'), 0o644);
    expect(() => tokenOf(path)).toThrow('no token file of this user');
    writeFileSync(join(path, 'http.token'), 'short\n');
    chmodSync(join(path, 'http.token'), 0o600);
    expect(() => tokenOf(path)).toThrow('remove it');
    expect(readdirSync(path)).toEqual(['http.token']);
  });
});
