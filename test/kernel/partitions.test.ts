/**
 * Partitions of served disks: one of them exported as a disk of its own, under a verified load that must not touch a
 * byte outside it; the table of a disk through its offset, its mode and its transfer module; refusals.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createDisk } from '../../src/cli/create-disk.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { mustRun } from '../support/bounded-process.ts';
import { encrypted, xts } from '../support/encrypted-image.ts';
import { noise } from '../support/image-content.ts';
import { partitionedBytes, sfdiskDump } from '../support/partition-image.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const MIB = 2 ** 20;
let disk: ServedDisk;

afterEach(async () => {
  await disk?.close();
});

/** The table, and something everywhere behind its first sectors. */
function filled(kind: 'dos' | 'gpt'): Buffer {
  const bytes = partitionedBytes(kind);
  for (const { number, offsetBytes, sizeBytes, type } of sfdiskDump(kind)) {
    if (type !== '5') bytes.set(noise(Math.min(sizeBytes, 4 * MIB), number), offsetBytes);
  }
  return bytes;
}

const control = () => join(disk.directory, '1.ctl');

async function start(content: Uint8Array, ...args: string[]): Promise<RpcClient> {
  disk = new ServedDisk({ content });
  await disk.startVloop([`--control=${control()}`, '--name=d', ...args]);
  return disk.own(await RpcClient.connect(control()));
}

async function verb(...args: string[]) {
  const through = ['env', `VLOOP_RUN_DIR=${disk.directory}`];
  const vloop = new VloopProcess({ args, through });
  const { status } = await vloop.end(null);
  return { status, stdout: vloop.stdout, stderr: vloop.stderr };
}

describe('--partition', () => {
  test.each([
    ['a logical one, direct', 'dos', 5, ['--direct-io=on']],
    ['a GPT’s, buffered', 'gpt', 1, ['--direct-io=off']],
  ] as const)('%s: a load on it touches nothing outside', async (_, kind, number, args) => {
    const content = filled(kind);
    const place = sfdiskDump(kind).find((one) => one.number === number)!;
    const end = place.offsetBytes + place.sizeBytes;
    const rpc = await start(content, `--partition=${number}`, ...args);
    expect(await rpc.call('disk_get_status', { disk: 'd' })).toMatchObject({
      size: place.sizeBytes,
      offset: place.offsetBytes,
      size_limit: place.sizeBytes,
    });
    const frontEnd = await disk.connect({ queueCount: 2, moreRegions: [loadRegion(2)] });
    const load = new VerifiedLoad(
      frontEnd,
      new Uint8Array(content.subarray(place.offsetBytes, end)),
    );
    await load.run(150);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    const image = disk.imageBytes();
    expect(
      image.subarray(0, place.offsetBytes).equals(content.subarray(0, place.offsetBytes)),
    ).toBe(true);
    expect(image.subarray(end).equals(content.subarray(end))).toBe(true);
    expect(image.subarray(place.offsetBytes, end).equals(Buffer.from(load.model))).toBe(true);
    expect(image.equals(content)).toBe(false);
  });

  test('is what a configuration says, until the disk lies elsewhere', async () => {
    const rpc = await start(filled('dos'), '--partition=2');
    const before = await rpc.call('disk_get_config', { disk: 'd' });
    expect(before).toMatchObject({ partition: 2 });
    expect(before).not.toHaveProperty('offset');
    await rpc.call('disk_set_status', { disk: 'd', size_limit: MIB });
    const { offsetBytes } = sfdiskDump('dos')[1]!;
    const after = await rpc.call('disk_get_config', { disk: 'd' });
    expect(after).toMatchObject({ offset: offsetBytes, size_limit: MIB });
    expect(after).not.toHaveProperty('partition');
  });

  test('stays where it is in an upgrade, and when the file is changed', async () => {
    const content = filled('gpt');
    const rpc = await start(content, '--partition=2');
    const place = sfdiskDump('gpt')[1]!;
    const lies = { size: place.sizeBytes, offset: place.offsetBytes, size_limit: place.sizeBytes };
    rpc.close();
    const { pid } = await disk.vloop.upgrade();
    const next = await eventually('the new process at the control socket', 15_000, async () => {
      const client = await RpcClient.connect(control()).catch(() => undefined);
      if (client === undefined) return undefined;
      const status = await client.call('disk_get_status', { disk: 'd' }).catch(() => undefined);
      if (status?.pid === pid) return disk.own(client);
      client.close();
      return undefined;
    });
    expect(await next.call('disk_get_status', { disk: 'd' })).toMatchObject(lies);
    const copy = join(disk.directory, 'copy.img');
    writeFileSync(copy, content);
    await next.call('disk_change_file', { disk: 'd', file: copy, quiesced: true });
    const status = await next.call('disk_get_status', { disk: 'd' });
    expect(status).toMatchObject({ ...lies, back_file: copy });
    const config = await next.call('disk_get_config', { disk: 'd' });
    expect(config).toMatchObject({ blk_file: copy, offset: place.offsetBytes });
    expect(config).not.toHaveProperty('partition');
  });

  test('is an option of the library', async () => {
    disk = new ServedDisk({ content: filled('gpt') });
    const partition = await createDisk({
      ...{ file: disk.image, socketPath: disk.socket, partition: 2 },
    });
    try {
      expect(await partition.status()).toMatchObject({ size: sfdiskDump('gpt')[1]!.sizeBytes });
    } finally {
      await partition.close();
    }
  });

  test.each([
    ['dos', ['--partition=9'], /it has no partition 9, expected 1, 2, 4, 5$/],
    ['dos', ['--partition=3'], /partition 3 is an extended one, .*: 5$/],
    ['gpt', ['--partition=1', '--block-size=4096'], /no partition table; .*--block-size=512\)$/],
    ['none', ['--partition=1'], /it has no partition table$/],
    ['short', ['--partition=4'], /partition 4 ends at byte 53477376, beyond the file's 33554432$/],
  ])('of a %s table with %s is refused in a line', async (kind, args, line) => {
    const table = filled(kind === 'gpt' ? 'gpt' : 'dos');
    const content =
      { none: new Uint8Array(MIB), short: table.subarray(0, 32 * MIB) }[kind] ?? table;
    disk = new ServedDisk({ content });
    const { status, stderr } = await verb('serve', disk.image, ...args);
    expect(status).toBe(1);
    expect(stderr.trimEnd()).toMatch(line);
    expect(disk.imageBytes().equals(content)).toBe(true);
  });

  test.each([
    ['a pipe', [], /it is a special file, expected a regular file or a block device$/],
    ['a pipe', ['--read-only'], /it is a special file/],
    ['a pipe', ['--partition=1'], /it is a special file/],
    ['a directory', ['--partition=1'], /it is a directory/],
    ['nothing', ['--partition=1'], /no such file/],
  ])('%s with %s is refused at once', async (what, args, line) => {
    disk = new ServedDisk();
    const path = join(disk.directory, 'x');
    if (what === 'a pipe') await mustRun(['mkfifo', path], 15_000);
    if (what === 'a directory') mkdirSync(path);
    const { status, stderr } = await verb('serve', path, ...args);
    expect(status).toBe(1);
    expect(stderr.split('\n')[0]).toMatch(line);
  });

  test.each([
    [['--partition=0'], 'vloop: --partition=0: expected a number from 1 to 255\n'],
    [['--partition=1', '--offset=1M'], 'vloop: --partition and --offset exclude each other\n'],
  ])('%s is a wrong command line', async (args, stderr) => {
    disk = new ServedDisk();
    expect(await verb('serve', disk.image, ...args)).toMatchObject({ status: 2, stderr });
  });
});

describe('the table of a disk', () => {
  const KEY = noise(64, 7);

  test.each([
    ['direct', ['--direct-io=on']],
    ['buffered', ['--direct-io=off']],
  ])('%s, is listed as sfdisk lists it', async (_, args) => {
    await start(filled('dos'), ...args);
    const listed = await verb('list', '--partitions', '--json', '-O', 'disk,nr,start,size,boot');
    expect(listed).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(listed.stdout)).toEqual({
      partitions: sfdiskDump('dos').map(({ number, offsetBytes, sizeBytes, bootable }) => ({
        ...{ disk: 'd', nr: number, start: offsetBytes, size: sizeBytes, boot: bootable },
      })),
    });
    const { stdout } = await verb('list', '--partitions');
    expect(stdout.split('\n')[0]).toMatch(/^DISK +NR +START +SIZE +TYPE +NAME +PARTUUID$/);
    expect(stdout).toMatch(/^d +2 +9437184 +8388608 +Linux swap \/ Solaris +[0-9a-f]{8}-02$/m);
  });

  test('behind an offset and a transfer module is what the guest sees', async () => {
    const offset = 3 * MIB + 512;
    // The table and a little more: encrypting takes its time.
    const plain = partitionedBytes('gpt').subarray(0, 2 * MIB);
    const image = Buffer.concat([noise(offset, 5), encrypted(plain, xts(KEY))]);
    disk = new ServedDisk({ content: image });
    const keyFile = join(disk.directory, 'key');
    writeFileSync(keyFile, KEY);
    const transfer = ['--transfer=aes-xts-plain64', `--key-file=${keyFile}`];
    await disk.startVloop([
      ...transfer,
      `--offset=${offset}`,
      `--control=${control()}`,
      '--name=d',
    ]);
    const rpc = disk.own(await RpcClient.connect(control()));
    const { table, partitions } = await rpc.call('disk_get_partitions', { disk: 'd' });
    expect(table).toBe('gpt');
    expect(partitions.map(({ start, size, name }) => [start, size, name])).toEqual(
      sfdiskDump('gpt').map(({ offsetBytes, sizeBytes, name = null }) => [
        offsetBytes,
        sizeBytes,
        name,
      ]),
    );
  });

  test('that is damaged, or not there, is told; a disk in memory has none to look at', async () => {
    const content = filled('gpt');
    content[512 + 56]! ^= 0xff;
    const rpc = await start(content);
    const listed = await verb('list', '--partitions', '-n');
    expect(listed.status).toBe(0);
    expect(listed.stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(listed.stderr).toMatch(/^vloop: d: the first table cannot be used .*checksum.*backup/);
    await rpc.call('disk_set_status', { disk: 'd', offset: MIB });
    expect(await verb('list', '--partitions', 'd')).toEqual({
      ...{ status: 0, stdout: '', stderr: 'vloop: d: it has no partition table\n' },
    });
    expect(await rpc.call('disk_get_partitions', { disk: 'd' })).toEqual({
      ...{ table: null, id: null, damage: [], partitions: [] },
    });
  });
});
