/**
 * Transfer modules in the whole daemon: on every engine what lies in the image is what an independent encryption of the
 * guest's data gives, and what the guest reads is what it wrote; after kill -9 and after a live upgrade as well. A
 * user's own module is one file; a module that errs fails requests and nothing else. Keys are to be found nowhere.
 */
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import {
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
} from '../../protocol/virtio-blk.ts';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { cryptoloop, decrypted, encrypted, xored, xts } from '../support/encrypted-image.ts';
import { noise } from '../support/image-content.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { loadRegion, VerifiedLoad } from '../support/verified-load.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const EXAMPLES = join(import.meta.dirname, '../../qemu-examples/transfers');
const DISK_BYTES = 4 * 2 ** 20;
const QUEUES = 2;
const KEY = noise(64, 1234567);

let disk: ServedDisk;

afterEach(async () => {
  await disk?.close();
});

function keyFile(bytes: Uint8Array): string {
  const path = join(disk.directory, 'key');
  writeFileSync(path, bytes);
  return `--key-file=${path}`;
}

async function loadOn(content: Uint8Array, more: object = {}): Promise<VerifiedLoad> {
  const frontEnd = await disk.connect({
    queueCount: QUEUES,
    queueSize: 256,
    placeCount: 1,
    moreRegions: [loadRegion(QUEUES)],
    ...more,
  });
  const load = new VerifiedLoad(frontEnd, content);
  load.discards = false;
  return load;
}

const XTS = {
  module: 'aes-xts-plain64',
  key: KEY,
  encrypt: (plain: Uint8Array) => encrypted(plain, xts(KEY)),
  decrypt: (image: Uint8Array) => decrypted(image, xts(KEY)),
};
const CBC_KEY = KEY.subarray(0, 32);
const CBC = {
  module: 'cryptoloop-aes-cbc',
  key: CBC_KEY,
  encrypt: (plain: Uint8Array) => encrypted(plain, cryptoloop(CBC_KEY)),
  decrypt: (image: Uint8Array) => decrypted(image, cryptoloop(CBC_KEY)),
};
const XOR_KEY = KEY.subarray(0, 13);
const XOR = {
  module: 'xor',
  key: XOR_KEY,
  encrypt: (plain: Uint8Array) => xored(plain, XOR_KEY),
  decrypt: (image: Uint8Array) => xored(image, XOR_KEY),
};

describe('every engine', () => {
  test.each([
    ['io_uring, direct', XTS, ['--aio=io_uring', '--direct-io=on'], undefined],
    ['native, direct', XTS, ['--aio=native', '--direct-io=on'], undefined],
    ['threads, buffered', XTS, ['--aio=threads', '--direct-io=off'], undefined],
    ['io_uring, buffered', CBC, ['--aio=io_uring', '--direct-io=off'], undefined],
    ['calls, tmpfs', XOR, ['--aio=io_uring', '--io-path=calls'], '/dev/shm'],
  ] as const)('%s', async (_, { module, key, encrypt, decrypt }, args, parent) => {
    const content = noise(DISK_BYTES, 42);
    disk = new ServedDisk({ content: encrypt(content), ...(parent && { parent }) });
    const transfer = [`--transfer=${module}`, keyFile(key)];
    await disk.startVloop([...transfer, ...args, '--workers=2', `--num-queues=${QUEUES}`]);
    expect(disk.vloop.log('serving')[0]).toMatchObject({ transfer: module });
    const load = await loadOn(content);
    await load.run(200);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, transferErrors: 0 });
    expect(load.difference(decrypt(disk.imageBytes()))).toBeNull();
  });

  test('aes-xts-plain64 in units of 4096 bytes from an IV offset on', async () => {
    const by = xts(KEY, 4096, 80);
    const content = noise(DISK_BYTES, 43);
    disk = new ServedDisk({ content: encrypted(content, by) });
    const options = '--transfer-options=sector_size=4096,iv_offset=80';
    const args = ['--transfer=aes-xts-plain64', options, keyFile(KEY), '--block-size=4096'];
    await disk.startVloop(args);
    const { queue } = await disk.connect();
    const block = noise(8192, 44);
    expect((await queue.run(blk.write(16, block))).status).toBe(VIRTIO_BLK_S_OK);
    content.set(block, 8192);
    content.fill(0, 4096, 8192);
    const zeroes = await queue.run(blk.writeZeroes({ sector: 8, sectors: 8, flags: 1 }));
    expect(zeroes.status).toBe(VIRTIO_BLK_S_OK);
    const read = await queue.run(blk.read(0, 65536));
    expect(Buffer.compare(read.data, content.subarray(0, 65536))).toBe(0);
    await disk.stopVloop();
    expect(Buffer.compare(disk.imageBytes(), encrypted(content, by))).toBe(0);
  });
});

test('a disk in memory goes through it too, from --key-fd', async () => {
  disk = new ServedDisk();
  keyFile(XOR_KEY);
  const fd = openSync(join(disk.directory, 'key'), 'r');
  const vloop = await VloopProcess.serving({
    args: ['--memory=1M', `--socket-path=${disk.socket}`, '--transfer=xor', '--key-fd=3'],
    inheritedFds: [fd],
  });
  closeSync(fd);
  disk.own({ close: () => void vloop.kill() });
  const { queue } = await disk.connect();
  // What was never written is what the module makes of zeroes.
  const untouched = await queue.run(blk.read(0, 512));
  expect(Buffer.from(untouched.data)).toEqual(xored(Buffer.alloc(512), XOR_KEY));
  await queue.run(blk.write(0, noise(512, 3)));
  expect(Buffer.from((await queue.run(blk.read(0, 512))).data)).toEqual(noise(512, 3));
  expect((await vloop.end()).status).toBe(0);
});

test('what the guest is offered, and what it reads past the file’s end', async () => {
  disk = new ServedDisk({ content: encrypted(noise(65536, 5), xts(KEY)) });
  await disk.startVloop(['--transfer=aes-xts-plain64', keyFile(KEY)]);
  const frontEnd = await disk.connect();
  expect((frontEnd.features >> BigInt(VIRTIO_BLK_F_DISCARD)) & 1n).toBe(0n);
  const discarded = await frontEnd.queue.run(blk.discard({ sector: 0, sectors: 8 }));
  expect(discarded.status).not.toBe(VIRTIO_BLK_S_OK);
  truncateSync(disk.image, 4096);
  const read = await frontEnd.queue.run(blk.read(0, 8192));
  const expected = Buffer.concat([noise(65536, 5).subarray(0, 4096), Buffer.alloc(4096)]);
  expect(Buffer.from(read.data)).toEqual(expected);
});

test('kill -9 under load: what was in flight is repeated, and encrypted once', async () => {
  const content = noise(DISK_BYTES, 6);
  disk = new ServedDisk({ content: XTS.encrypt(content) });
  const args = ['--transfer=aes-xts-plain64', keyFile(KEY), `--num-queues=${QUEUES}`];
  await disk.startVloop(args);
  const frontEnd = await disk.connect({
    queueCount: QUEUES,
    queueSize: 256,
    inflight: true,
    moreRegions: [loadRegion(QUEUES)],
  });
  const load = new VerifiedLoad(frontEnd, content);
  load.discards = false;
  let stopped = false;
  const loading = load.runUntil(() => stopped);
  for (let kill = 0; kill < 3; kill++) {
    const before = load.answered;
    while (load.answered < before + 100) await sleep(2);
    await disk.vloop.kill();
    await disk.startVloop(args);
    await frontEnd.reconnect(disk.socket);
  }
  stopped = true;
  await loading;
  await load.run(30);
  expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  expect(load.difference(XTS.decrypt(disk.imageBytes()))).toBeNull();
});

test('a live upgrade hands the key over; it is in no argument, environment or log', async () => {
  const content = noise(DISK_BYTES, 7);
  disk = new ServedDisk({ content: XTS.encrypt(content) });
  keyFile(KEY);
  const keyPath = join(disk.directory, 'key');
  const fd = openSync(keyPath, 'r');
  const trace = join(disk.directory, 'trace');
  const args = ['--transfer=aes-xts-plain64', '--key-fd=3', `--trace-messages=${trace}`];
  await disk.startVloop([...args, `--num-queues=${QUEUES}`, '--log-level=trace'], {
    inheritedFds: [fd],
  });
  closeSync(fd);
  // Neither the descriptor nor the file is there any more when the successor starts.
  writeFileSync(keyPath, '');
  const load = await loadOn(content);
  let stopped = false;
  const loading = load.runUntil(() => stopped);
  for (let upgrade = 0; upgrade < 2; upgrade++) {
    await disk.vloop.upgrade();
    const before = load.answered;
    while (load.answered < before + 100) await sleep(2);
  }
  stopped = true;
  await loading;
  await load.run(30);
  const { pid } = disk.vloop;
  const told = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1'));
  told.push(disk.vloop.stderr, disk.vloop.stdout, readFileSync(trace, 'latin1'));
  for (const form of ['hex', 'base64', 'latin1'] as const) {
    const part = KEY.subarray(0, 12).toString(form);
    expect(told.filter((text) => text.includes(part))).toEqual([]);
  }
  expect(await disk.stopVloop()).toMatchObject({ status: 0 });
  expect(load.difference(XTS.decrypt(disk.imageBytes()))).toBeNull();
});

describe('a module of one’s own', () => {
  test('the example: one file, loaded in each worker', async () => {
    const content = noise(DISK_BYTES, 8);
    disk = new ServedDisk({ content });
    const transfer = [`--transfer=${join(EXAMPLES, 'chacha20.ts')}`, keyFile(KEY.subarray(0, 32))];
    const control = join(disk.directory, 'ctl');
    const more = ['--workers=2', `--num-queues=${QUEUES}`, `--control=${control}`];
    await disk.startVloop([...transfer, ...more]);
    const scrambled = await disk.connect();
    const first = Buffer.from((await scrambled.queue.run(blk.read(0, DISK_BYTES / 64))).data);
    expect(first.equals(content.subarray(0, first.length))).toBe(false);
    scrambled.close();
    // The module's own command, answered in each worker: the queue is of the first one.
    const rpc = disk.own(await RpcClient.connect(control));
    const of = { disk: disk.image };
    expect(await rpc.call('disk_get_status', of)).toMatchObject({ transfer: 'chacha20' });
    expect(await rpc.call('disk_transfer_ioctl', { ...of, command: 'sectors' })).toEqual([
      { read: first.length / 512, written: 0 },
      { read: 0, written: 0 },
    ]);
    const unknown = rpc.call('disk_transfer_ioctl', { ...of, command: 'eject', argument: [1] });
    await expect(unknown).rejects.toThrow('transfer module chacha20: eject: expected sectors');
    // Twice through it is nothing: what was read is the keystream over the content.
    await disk.stopVloop();
    writeFileSync(disk.image, first);
    await disk.startVloop(transfer);
    const again = await disk.connect();
    const back = await again.queue.run(blk.read(0, first.length));
    expect(Buffer.from(back.data).equals(content.subarray(0, first.length))).toBe(true);
  });

  const throwing = `export default {
    number: 3, name: 'throwing', keyBytes: null,
    transfer(device, command, bytes, sector) {
      if (sector >= 8) throw new Error('sector ' + sector);
      for (let i = 0; i < bytes.length; i++) bytes[i] ^= 0xff;
    },
  };`;

  test('one that throws: EIO, counted and told once; the process and other requests go on', async () => {
    disk = new ServedDisk({ content: Buffer.alloc(65536, 0xff) });
    const path = join(disk.directory, 'throwing.ts');
    writeFileSync(path, throwing);
    await disk.startVloop([`--transfer=${path}`]);
    const { queue } = await disk.connect();
    const statuses = [];
    for (const text of [
      blk.read(0, 4096),
      blk.read(8, 512),
      blk.write(8, noise(512, 1)),
      blk.writeZeroes({ sector: 8, sectors: 1 }),
      blk.write(0, Buffer.alloc(512, 7)),
    ]) {
      statuses.push((await queue.run(text)).status);
    }
    const [ok, failed] = [VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR];
    expect(statuses).toEqual([ok, failed, failed, failed, ok]);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('the transfer module failed').map(({ reason }) => reason)).toEqual([
      'sector 8',
    ]);
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 3, transferErrors: 3 });
    const expected = Buffer.alloc(65536, 0xff).fill(0xff ^ 7, 0, 512);
    expect(disk.imageBytes().equals(expected)).toBe(true);
  });
});

describe('what is refused, with one line, and no socket is left', () => {
  const modules = {
    'throws.ts': `throw new Error('at the top');`,
    'init.ts': `export default { number: 4, name: 'four', transfer() {}, init() { throw new Error('not today'); } };`,
    'enum.ts': 'enum A { B }\nexport default A;',
    'nothing.ts': 'export const a = 1;',
    'taken.ts': `export default { number: 18, name: 'mine', transfer() {} };`,
    'traits.ts': `export default { number: 4, name: 'four', transfer() {}, init: () => ({ unitBytes: 100 }) };`,
  };

  test.each([
    [['--transfer=rot13'], 1, /--transfer=rot13: expected none, xor, cryptoloop-aes-cbc, aes-xts/],
    [['--transfer=DIR/no.ts'], 1, /no\.ts: no such file$/],
    [['--transfer=DIR/throws.ts'], 1, /throws\.ts: cannot load it: Error: at the top$/],
    [['--transfer=DIR/enum.ts'], 1, /enum\.ts: cannot load it: SyntaxError: /],
    [['--transfer=DIR/nothing.ts'], 1, /nothing\.ts: no transfer module: it has no default export/],
    [['--transfer=DIR/taken.ts'], 1, /number 18 is taken by cryptoloop-aes-cbc \(vloop\)/],
    [['--transfer=DIR/init.ts'], 1, /transfer module four: init failed: not today$/],
    [['--transfer=DIR/traits.ts'], 1, /transfer module four: init answered unitBytes=100/],
    [
      ['--transfer=xor', '--key-file=DIR/no'],
      1,
      /--key-file=.*no: cannot read the key \(ENOENT\)$/,
    ],
    [['--transfer=xor', '--key-fd=99'], 1, /--key-fd=99: cannot read the key \(EBADF\)$/],
    [
      ['--transfer=aes-xts-plain64', '--key-file=DIR/key'],
      1,
      /the key has 33 bytes, aes-xts-plain64 expects 32 or 64$/,
    ],
    [['--transfer=xor', '--key-file=DIR/key'], 1, /the key has 33 bytes, xor expects 1 to 32$/],
    [['--transfer=xor', '--key-file=DIR/big'], 1, /the key has more than 4096 bytes, xor expects/],
    [
      ['--transfer=chacha', '--key-fd=3', '--key-file=DIR/key'],
      2,
      /--key-file and --key-fd exclude/,
    ],
    [['--key-file=DIR/key'], 2, /--key-file is for --transfer=MODULE, and there is none$/],
    [['--transfer=xor', '--transfer-options=1'], 2, /expected name=value,…, got "1"$/],
    [['--transfer=xor', '--transfer-options=a=1,a=2'], 2, /a is given twice$/],
    [
      ['--transfer=xor', '--key-file=DIR/short', '--direct-io=on'],
      1,
      /--direct-io=on: .*the transfer module xor does not allow it/,
    ],
  ])('%j', async (args, status, message) => {
    disk = new ServedDisk({ sizeBytes: 65536 });
    for (const [name, text] of Object.entries(modules)) {
      writeFileSync(join(disk.directory, name), text);
    }
    writeFileSync(join(disk.directory, 'key'), noise(36, 1).subarray(0, 33));
    writeFileSync(join(disk.directory, 'short'), 'short');
    writeFileSync(join(disk.directory, 'big'), Buffer.alloc(10_000));
    const ended = await VloopProcess.run([
      `--blk-file=${disk.image}`,
      `--socket-path=${disk.socket}`,
      ...args.map((arg) => arg.replace('DIR', disk.directory)),
    ]);
    expect([ended.status, ended.stdout]).toEqual([status, '']);
    const line = ended.stderr.trimEnd();
    expect(line).toMatch(message);
    expect(line).not.toContain('\n');
    expect(disk.imageBytes().every((byte) => byte === 0)).toBe(true);
  });
});
