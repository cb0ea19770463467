/**
 * `vloop attach`, `save-config` and `load-config`, with a daemon and without one: disks stay when the command has
 * ended, come back as they were, all of them or none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DiskStatus } from '../../src/control/schema/disk-status.ts';
import { DaemonRig } from '../support/daemon-rig.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { isAlive, killIfAlive } from '../support/process-alive.ts';

let rig: DaemonRig;

beforeEach(() => {
  rig = new DaemonRig();
});

afterEach(async () => {
  await rig.close();
});

const SIZE = 64 * 1024;

async function disks(): Promise<DiskStatus[]> {
  const { status, stdout, stderr } = await rig.run('list', '--json', '--output-all');
  expect([status, stderr]).toEqual([0, '']);
  return (JSON.parse(stdout) as { disks: DiskStatus[] }).disks;
}

async function endAll(): Promise<void> {
  for (const pid of rig.pids().filter(isAlive)) {
    killIfAlive(pid, 'SIGTERM');
    await rig.gone(pid);
  }
}

describe.each([
  ['without a daemon', false],
  ['with a daemon', true],
])('%s', (_, withDaemon) => {
  beforeEach(async () => {
    if (withDaemon) await rig.startDaemon();
  });

  test('a disk is attached, saved, ended, and comes back as it was', async () => {
    const content = noise(SIZE, 4);
    const image = rig.image('a.img', content);
    const options = ['-r', '-b', '4096', '--serial=kept', '--num-queues=3', '--direct-io=off'];
    const attached = await rig.run('attach', '-f', '--show', image, ...options);
    const socket = `${rig.runDirectory}/a.img.sock`;
    expect(attached).toEqual({ status: 0, stdout: `a.img\n${socket}\n`, stderr: '' });
    const second = await rig.run('attach', rig.image('b.img', new Uint8Array(SIZE)), '--name=b');
    expect(second).toEqual({ status: 0, stdout: 'b\n', stderr: '' });
    expect(await rig.run('save-config', rig.path('saved.json'))).toMatchObject({ status: 0 });
    const saved = JSON.parse(readFileSync(rig.path('saved.json'), 'utf8'));
    expect(
      saved.disks.toSorted((a: DiskStatus, b: DiskStatus) => (a.name < b.name ? -1 : 1)),
    ).toEqual([
      {
        name: 'a.img',
        blk_file: image,
        socket_path: socket,
        read_only: true,
        block_size: 4096,
        serial: 'kept',
        num_queues: 3,
        direct_io: 'off',
      },
      { name: 'b', blk_file: rig.path('b.img'), socket_path: `${rig.runDirectory}/b.sock` },
    ]);
    const before = await disks();
    await endAll();
    expect(await disks()).toEqual([]);
    const loaded = await rig.run('load-config', rig.path('saved.json'));
    expect([loaded.status, loaded.stderr]).toEqual([0, '']);
    expect(loaded.stdout.trim().split('\n').sort()).toEqual(['a.img', 'b']);
    const after = await disks();
    const plain = (list: readonly DiskStatus[]) =>
      list.map((disk) => ({ ...disk, pid: 0 })).sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(plain(after)).toEqual(plain(before));
    const frontEnd = await rig.frontEnd({ socket } as DiskStatus);
    const read = await frontEnd.queue.mustRun(blk.read(0, SIZE));
    expect(Buffer.compare(read, content)).toBe(0);
  });

  test('of a configuration with a disk that cannot be served none is attached', async () => {
    for (const name of ['a.img', 'b.img']) rig.image(name, new Uint8Array(SIZE));
    // Paths are relative to the file.
    const list = ['a.img', 'b.img', 'no.img'].map((blk_file) => ({ blk_file }));
    writeFileSync(rig.path('c.json'), JSON.stringify({ disks: list }));
    const { status, stdout, stderr } = await rig.run('load-config', rig.path('c.json'));
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^vloop: disks\[2\]: backing file .*no\.img: no such file.*; none of the configuration is attached\n$/,
    );
    expect(rig.pids().filter(isAlive)).toEqual([]);
    expect(await disks()).toEqual([]);
  });
});

test('what is wrong with a configuration is said before anything is attached', async () => {
  const refused = async (text: string, words: RegExp) => {
    writeFileSync(rig.path('c.json'), text);
    const { status, stdout, stderr } = await rig.run('load-config', rig.path('c.json'));
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^vloop: config [^\n]+\n$/);
    expect(stderr).toMatch(words);
  };
  rig.image('a.img', new Uint8Array(SIZE));
  await refused('{', /not JSON/);
  await refused('{"disk": []}', /disk: there is no such key; did you mean "disks"\?/);
  await refused(
    '{"disks": [{"blk_file": "a.img"}, {"blk_file": "b.img", "readonly": true}]}',
    /disks\[1\]\.readonly: there is no such key; did you mean "read_only"\?/,
  );
  await refused(
    '{"disks": [{"blk_file": "a.img", "num_queues": 1000}]}',
    /disks\[0\]\.num_queues=1000: expected an integer from 1 to 256/,
  );
  expect(rig.pids()).toEqual([]);
});

test('arguments that cannot be right', async () => {
  const image = rig.image('a.img', new Uint8Array(SIZE));
  const refused = async (status: number, words: RegExp, ...args: readonly string[]) => {
    const answer = await rig.run('attach', ...args);
    expect([answer.status, answer.stdout]).toEqual([status, '']);
    expect(answer.stderr).toMatch(/^vloop: [^\n]+\n$/);
    expect(answer.stderr).toMatch(words);
  };
  await refused(2, /attach: which file\?/);
  await refused(2, /expected \[FILE\], got 2 words/, image, image);
  await refused(2, /--num-queues=0: expected a number from 1/, image, '--num-queues=0');
  await refused(2, /the same/, image, '--block-size=512', '--sector-size=512');
  await refused(1, /no such file/, rig.path('no.img'));
  await refused(1, /it is a special file/, '/dev/null');
  expect(rig.pids()).toEqual([]);
});
