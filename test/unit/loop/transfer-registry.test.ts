/**
 * Transfer modules: what is one, the loop driver's rules for registering and unregistering them, keys, traits, and
 * what a module's mistakes become.
 */
import { describe, expect, test } from 'vitest';
import { EINVAL, EIO, ENOSPC } from '../../../protocol/linux.ts';
import type { AttachedTransfer } from '../../../src/loop/attached-transfer.ts';
import { ioPlace } from '../../../src/loop/backing-port.ts';
import { BounceBuffers } from '../../../src/loop/bounce-buffers.ts';
import {
  moduleDefect,
  type TransferModule,
  type TransferTraits,
} from '../../../src/loop/transfer-module.ts';
import { TransferRegistry, type TransferSetup } from '../../../src/loop/transfer-registry.ts';
import { noneTransfer, xorTransfer } from '../../../src/loop/xor-transfer.ts';
import { HostSpace } from '../../support/host-space.ts';

function moduleOf(more: object = {}): TransferModule {
  return { number: 5, name: 'mine', transfer: () => 0, ...more };
}

function setUp(more: Partial<TransferSetup> = {}): TransferSetup {
  return {
    key: new Uint8Array(0),
    options: {},
    blockSizeBytes: 512,
    bounce: new BounceBuffers(new HostSpace()),
    onFailure: () => {},
    ...more,
  };
}

const place = ioPlace(8 * 512, 0);
const run = (transfer: AttachedTransfer) => transfer.run('write', 3, place, 1024, 4 * 512);

describe('registering', () => {
  test('a number is taken once', () => {
    const registry = new TransferRegistry();
    expect(registry.register(moduleOf())).toBe(0);
    expect(registry.register(moduleOf({ name: 'other' }))).toBe(-EINVAL);
    expect(registry.at(5)?.name).toBe('mine');
    expect(registry.names).toEqual(['mine']);
  });

  test.each([-1, 20, 1.5, Number.NaN, '5'])('number %s is none', (number) => {
    expect(new TransferRegistry().register(moduleOf({ number }))).toBe(-EINVAL);
  });

  test('0 is not unregistered, nor what is not there', () => {
    const registry = new TransferRegistry();
    expect(registry.register(noneTransfer)).toBe(0);
    expect([0, 5, -1, 20, 1.5].map((number) => registry.unregister(number))).toEqual(
      new Array(5).fill(-EINVAL),
    );
    expect(registry.find('none')).toBe(noneTransfer);
  });

  test('unregistering releases the module from every device that uses it, and from no other', () => {
    const registry = new TransferRegistry();
    const released: number[] = [];
    const release = ({ keyData }: { keyData: unknown }) => released.push(keyData as number);
    let next = 0;
    const init = (device: { keyData: unknown }) => {
      device.keyData = next++;
    };
    expect(registry.register(moduleOf({ init, release }))).toBe(0);
    expect(registry.register(moduleOf({ number: 6, name: 'other' }))).toBe(0);
    const users = [registry.attach(5, setUp()), registry.attach(5, setUp())];
    const other = registry.attach(6, setUp());
    expect(users.map(run)).toEqual([0, 0]);
    expect(registry.unregister(5)).toBe(0);
    expect(released).toEqual([0, 1]);
    // What is not transformed any more must not reach the file, nor the guest.
    expect(users.map(run)).toEqual([-EIO, -EIO]);
    expect(run(other)).toBe(0);
    expect(registry.unregister(5)).toBe(-EINVAL);
    expect(registry.register(moduleOf())).toBe(0);
  });

  test('a device that lets a module go releases it once', () => {
    const registry = new TransferRegistry();
    let released = 0;
    registry.register(moduleOf({ release: () => released++ }));
    const transfer = registry.attach(5, setUp());
    registry.detach(transfer);
    registry.unregister(5);
    expect(released).toBe(1);
  });
});

describe('what is no module is said in words', () => {
  test.each([
    [undefined, 'no default export'],
    [null, 'no default export'],
    [() => {}, 'no default export'],
    [moduleOf({ number: 20 }), 'number is 20, expected an integer from 2 to 17'],
    [moduleOf({ number: undefined }), 'number is undefined'],
    [moduleOf({ name: '' }), 'name is ""'],
    [moduleOf({ name: 'a b' }), 'name is "a b"'],
    [moduleOf({ name: 7 }), 'name is 7'],
    [moduleOf({ owner: 7 }), 'owner is not a text'],
    [moduleOf({ transfer: undefined }), 'transfer is not there, expected a function'],
    [moduleOf({ transfer: 'x' }), 'transfer is a string, expected a function'],
    [moduleOf({ init: 3 }), 'init is a number'],
    [moduleOf({ release: {} }), 'release is a object'],
    [moduleOf({ ioctl: true }), 'ioctl is a boolean'],
    [moduleOf({ keyBytes: [] }), 'keyBytes is []'],
    [moduleOf({ keyBytes: [5000] }), 'keyBytes is [5000]'],
    [moduleOf({ keyBytes: { min: 4, max: 3 } }), 'keyBytes is {"min":4,"max":3}'],
    [moduleOf({ keyBytes: 16 }), 'keyBytes is 16'],
  ])('%#: %s', (value, sentence) => expect(moduleDefect(value)).toContain(sentence));

  test.each([moduleOf(), noneTransfer, xorTransfer, moduleOf({ keyBytes: [16, 32] })])(
    '%# is one',
    (value) => expect(moduleDefect(value)).toBeNull(),
  );
});

describe('keys', () => {
  const attach = (module: TransferModule, key: Uint8Array) => {
    const registry = new TransferRegistry();
    registry.register(module);
    return registry.attach(module.number, setUp({ key }));
  };

  test.each([
    [[16, 32], 0, /^mine needs a key of 16 or 32 bytes \(--key-file=PATH or --key-fd=N\)$/],
    [[16, 32], 17, /^the key has 17 bytes, mine expects 16 or 32$/],
    [{ min: 1, max: 8 }, 9, /^the key has 9 bytes, mine expects 1 to 8$/],
    [null, 1, /^mine takes no key, got one$/],
    [[16], 4097, /^the key has more than 4096 bytes, mine expects 16$/],
  ] as const)('keyBytes %j, and a key of %i', (keyBytes, length, message) => {
    expect(() => attach(moduleOf({ keyBytes }), new Uint8Array(length))).toThrow(message);
  });

  test.each([false, true])('init has it, and then it is wiped (init fails: %s)', (fails) => {
    const key = Uint8Array.of(1, 2, 3);
    const seen: number[][] = [];
    const init = (device: { key: Uint8Array }) => {
      seen.push([...device.key]);
      if (fails) throw new Error('no');
    };
    const attached = () => attach(moduleOf({ init }), key);
    if (fails) expect(attached).toThrow('transfer module mine: init failed: no');
    else attached();
    expect(seen).toEqual([[1, 2, 3]]);
    expect([...key]).toEqual([0, 0, 0]);
  });

  test('xor keeps what it needs, and forgets it', () => {
    const registry = new TransferRegistry();
    registry.register(xorTransfer);
    const space = new HostSpace();
    const bounce = new BounceBuffers(space);
    const key = Uint8Array.from({ length: 7 }, (_, i) => i + 1);
    const transfer = registry.attach(1, setUp({ key, bounce }));
    const bytes = bounce.bytesOf(3, 1024);
    expect(run(transfer)).toBe(0);
    // The key starts anew with each 512 bytes, as transfer_xor's (i & 511) % keysize.
    expect([...bytes]).toEqual(Array.from({ length: 1024 }, (_, i) => ((i % 512) % 7) + 1));
    expect(run(transfer)).toBe(0);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    registry.unregister(1);
    expect(run(transfer)).toBe(-EIO);
  });
});

describe('traits', () => {
  const attach = (traits: unknown, blockSizeBytes = 4096) => {
    const registry = new TransferRegistry();
    registry.register(moduleOf({ init: () => traits }));
    return registry.attach(5, setUp({ blockSizeBytes })).traits;
  };

  test('by default the kernel’s: no direct I/O, no discard, sectors of the file', () => {
    const plain: Required<TransferTraits> = {
      unitBytes: 512,
      sectorsOf: 'file',
      directIo: false,
      discard: false,
    };
    expect(attach(undefined)).toEqual(plain);
    expect(attach({ unitBytes: 4096, discard: true })).toEqual({
      ...plain,
      unitBytes: 4096,
      discard: true,
    });
  });

  test.each([
    [7, 'init answered a number'],
    [{ unitBytes: 8192 }, 'unitBytes=8192'],
    [{ unitBytes: 'x' }, 'unitBytes=x'],
    [{ sectorsOf: 'guest' }, 'sectorsOf=guest'],
    [{ directIo: 1 }, 'directIo or discard'],
  ])('%j is refused', (traits, sentence) => expect(() => attach(traits)).toThrow(sentence));

  test('units larger than the disk’s blocks are refused', () => {
    expect(() => attach({ unitBytes: 4096 }, 512)).toThrow(
      'transfer module mine: its units are 4096 bytes and the disk has 512-byte blocks (see --block-size)',
    );
  });
});

describe('at run time', () => {
  const attach = (transfer: TransferModule['transfer'], traits: TransferTraits = {}) => {
    const registry = new TransferRegistry();
    const told: string[] = [];
    registry.register(moduleOf({ transfer, init: () => traits }));
    const onFailure = (reason: string) => told.push(reason);
    return { told, attached: registry.attach(5, setUp({ onFailure, blockSizeBytes: 4096 })) };
  };

  test.each([
    ['file', 8],
    ['disk', 4],
  ] as const)('sectors of the %s', (sectorsOf, sector) => {
    const calls: unknown[] = [];
    const { attached } = attach(
      (_device, command, bytes, at) => {
        calls.push([command, bytes.length, at]);
        return undefined;
      },
      { sectorsOf },
    );
    expect(run(attached)).toBe(0);
    expect(calls).toEqual([['write', 1024, sector]]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('boom\nsecond line');
      },
      -EIO,
      'boom',
    ],
    [
      'throws no error',
      () => {
        throw 'text';
      },
      -EIO,
      'text',
    ],
    ['answers an errno', () => -ENOSPC, -ENOSPC, 'it answered -28'],
    ['answers a count', () => 1024, -EIO, 'it answered 1024, expected nothing, 0 or -errno'],
    ['answers NaN', () => Number.NaN, -EIO, 'it answered NaN, expected nothing, 0 or -errno'],
    ['answers -5000', () => -5000, -EIO, 'it answered -5000, expected nothing, 0 or -errno'],
    ['is async', async () => {}, -EIO, 'it answered a object, expected nothing, 0 or -errno'],
    ['answers a text', () => 'ok', -EIO, 'it answered a string, expected nothing, 0 or -errno'],
  ])('a module that %s: the request fails, and it is told once', (_, transfer, result, reason) => {
    const { attached, told } = attach(transfer as TransferModule['transfer']);
    expect([run(attached), run(attached)]).toEqual([result, result]);
    expect(told).toEqual([reason]);
  });

  test.each([
    [512, 4096, 512, 'file'],
    [8192 + 512, 4096, 4096, 'file'],
    [4096, 1024, 4096, 'disk'],
    [1000, 512, 512, 'file'],
  ] as const)(
    'offset %i, disk at %i, %i bytes, sectors of the %s: a part of a unit never gets there',
    (offset, from, length, sectorsOf) => {
      let calls = 0;
      const { attached, told } = attach(() => calls++ && 0, { unitBytes: 4096, sectorsOf });
      expect(attached.run('read', 0, ioPlace(offset, 0), length, from)).toBe(-EIO);
      expect([calls, told]).toEqual([0, ['a request is no whole units of 4096 bytes']]);
    },
  );

  test('ioctl is the module’s, and nothing where it has none', () => {
    const registry = new TransferRegistry();
    const ioctl = (_device: unknown, command: string, argument: unknown) => [command, argument];
    registry.register(moduleOf({ ioctl }));
    registry.register(moduleOf({ number: 6, name: 'mute' }));
    expect(registry.attach(5, setUp()).ioctl('count', 3)).toEqual(['count', 3]);
    expect(registry.attach(6, setUp()).ioctl('count', 3)).toBeUndefined();
  });
});
