/**
 * 50-vloop.json: where it lies, what it says by QEMU's schema, and which files it may replace.
 */
import { expect, test } from 'vitest';
import { discoveryDirectory, discoveryText, isOurs } from '../../../src/cli/discovery-file.ts';

test('lies where back-ends are looked for', () => {
  const home = { HOME: '/home/u' };
  const at = { user: false, prefix: '/usr/local' };
  expect(discoveryDirectory(home, at)).toBe('/usr/local/share/qemu/vhost-user');
  const own = { user: true, prefix: '/usr' };
  expect(discoveryDirectory(home, own)).toBe('/home/u/.config/qemu/vhost-user');
  expect(discoveryDirectory({ ...home, XDG_CONFIG_HOME: '/c' }, own)).toBe('/c/qemu/vhost-user');
});

test('says what VhostUserBackend of vhost-user.json wants, and no more', () => {
  const found = JSON.parse(discoveryText('/usr/bin/vloop')) as Record<string, unknown>;
  expect(Object.keys(found).sort()).toEqual(['binary', 'description', 'tags', 'type']);
  expect(found).toMatchObject({ type: 'block', binary: '/usr/bin/vloop', tags: ['vloop'] });
});

test('replaces its own file only', () => {
  expect(isOurs(discoveryText('/another/vloop'))).toBe(true);
  expect(isOurs('{"description": "virtiofsd", "type": "fs", "binary": "/v"}')).toBe(false);
  // An empty file hides the one of a less specific directory: somebody wants that.
  expect(isOurs('')).toBe(false);
  expect(isOurs('not JSON')).toBe(false);
  expect(isOurs('null')).toBe(false);
});
