/**
 * A disk as options and as a configuration, both ways; configurations from files of each kind, and on a command line.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../../src/cli/config-file.ts';
import { configOf } from '../../../src/cli/disk-config.ts';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { parseCommandLine } from '../../../src/cli/options.ts';
import { configOfLine, serveConfigured } from '../../../src/cli/serve-config.ts';
import { diskOfArguments } from '../../../src/cli/verbs/attach.ts';
import { defineConfig } from '../../../src/control/define-config.ts';
import { config, optionsOf, withPaths } from '../../../src/control/schema/disk-config.ts';
import type { DiskStatus } from '../../../src/control/schema/disk-status.ts';

const STATUS = {
  name: 'a.img',
  back_file: '/d/a.img',
  socket: '/d/s',
  direct_io: false,
  direct_io_setting: 'auto',
  block_size: 512,
  offset: 0,
  size_limit: 0,
  read_only: false,
} as DiskStatus;

function configured(args: readonly string[], status: Partial<DiskStatus> = {}) {
  const invocation = parseCommandLine(['serve', ...args]);
  if (invocation.verb !== 'serve') throw new Error(invocation.verb);
  return configOf(invocation.options.disks[0]!, { ...STATUS, ...status });
}

const PLACE = { name: 'a.img', blk_file: '/d/a.img', socket_path: '/d/s' };

describe('a served disk as a configuration', () => {
  test('has what was given and is not the default, with the types of the schema', () => {
    const args = ['a.img', '--num-queues=4', '--block-size=512', '--direct-io=off', '--poll-us=20'];
    expect(configured(args, { direct_io_setting: 'off' })).toEqual({
      ...PLACE,
      num_queues: 4,
      direct_io: 'off',
      poll_us: 20,
    });
    expect(
      configured(['a.img', '--read-only', '--serial=12', '--poll-us=auto'], { read_only: true }),
    ).toEqual({
      ...PLACE,
      read_only: true,
      serial: '12',
    });
  });

  test('has what was changed since', () => {
    expect(
      configured(['a.img', '--direct-io=on'], {
        direct_io_setting: 'off',
        block_size: 4096,
        back_file: '/e/b.img',
      }),
    ).toEqual({
      ...PLACE,
      blk_file: '/e/b.img',
      direct_io: 'off',
      block_size: 4096,
    });
    // Not what came of it, but what was asked for: elsewhere something else may come of that.
    for (const direct_io_setting of ['on', 'off', 'auto'] as const) {
      for (const direct_io of [true, false]) {
        const now = { direct_io, direct_io_setting };
        expect(configured(['a.img', '--direct-io=on'], now)).toEqual({
          ...PLACE,
          direct_io: direct_io_setting,
        });
      }
    }
  });

  test('is refused when its key came from a descriptor', () => {
    expect(() => configured(['a.img', '--transfer=xor', '--key-fd=3'])).toThrow(
      /disk a\.img: its key came from --key-fd.*--key-file/,
    );
  });

  test('has nothing that is of its process', () => {
    const args = ['a.img', '--control=off', '--successor=/bin/x', '--exit-with-stdin'];
    expect(configured(args)).toEqual(PLACE);
  });

  test('is the command line again', () => {
    const disk = { blk_file: 'a.img', read_only: true, once: false, num_queues: 4 };
    expect(optionsOf(disk)).toEqual(['--blk-file=a.img', '--read-only', '--num-queues=4']);
    const moved = withPaths({ ...disk, transfer: './t.ts' }, (path) => `/x/${path}`);
    expect(moved).toEqual({ ...disk, blk_file: '/x/a.img', transfer: '/x/./t.ts' });
    expect(withPaths({ transfer: 'xor' }, () => 'never')).toEqual({ transfer: 'xor' });
  });
});

test('the arguments of attach, in losetup’s words too', () => {
  const values = { 'read-only': true, 'sector-size': '4096', show: true, 'num-queues': '2' };
  expect(diskOfArguments({ words: ['/d/a.img'], values })).toEqual({
    blk_file: '/d/a.img',
    read_only: true,
    block_size: 4096,
    num_queues: 2,
  });
});

describe('a configuration file', () => {
  let directory: string;
  const path = (name: string) => join(directory, name);
  const disks = [{ blk_file: 'a.img', num_queues: 2 }];

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
    for (const name of ['empty', 'json', 'ts']) mkdirSync(path(name));
    writeFileSync(path('json/vloop.config.json'), JSON.stringify({ $schema: 'x', disks }));
    const module = `export default ${JSON.stringify({ disks })} as { disks: object[] };\n`;
    writeFileSync(path('ts/vloop.config.ts'), module);
    writeFileSync(path('broken.ts'), 'export default {');
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test.each(['json', 'ts', 'json/vloop.config.json', 'ts/vloop.config.ts'])(
    '%s is read',
    async (name) => {
      const folder = path(name.split('/')[0]!);
      expect(await readConfig(path(name))).toEqual({
        disks: [{ blk_file: join(folder, 'a.img'), num_queues: 2 }],
      });
    },
  );

  test.each([
    ['no.json', /no such file/],
    ['empty', /the directory has none of vloop\.config\.json, vloop\.config\.ts/],
    ['broken.ts', /cannot be loaded/],
  ])('%s is refused', async (name, words) => {
    await expect(readConfig(path(name))).rejects.toThrow(OptionsError);
    await expect(readConfig(path(name))).rejects.toThrow(words);
  });

  test('on the command line of serve, whose other options come first', async () => {
    const line = configOfLine(['serve', '--config', path('json'), '--num-queues=3']);
    expect(line).toEqual({ path: path('json'), rest: ['serve', '--num-queues=3'] });
    expect(configOfLine(['serve', `--config=${path('ts')}`])?.path).toBe(path('ts'));
    expect(configOfLine(['serve', 'a.img'])).toBeNull();
    expect(() => configOfLine(['serve', '--config'])).toThrow('--config is missing its file');
    const options = await serveConfigured(path('json'), line!.rest);
    expect(options).toMatchObject({ friendly: true, disks: [{ queueCount: 3 }] });
    await expect(serveConfigured(path('json'), ['--num-queues=3'])).rejects.toThrow(
      /for vloop serve/,
    );
    writeFileSync(path('p.json'), '{"disks": [{"blk_file": "a", "log_level": "warn"}]}');
    await expect(serveConfigured(path('p.json'), ['serve'])).rejects.toThrow(
      /disks\[0\]\.log_level: of a whole process/,
    );
  });
});

test('a typed configuration has the keys of the schema', () => {
  const typed = defineConfig({ disks: [{ blk_file: 'a', block_size: 4096, read_only: true }] });
  expect(typed.disks).toHaveLength(1);
  // @type checks: the line below is an error when the types stop knowing the keys.
  const keys: ReadonlyArray<keyof (typeof typed.disks)[number]> = [
    'direct_io',
    'num_queues',
    'name',
  ];
  const { properties } = config.properties.disks.items as unknown as {
    properties: Readonly<Record<string, object>>;
  };
  for (const key of keys) expect(properties).toHaveProperty(key);
});
