/**
 * The tree against the rules of tidy-rules.ts, and the rules against examples that break them: a rule
 * that finds nothing anywhere proves nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  banViolations,
  codeOf,
  functionsOf,
  importsOf,
  importViolations,
  isPure,
  MAY_IMPORT,
  roomOf,
  type SourceFile,
  shapeViolations,
} from './tidy-rules.ts';

const ROOT = join(import.meta.dirname, '../..');

function sources(...folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[tj]s$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') })),
  );
}

const TREE = sources('src', 'protocol');

describe('the tree', () => {
  test('has sources in every room that the data path needs', () => {
    const rooms = new Set(TREE.map(({ path }) => roomOf(path)));
    for (const room of ['protocol', 'memory', 'virtqueue', 'blk']) expect(rooms).toContain(room);
  });

  test('imports along the arrows of the architecture only', () => {
    expect(TREE.flatMap(importViolations)).toEqual([]);
  });

  test('uses nothing that is banned', () => expect(TREE.flatMap(banViolations)).toEqual([]));

  test('has headers, and files and functions of a length that can be read', () => {
    expect(TREE.flatMap(shapeViolations)).toEqual([]);
  });

  test('names no machine in its tests and examples either', () => {
    const others = sources('test').flatMap(banViolations);
    expect(others.filter((sentence) => sentence.includes('of one machine'))).toEqual([]);
  });
});

test('no arrow goes both ways, directly or around', () => {
  const reach = (room: string, seen = new Set<string>()): Set<string> => {
    for (const next of MAY_IMPORT[room] ?? []) {
      if (seen.has(next)) continue;
      seen.add(next);
      reach(next, seen);
    }
    return seen;
  };
  for (const room of Object.keys(MAY_IMPORT))
    expect([room, reach(room).has(room)]).toEqual([room, false]);
});

describe('an import against the rules is found, and told in words', () => {
  const violation = (path: string, specifier: string) =>
    importViolations({ path, text: `import { x } from '${specifier}';\n` }).join();

  test.each([
    ['src/memory/a.ts', '../virtqueue/b.ts', 'memory may import protocol: pass a port instead'],
    ['src/virtqueue/a.ts', '../blk/b.ts', 'virtqueue may import protocol, memory'],
    ['src/uring/a.ts', '../memory/b.ts', 'uring may import protocol'],
    ['src/loop/a.ts', '../sys/b.ts', 'pass a port instead'],
    ['src/loop/a.ts', '../backing/b.ts', 'pass a port instead'],
    ['src/layers/a.ts', '../backing/b.ts', 'pass a port instead'],
    ['src/backing/a.ts', '../worker/b.ts', 'pass a port instead'],
    ['src/worker/a.ts', '../vhost-user/b.ts', 'pass a port instead'],
    ['src/vhost-user/a.ts', '../control/b.ts', 'pass a port instead'],
    ['src/control/a.ts', '../sys/b.ts', 'pass a port instead'],
    ['src/control/a.ts', '../cli/b.ts', 'pass a port instead'],
    ['src/vhost-user/session.ts', '../sys/b.ts', 'only connection* and server*'],
    ['src/vhost-user/session.ts', 'node:fs', 'this file is pure'],
    ['src/blk/a.ts', 'node:fs', 'this file is pure'],
    ['src/loop/deep/a.ts', 'node:crypto', 'this file is pure'],
    ['src/backing/a.ts', 'koffi', 'only ^src\\/sys\\/ may'],
    ['src/cli/a.ts', 'pino', 'only ^src\\/log\\.ts$ may'],
    ['src/worker/a.ts', 'ws', 'only ^src\\/control\\/ may'],
    ['src/sys/a.ts', 'left-pad', 'no room may use this package'],
    ['protocol/a.ts', '../src/blk/b.ts', 'protocol may import nothing'],
    ['protocol/a.ts', 'node:fs', 'imports nothing outside itself'],
    ['src/attic/a.ts', './b.ts', 'has no place in the architecture'],
  ])('%s ← %s', (path, specifier, sentence) => {
    expect(violation(path, specifier)).toContain(sentence);
  });

  test.each([
    ['src/vhost-user/connection.ts', '../sys/b.ts'],
    ['src/vhost-user/server-socket.ts', 'node:fs'],
    ['src/blk/a.ts', '../virtqueue/b.ts'],
    ['src/loop/deep/a.ts', '../geometry.ts'],
    ['src/sys/a.ts', 'koffi'],
    ['src/sys/a.ts', 'node:fs'],
    ['src/log.ts', 'pino'],
    ['src/cli/a.ts', '../log.ts'],
    ['src/worker/a.ts', '../../protocol/linux.ts'],
  ])('%s ← %s is right', (path, specifier) => expect(violation(path, specifier)).toBe(''));

  test('in every form: over lines, for types, for effects, re-exported, at run time', () => {
    const text = [
      "import {\n  a,\n  b,\n} from './one.ts';",
      "import type { c } from './two.ts';",
      "import './three.ts';",
      "export * from './four.ts';",
      "const d = await import('./five.ts');",
    ].join('\n');
    expect(importsOf({ path: 'src/blk/a.ts', text })).toEqual(
      ['one', 'two', 'three', 'four', 'five'].map((name) => `./${name}.ts`),
    );
  });
});

describe('a banned word is found', () => {
  const found = (text: string, path = 'src/loop/a.ts') => banViolations({ path, text }).join('\n');

  test.each([
    ['const a: any = 1;', 'use unknown'],
    ['// @ts-ignore', 'make the type right'],
    ['console.log(1);', 'use the log'],
    ['export enum E {}', 'use constants'],
    ['const enum E {}', 'use constants'],
    ['const a = BigInt(b);', 'use Numbers'],
    ['const a = b + 0x10n;', 'use Numbers'],
    ['const a = 1n;', 'use Numbers'],
  ])('%s', (text, sentence) => expect(found(text)).toContain(sentence));

  test('a path of this machine, in a string or a comment', () => {
    expect(found(`// see ${['', 'work', 'main'].join('/')}`)).toContain('derive it');
  });

  test('and with its line', () =>
    expect(found('\n\nlet a: any;')).toMatch(/^src\/loop\/a\.ts:3: /));

  test.each([
    '// any reader may ask any question',
    "const a = 'console.log(any)';",
    'await Promise.any(list);',
    'const many = company;',
    'const a = row1n;',
  ])('%s is right', (text) => expect(found(text)).toBe(''));

  test('BigInt is right on the control path', () => {
    expect(found('const a = 1n;', 'src/vhost-user/session.ts')).toBe('');
    expect(found('const a = 1n;', 'src/blk/features.ts')).toBe('');
    expect(found('const a = 1n;', 'src/blk/blk-request.ts')).toContain('use Numbers');
  });
});

describe('shape', () => {
  const header = '/**\n * What it is, in a line of words.\n * And another.\n */\n';
  const of = (text: string, path = 'src/blk/a.ts') => shapeViolations({ path, text }).join('\n');
  const lines = (count: number) => 'a();\n'.repeat(count);

  test('a header of two lines is asked for', () => {
    expect(of('const a = 1;\n')).toContain('two lines or more');
    expect(of('/** Eight words, but all of them in one line. */\n')).toContain('two lines or more');
    expect(of('/**\n * Constants.\n */\n')).toContain('two lines or more');
    expect(of(`${header}const a = 1;\n`)).toBe('');
    expect(of('#!/usr/bin/env node\n// What it is, in a line.\n// And another line.\na();\n')).toBe(
      '',
    );
  });

  test.each(['src/blk/a.ts', 'protocol/a.ts'])('a long file is found: %s', (path) => {
    expect(of(header + lines(300), path)).toContain('304 lines, at most 300');
    expect(of(header + lines(296), path)).toBe('');
  });

  test.each([
    ['export function long(a: number): void {', '}', ''],
    ['async function long(\n  a: number,\n): Promise<void> {', '}', ''],
    ['class A {\n  #long(a: number): void {', '  }\n}', '  '],
    ['class A {\n  static async long(): Promise<void> {', '  }\n}', '  '],
    ['class A {\n  get long(): number {', '  }\n}', '  '],
  ])('a long function is found: %s', (start, end, indent) => {
    const body = `${indent}  a();\n`.repeat(60);
    expect(of(`${header}${start}\n${body}${end}\n`)).toMatch(/#?long takes 6\d lines, at most 60/);
  });

  test('a long list of arguments or cases is no function', () => {
    const call = `run(\n${'  a,\n'.repeat(70)});\n`;
    expect(functionsOf({ path: 'src/blk/a.ts', text: header + call })).toEqual([]);
  });

  test('the functions of the tree are seen at all', () => {
    const count = TREE.flatMap(functionsOf).length;
    expect(count).toBeGreaterThan(TREE.length);
  });
});

test('comments and strings are blanked, lines stay', () => {
  expect(codeOf("a /* b\nc */ 'd' // e\nf")).toBe('a     \n             \nf');
});

test('purity is a matter of the room, and in vhost-user of the file', () => {
  expect(isPure('src/vhost-user/session.ts')).toBe(true);
  expect(isPure('src/vhost-user/connection.ts')).toBe(false);
  expect(isPure('src/worker/entry.ts')).toBe(false);
});
