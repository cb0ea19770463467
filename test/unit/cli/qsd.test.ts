/**
 * The arguments of qemu-storage-daemon: what they become, and for each that vloop does not take a
 * sentence that says so.
 */
import { describe, expect, test } from 'vitest';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { parseQsdArguments } from '../../../src/cli/qsd.ts';

const NODE = 'driver=file,node-name=disk0,filename=/images/d.img';
const EXPORT = 'type=vhost-user-blk,id=disk0,addr.type=fd,addr.str=3,node-name=disk0,writable=on';

function disks(...args: string[]) {
  return parseQsdArguments(args).disks;
}

/** One export of one node. */
function disk(blockdev: string, exported: string) {
  const [only, ...others] = disks('--blockdev', blockdev, '--export', exported);
  expect(others).toEqual([]);
  return only;
}

test("the line of QEMU's own test suite", () => {
  expect(disk(NODE, `${EXPORT},num-queues=8`)).toMatchObject({
    blkFile: '/images/d.img',
    fd: 3,
    readOnly: false,
    queueCount: 8,
    blockSizeBytes: 512,
    rangesMax: 1,
    directIo: 'auto',
    aio: 'auto',
  });
  expect(parseQsdArguments(['--blockdev', NODE, '--export', EXPORT])).toMatchObject({
    friendly: false,
    once: false,
    logLevel: 'info',
  });
});

test('several exports are several disks, in order', () => {
  const args = [0, 1, 2].flatMap((n) => [
    `--blockdev=driver=file,node-name=disk${n},filename=${n}.img`,
    `--export=type=vhost-user-blk,id=disk${n},addr.type=fd,addr.str=${3 + n},node-name=disk${n},writable=on,num-queues=1`,
  ]);
  expect(disks(...args).map(({ blkFile, fd }) => [blkFile, fd])).toEqual([
    ['0.img', 3],
    ['1.img', 4],
    ['2.img', 5],
  ]);
});

test('an export may stand before its node', () => {
  expect(disks('--export', EXPORT, '--blockdev', NODE)).toHaveLength(1);
});

test('a unix socket; without writable=on read-only, without num-queues one queue', () => {
  const exported =
    'type=vhost-user-blk,id=e,node-name=disk0,addr.type=unix,addr.path=/run/s,logical-block-size=4096';
  expect(disk(NODE, exported)).toMatchObject({
    fd: null,
    socketPath: '/run/s',
    readOnly: true,
    queueCount: 1,
    blockSizeBytes: 4096,
  });
});

test('cache.direct, aio, discard and read-only of a node', () => {
  expect(disk(`${NODE},cache.direct=on,aio=native,discard=unmap`, EXPORT)).toMatchObject({
    directIo: 'on',
    aio: 'native',
  });
  expect(disk(`${NODE},read-only=on`, EXPORT.replace('=on', '=off'))?.readOnly).toBe(true);
});

test('a raw node is the file below it', () => {
  const [only] = disks(
    ...['--blockdev', 'driver=raw,node-name=top,file=below,cache.direct=off'],
    ...['--blockdev', 'driver=host_device,node-name=below,filename=/dev/x'],
    ...['--export', EXPORT.replace('node-name=disk0', 'node-name=top')],
  );
  expect(only).toMatchObject({ blkFile: '/dev/x', directIo: 'off' });
});

test('a doubled comma is a comma, and a value may hold a =', () => {
  const node = 'driver=file,node-name=disk0,filename=/a,,b=c.img';
  expect(disk(node, EXPORT)?.blkFile).toBe('/a,b=c.img');
});

describe('refused with a sentence', () => {
  const refusal = (...args: string[]) => {
    try {
      parseQsdArguments(args);
    } catch (error) {
      expect(error).toBeInstanceOf(OptionsError);
      return error instanceof Error ? error.message : '';
    }
    return 'it was taken';
  };
  const refused = (blockdev: string, exported: string) =>
    refusal('--blockdev', blockdev, '--export', exported);

  test.each([
    [[], /no --export is given/],
    [['--blockdev', NODE], /no --export is given/],
    [['--daemonize'], /takes --blockdev and --export, not "--daemonize"/],
    [['--monitor', 'x'], /not "--monitor"/],
    [['disk.img'], /not "disk.img"/],
    [['--export'], /--export: what\?/],
    [['--export', '{"type":"vhost-user-blk"}'], /JSON is not taken/],
    [['--export', 'vhost-user-blk'], /"vhost-user-blk" is not key=value/],
    [['--export', EXPORT, '--export', EXPORT], /id=disk0 is given twice/],
    [['--blockdev', NODE, '--blockdev', NODE], /node-name=disk0 is given twice/],
    [['--export', EXPORT], /node-name=disk0: no --blockdev has that name/],
    [['--export', EXPORT.replace('id=disk0,', '')], /--export: id= is missing/],
  ])('%j', (args, sentence) => expect(refusal(...args)).toMatch(sentence));

  test.each([
    [
      'driver=qcow2,node-name=disk0,filename=x',
      /driver=qcow2, expected file or host_device or raw/,
    ],
    [`${NODE},discard=ignore`, /discard=ignore, expected unmap or on/],
    [`${NODE},locking=off`, /does not know "locking", expected one of driver,/],
    [`${NODE},filename=y`, /filename is given twice/],
    ['driver=file,node-name=disk0', /filename= is missing/],
    ['driver=raw,node-name=disk0,file=nobody', /file=nobody: no --blockdev has that node-name/],
    ['driver=raw,node-name=disk0,file=disk0', /expected a node of file or host_device/],
    [`${NODE},read-only=on`, /writable=on, and node disk0 is read-only=on/],
  ])('--blockdev %s', (node, sentence) => expect(refused(node, EXPORT)).toMatch(sentence));

  test.each([
    [EXPORT.replace('vhost-user-blk', 'nbd'), /type=nbd, expected vhost-user-blk/],
    [`${EXPORT},num-queues=0`, /--num-queues=0: expected a number from 1/],
    [`${EXPORT},logical-block-size=513`, /--block-size=513: expected one of 512/],
    [`${EXPORT},iothread=io0`, /does not know "iothread"/],
    [`${EXPORT},__proto__=x`, /does not know "__proto__"/],
    [EXPORT.replace('addr.str=3', 'addr.str=name'), /addr.str=name, expected the number/],
    [EXPORT.replace('addr.type=fd', 'addr.type=inet'), /addr.type=inet, expected fd or unix/],
    [EXPORT.replace('addr.type=fd', 'addr.type=unix'), /addr.str= is for addr.type=fd/],
    [`${EXPORT},addr.path=/s`, /addr.path= is for addr.type=unix/],
    [EXPORT.replace('writable=on', 'writable=yes'), /writable=yes, expected on or off/],
    [EXPORT.replace('addr.str=3,', ''), /addr.str= is missing/],
  ])('--export %s', (exported, sentence) => expect(refused(NODE, exported)).toMatch(sentence));

  test('two exports on one socket', () => {
    const second = EXPORT.replace('id=disk0', 'id=disk1');
    expect(refusal('--blockdev', NODE, '--export', EXPORT, '--export', second)).toMatch(
      /two share the socket 3/,
    );
  });
});
