/**
 * The requirements of virtio 1.3 §2.7 (split virtqueues) that bind the device, and what it does when
 * the driver breaks one of its own; each test is named by its clause.
 */
import { describe, expect, test } from 'vitest';
import { BlkRequest } from '../../src/blk/blk-request.ts';
import { ringViolations } from '../../src/virtqueue/ring-violation.ts';
import { invalidVringSize, misalignedVring } from '../../src/virtqueue/vring-config.ts';
import { blk, placeRequest } from '../support/mock-driver-blk.ts';
import { LIMITS } from '../support/mock-driver-decode.ts';
import type { RawDescriptor } from '../support/mock-driver-ring.ts';
import { DATA_AT, type RingSetupOptions, ringSetup } from '../support/mock-driver-setup.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const SIZE = 8;
const A = DATA_AT;
const TABLE = DATA_AT + 0x1000;
const BUFFER = [{ address: A, lengthBytes: 1, writable: true }];

interface Written extends RingSetupOptions {
  readonly ring: readonly RawDescriptor[];
  readonly table?: readonly RawDescriptor[];
}

/** Pops head 0 of what a driver wrote by hand; a violation by name. */
function outcomeOf({ ring, table = [], ...options }: Written): string | number {
  const setup = ringSetup({ size: SIZE, ...options });
  setup.driver.rawTable(setup.driver.place.desc, ring);
  setup.driver.rawTable(TABLE, table);
  setup.driver.offer(0);
  setup.driver.publish();
  const result = setup.vring.pop(setup.chain);
  return result < 0 ? ringViolations.nameOf(result) : setup.chain.segmentCount;
}

/** One chain through an idle ring; whether the device wants to call. */
function callFor(setup: ReturnType<typeof ringSetup>): boolean {
  setup.driver.addChain(BUFFER);
  setup.driver.publish();
  setup.vring.pop(setup.chain);
  setup.vring.push(setup.chain.head, 1);
  return setup.vring.publish();
}

describe('virtio 1.3 §2.7', () => {
  test('Queue Size is a power of 2 up to 32768 → any other is refused', () => {
    expect([1, 2, 32768].map((size) => invalidVringSize(size))).toEqual([null, null, null]);
    for (const size of [0, 3, 24, 32767, 65536]) expect(invalidVringSize(size)).not.toBeNull();
  });

  test('parts aligned to 16, 2 and 4 (§2.7.1) → anything else is refused', () => {
    expect(misalignedVring({ desc: 16, avail: 2, used: 4 })).toBeNull();
    expect(misalignedVring({ desc: 8, avail: 2, used: 4 })).toMatch(/^descriptor table/);
    expect(misalignedVring({ desc: 16, avail: 1, used: 4 })).toMatch(/^avail ring/);
    expect(misalignedVring({ desc: 16, avail: 2, used: 2 })).toMatch(/^used ring/);
  });
});

test('virtio 1.3 §2.7.4.1 device MUST NOT assume an arrangement of descriptors → one byte each decodes', () => {
  const setup = ringSetup({ size: 1024 });
  const each = (bytes: number) => Array.from({ length: bytes }, (_, i) => i);
  const cuts = { readableCuts: each(16), writableCuts: each(513) };
  const placed = placeRequest(setup.ram, A, blk.read(7, 512, cuts));
  setup.driver.addChain(placed.buffers);
  setup.driver.publish();
  expect(setup.vring.pop(setup.chain)).toBe(1);
  const request = new BlkRequest();
  expect(request.decode(setup.chain, setup.memory, LIMITS)).toBe(0);
  expect([request.offsetBytes, request.lengthBytes]).toEqual([7 * 512, 512]);
});

test('virtio 1.3 §2.7.4.2 driver MUST place writable after readable elements → ring broken', () => {
  const ring = [
    { address: A, lengthBytes: 1, flags: WRITE | NEXT, next: 1 },
    { address: A, lengthBytes: 1 },
  ];
  expect(outcomeOf({ ring })).toBe('CHAIN_READABLE_AFTER_WRITABLE');
});

test('virtio 1.3 §2.7.5.1 device MUST NOT write to a readable buffer or a descriptor → neither changes', () => {
  const setup = ringSetup({ size: SIZE });
  const placed = placeRequest(setup.ram, A, blk.write(0, new Uint8Array(512).fill(0x5a)));
  const before = placed.bytes(false);
  setup.driver.addChain(placed.buffers, { indirectAt: TABLE });
  setup.driver.publish();
  const { desc } = setup.driver.place;
  const tables = () => [setup.ram.read(desc, 16 * SIZE), setup.ram.read(TABLE, 16 * 3)];
  const written = tables();
  setup.vring.pop(setup.chain);
  new BlkRequest().decode(setup.chain, setup.memory, LIMITS);
  setup.vring.push(setup.chain.head, 1);
  setup.vring.publish();
  setup.vring.armKicks();
  expect(placed.bytes(false)).toEqual(before);
  expect(tables()).toEqual(written);
});

describe('virtio 1.3 §2.7.5.2 driver MUST NOT add a chain longer than 2^32 bytes in total', () => {
  const region = 0x80_0000;
  const chainOf = (count: number, last: number) => ({
    regions: [[A, region]] as const,
    ring: [{ address: TABLE, lengthBytes: 16 * count, flags: INDIRECT }],
    table: Array.from({ length: count }, (_, i) => ({
      address: A,
      lengthBytes: i + 1 < count ? region : last,
      flags: WRITE | (i + 1 < count ? NEXT : 0),
      next: i + 1,
    })),
  });

  test('2^32 bytes are taken', () => expect(outcomeOf(chainOf(512, region))).toBe(512));

  test('chains that come to more together are taken', () => {
    const setup = ringSetup({ size: SIZE, regions: [[A, region]] });
    setup.driver.rawDescriptor(0, { address: A, lengthBytes: region });
    for (let i = 0; i < 1000; i++) {
      setup.driver.offer(0);
      setup.driver.publish();
      if (setup.vring.pop(setup.chain) !== 1) expect.unreachable(`chain ${i}`);
      setup.vring.push(0, 0);
    }
  });

  test('one byte more breaks the ring', () => {
    expect(outcomeOf(chainOf(513, 1))).toBe('CHAIN_TOO_LONG');
  });
});

describe('virtio 1.3 §2.7.5.3.1 driver', () => {
  const entry = { address: A, lengthBytes: 1 };
  const ring = [{ address: TABLE, lengthBytes: 16, flags: INDIRECT }];

  test('MUST NOT set INDIRECT unless negotiated → ring broken', () => {
    expect(outcomeOf({ ring, table: [entry], indirect: false })).toBe('INDIRECT_NOT_NEGOTIATED');
    expect(outcomeOf({ ring, table: [entry], indirect: true })).toBe(1);
  });

  test('MUST NOT set INDIRECT within an indirect descriptor → ring broken', () => {
    const nested = { address: TABLE, lengthBytes: 16, flags: INDIRECT };
    expect(outcomeOf({ ring, table: [nested] })).toBe('INDIRECT_NESTED');
  });

  test('MUST NOT set both INDIRECT and NEXT → ring broken', () => {
    const both = [{ address: TABLE, lengthBytes: 16, flags: INDIRECT | NEXT, next: 1 }, entry];
    expect(outcomeOf({ ring: both, table: [entry] })).toBe('INDIRECT_WITH_NEXT');
  });

  test('MUST NOT create a chain longer than the Queue Size → a loop breaks the ring', () => {
    expect(outcomeOf({ ring: [{ address: A, lengthBytes: 1, flags: NEXT }] })).toBe(
      'CHAIN_TOO_LONG',
    );
  });

  test('and Linux does so in indirect tables → up to 1024 entries are taken', () => {
    const chain = (count: number) => ({
      ring: [{ address: TABLE, lengthBytes: 16 * count, flags: INDIRECT }],
      table: Array.from({ length: count }, (_, i) => ({
        ...entry,
        flags: i + 1 < count ? NEXT : 0,
        next: i + 1,
      })),
    });
    expect(outcomeOf(chain(1024))).toBe(1024);
    expect(outcomeOf(chain(1025))).toBe('INDIRECT_LENGTH');
  });
});

describe('virtio 1.3 §2.7.5.3.2 device', () => {
  const table = [{ address: A, lengthBytes: 1 }];

  test('MUST ignore WRITE in the descriptor that refers to a table → readable stays readable', () => {
    const ring = [{ address: TABLE, lengthBytes: 16, flags: INDIRECT | WRITE }];
    const setup = ringSetup({ size: SIZE });
    setup.driver.rawTable(setup.driver.place.desc, ring);
    setup.driver.rawTable(TABLE, table);
    setup.driver.offer(0);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    expect(setup.chain.readableCount).toBe(1);
  });

  test.each([0, 1, 2, SIZE - 1])(
    'MUST handle %i normal descriptors before an indirect one',
    (count) => {
      const ring = [
        ...Array.from({ length: count }, (_, i) => ({
          address: A,
          lengthBytes: 1,
          flags: NEXT,
          next: i + 1,
        })),
        { address: TABLE, lengthBytes: 16, flags: INDIRECT },
      ];
      expect(outcomeOf({ ring, table })).toBe(count + 1);
    },
  );
});

describe('virtio 1.3 §2.7.7.2 device, EVENT_IDX not negotiated', () => {
  test('MUST ignore used_event → calls whatever it says', () => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.rawUsedEvent(1000);
    expect(callFor(setup)).toBe(true);
  });

  test('flags 0 → MUST notify', () => expect(callFor(ringSetup({ size: SIZE }))).toBe(true));

  test('flags 1 → SHOULD NOT notify', () => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.rawAvailFlags(1);
    expect(callFor(setup)).toBe(false);
  });
});

describe('virtio 1.3 §2.7.7.2 device, EVENT_IDX negotiated', () => {
  test('MUST ignore the lower bit of flags → calls at used_event all the same', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true });
    setup.driver.rawAvailFlags(1);
    setup.driver.rawUsedEvent(0);
    expect(callFor(setup)).toBe(true);
  });

  test('used idx equal to used_event → MUST notify; otherwise SHOULD NOT', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true, base: 65534 });
    setup.driver.rawUsedEvent(0);
    expect([65534, 65535, 0, 1].map(() => callFor(setup))).toEqual([false, false, true, false]);
  });
});

test('virtio 1.3 §2.7.8.2 device MUST set len prior to updating idx → the element is whole before', () => {
  const setup = ringSetup({ size: SIZE });
  setup.driver.addChain(BUFFER);
  setup.driver.publish();
  setup.vring.pop(setup.chain);
  setup.vring.push(setup.chain.head, 0x1234_5678);
  const { used } = setup.driver.place;
  const element = new DataView(setup.ram.read(used + 4, 8).buffer);
  expect([element.getUint32(0, true), element.getUint32(4, true)]).toEqual([0, 0x1234_5678]);
  expect(setup.driver.usedIdx).toBe(0);
  setup.vring.publish();
  expect(setup.driver.usedIdx).toBe(1);
});

describe('virtio 1.3 §2.7.10.2 device', () => {
  test('without EVENT_IDX MUST set flags to 0 or 1 → 1 while serving, 0 when armed', () => {
    const setup = ringSetup({ size: SIZE });
    setup.vring.suppressKicks();
    expect(setup.driver.usedFlags).toBe(1);
    setup.vring.armKicks();
    expect(setup.driver.usedFlags).toBe(0);
  });

  test('with EVENT_IDX MUST set flags to 0 → also where an earlier device left 1', () => {
    const setup = ringSetup({ size: SIZE });
    setup.vring.suppressKicks();
    const vring = setup.restart({ eventIdx: true });
    vring.suppressKicks();
    vring.armKicks();
    expect(setup.driver.usedFlags).toBe(0);
  });

  test('with EVENT_IDX MAY use avail_event → it names the entry that shall bring a kick', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true, base: 65535 });
    setup.vring.armKicks();
    expect(setup.driver.availEvent).toBe(65535);
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(true);
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(false);
  });
});

test('virtio 1.3 §2.7.13.3 idx always increments and wraps at 65536 → 70000 chains in a row', () => {
  const setup = ringSetup({ size: SIZE, eventIdx: true });
  for (let i = 0; i < 70_000; i++) {
    setup.driver.armCalls();
    if (!callFor(setup) || !setup.driver.nextUsed()) expect.unreachable(`chain ${i}`);
    setup.driver.free(setup.driver.usedHead);
  }
  expect(setup.vring.base).toBe(70_000 & 0xffff);
});
