/**
 * The requirements of virtio 1.3 §2.8 (packed virtqueues) that bind the device, and what it does when
 * the driver breaks one of its own; each test is named by its clause. All of it is rule 14.
 */
import { describe, expect, test } from 'vitest';
import { BlkRequest } from '../../src/blk/blk-request.ts';
import { ringViolations } from '../../src/virtqueue/ring-violation.ts';
import { invalidVringSize, misalignedVring } from '../../src/virtqueue/vring-config.ts';
import { blk, placeRequest } from '../support/mock-driver-blk.ts';
import { LIMITS } from '../support/mock-driver-decode.ts';
import { AVAIL, type RawPackedDescriptor, USED } from '../support/mock-driver-packed.ts';
import {
  DATA_AT,
  packedSetup,
  type RingSetupOptions,
  segmentsOf,
} from '../support/mock-driver-setup.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const SIZE = 6;
const A = DATA_AT;
const TABLE = DATA_AT + 0x1000;
const ENABLE = 0;
const DISABLE = 1;
const DESC = 2;
const WRAP = 0x8000;
const BUFFER = [{ address: A, lengthBytes: 1, writable: true }];
const READABLE = { address: A, lengthBytes: 1 };

type Setup = ReturnType<typeof packedSetup>;

interface Written extends RingSetupOptions {
  readonly list: readonly RawPackedDescriptor[];
  readonly table?: readonly RawPackedDescriptor[];
}

/** Pops what a driver wrote by hand; a violation by name. */
function outcomeOf({ list, table = [], ...options }: Written): string | number {
  const setup = packedSetup({ size: SIZE, ...options });
  setup.driver.rawTable(TABLE, table);
  setup.driver.rawChain(list);
  const result = setup.vring.pop(setup.chain);
  return result < 0 ? ringViolations.nameOf(result) : setup.chain.segmentCount;
}

/** Chains of so many descriptors each, offered and taken; their ids. */
function taken(setup: Setup, ...lengths: readonly number[]): number[] {
  const ids = lengths.map((length) =>
    setup.driver.addChain(Array.from({ length }, () => BUFFER[0]!)),
  );
  setup.driver.publish();
  return ids.map((id) => {
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(setup.chain.head).toBe(id);
    return id;
  });
}

/** One chain through an idle ring; whether the device wants to call. */
function callFor(setup: Setup): boolean {
  const [id] = taken(setup, 1);
  setup.vring.push(id!, 1);
  const called = setup.vring.publish();
  setup.driver.collect();
  return called;
}

/** A descriptor of the ring as it stands in memory. */
function descriptorAt(setup: Setup, index: number) {
  const view = new DataView(setup.ram.read(setup.driver.place.desc + 16 * index, 16).buffer);
  return {
    len: view.getUint32(8, true),
    id: view.getUint16(12, true),
    flags: view.getUint16(14, true),
  };
}

describe('virtio 1.3 §2.8', () => {
  test('up to 2^15 entries, and no power of 2 is asked for → 1 to 32768, nothing else', () => {
    for (const size of [1, 3, 100, 32767, 32768]) expect(invalidVringSize(size, true)).toBeNull();
    for (const size of [0, 32769, 65536, 2 ** 32 + 8]) {
      expect(invalidVringSize(size, true)).toBe(`num=${size}, expected 1 to 32768`);
    }
  });

  test('parts aligned to 16, 4 and 4 (§2.8.10.1) → anything else is refused', () => {
    const right = { desc: 16, avail: 4, used: 4 };
    expect(misalignedVring(right, true)).toBeNull();
    expect(misalignedVring({ ...right, desc: 8 }, true)).toMatch(/^descriptor ring/);
    expect(misalignedVring({ ...right, avail: 2 }, true)).toMatch(/^driver area/);
    expect(misalignedVring({ ...right, used: 2 }, true)).toMatch(/^device area/);
  });

  test('device MUST start processing in ring order, and write used ones as they complete (§2.8.12)', () => {
    const setup = packedSetup({ size: SIZE });
    const [first, second, third] = taken(setup, 1, 1, 1);
    for (const id of [third!, first!, second!]) setup.vring.push(id, 1);
    setup.vring.publish();
    expect(setup.driver.collect().map(({ head }) => head)).toEqual([third, first, second]);
  });
});

describe('virtio 1.3 §2.8.1 wrap counters', () => {
  test('start with 1 → the first lap is marked used with both flags, the second with none', () => {
    const setup = packedSetup({ size: 2 });
    const flagsOfLaps = [];
    for (let i = 0; i < 4; i++) {
      callFor(setup);
      flagsOfLaps.push(descriptorAt(setup, i % 2).flags & (AVAIL | USED));
    }
    expect(flagsOfLaps).toEqual([AVAIL | USED, AVAIL | USED, 0, 0]);
  });

  test.each([1, 2, 3, 7, 100])('a ring of %i goes through 1000 laps', (size) => {
    const setup = packedSetup({ size, eventIdx: true });
    for (let i = 0; i < 1000 * size; i++) {
      setup.driver.armCalls();
      if (!callFor(setup)) expect.unreachable(`chain ${i}`);
    }
    expect(setup.vring.base).toBe(0x8000_8000);
  });
});

describe('virtio 1.3 §2.8.2, §2.8.6 a list is used by one descriptor, and the rest is skipped', () => {
  test('the used ones stand where the lists started when they end in order', () => {
    const setup = packedSetup({ size: SIZE });
    const ids = taken(setup, 3, 2);
    for (const id of ids) setup.vring.push(id, 1);
    setup.vring.publish();
    expect([descriptorAt(setup, 0).id, descriptorAt(setup, 3).id]).toEqual(ids);
    expect(setup.driver.collect()).toHaveLength(2);
    expect(setup.driver.used).toEqual({ index: 5, wrap: true });
  });

  test('out of order the skip is that of the list that ended, over the end of the ring', () => {
    const setup = packedSetup({ size: SIZE });
    const [three, two] = taken(setup, 3, 2);
    setup.vring.push(two!, 1);
    setup.vring.push(three!, 1);
    setup.vring.publish();
    expect([descriptorAt(setup, 0).id, descriptorAt(setup, 2).id]).toEqual([two, three]);
    setup.driver.collect();
    const [over] = taken(setup, 4);
    setup.vring.push(over!, 1);
    setup.vring.publish();
    expect(setup.driver.collect()).toEqual([{ head: over, lengthBytes: 1 }]);
    expect(setup.driver.used).toEqual({ index: 3, wrap: false });
  });

  test('the driver sees nothing of a batch before its first descriptor, then all of it', () => {
    const setup = packedSetup({ size: SIZE });
    const ids = taken(setup, 2, 1, 1);
    for (const id of ids) setup.vring.push(id, 1);
    expect(setup.driver.nextUsed()).toBe(false);
    setup.vring.publish();
    expect(setup.driver.collect()).toHaveLength(3);
  });
});

describe('virtio 1.3 §2.8.3, §2.8.4 a used descriptor', () => {
  test.each([
    [0, 0],
    [0x1234_5678, WRITE],
  ])('after %i bytes written has WRITE=%i, and that length', (bytes, write) => {
    const setup = packedSetup({ size: SIZE });
    const [id] = taken(setup, 1);
    setup.vring.push(id!, bytes);
    setup.vring.publish();
    expect(descriptorAt(setup, 0)).toEqual({ len: bytes, id, flags: AVAIL | USED | write });
  });
});

describe('virtio 1.3 §2.8.5 to §2.8.7, §2.8.19 lists', () => {
  test('the buffer id is the one in the last descriptor (§2.8.6)', () => {
    const setup = packedSetup({ size: SIZE });
    setup.driver.rawChain([
      { ...READABLE, id: 1, flags: NEXT },
      { ...READABLE, id: 2, flags: NEXT },
      { ...READABLE, id: 3 },
    ]);
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect([setup.chain.head, setup.chain.segmentCount]).toEqual([3, 3]);
  });

  test('driver MUST place writable after readable elements (§2.8.17) → ring broken', () => {
    const list = [{ ...READABLE, flags: WRITE | NEXT }, READABLE];
    expect(outcomeOf({ list })).toBe('CHAIN_READABLE_AFTER_WRITABLE');
  });

  test('driver MUST NOT mix direct and indirect ones in a list → ring broken', () => {
    const indirect = { address: TABLE, lengthBytes: 16, flags: INDIRECT };
    const table = [READABLE];
    expect(outcomeOf({ list: [{ ...READABLE, flags: NEXT }, indirect], table })).toBe(
      'INDIRECT_WITH_NEXT',
    );
    expect(outcomeOf({ list: [{ ...indirect, flags: INDIRECT | NEXT }, READABLE], table })).toBe(
      'INDIRECT_WITH_NEXT',
    );
    expect(outcomeOf({ list: [indirect], table })).toBe(1);
  });

  test('driver MUST NOT set INDIRECT unless negotiated (§2.8.19) → ring broken', () => {
    const list = [{ address: TABLE, lengthBytes: 16, flags: INDIRECT }];
    expect(outcomeOf({ list, table: [READABLE], indirect: false })).toBe('INDIRECT_NOT_NEGOTIATED');
  });

  test('in an indirect table only WRITE is valid, other flags and ids are ignored (§2.8.7)', () => {
    const setup = packedSetup({ size: SIZE });
    setup.driver.rawTable(TABLE, [
      { ...READABLE, flags: 0xffff & ~WRITE, id: 77 },
      { ...READABLE, flags: 0, id: 78 },
      { ...READABLE, flags: 0xffff, id: 79 },
    ]);
    setup.driver.rawChain([{ address: TABLE, lengthBytes: 48, id: 4, flags: INDIRECT }]);
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(segmentsOf(setup.chain).map(({ writable }) => writable)).toEqual([false, false, true]);
    expect(setup.chain.head).toBe(4);
  });

  test('WRITE in the descriptor that refers to a table is ignored (§2.8.7) → readable stays readable', () => {
    const setup = packedSetup({ size: SIZE });
    setup.driver.rawTable(TABLE, [READABLE]);
    setup.driver.rawChain([{ address: TABLE, lengthBytes: 16, flags: INDIRECT | WRITE }]);
    setup.vring.pop(setup.chain);
    expect(setup.chain.readableCount).toBe(1);
  });

  test.each([0, 8, 17, 16 * 1025])('a table of %i bytes → ring broken', (lengthBytes) => {
    expect(outcomeOf({ list: [{ address: TABLE, lengthBytes, flags: INDIRECT }] })).toBe(
      'INDIRECT_LENGTH',
    );
  });

  test('Linux sizes tables by SEG_MAX → up to 1024 entries are taken on a small ring', () => {
    const table = Array.from({ length: 1024 }, () => READABLE);
    const list = [{ address: TABLE, lengthBytes: 16 * 1024, flags: INDIRECT }];
    expect(outcomeOf({ list, table })).toBe(1024);
  });
});

describe('virtio 1.3 §2.8.17 driver MUST NOT', () => {
  const chained = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      ...READABLE,
      id: i,
      flags: i + 1 < count ? NEXT : 0,
    }));

  test('create a list longer than the queue size → ring broken, also by a list without an end', () => {
    expect(outcomeOf({ list: chained(SIZE) })).toBe(SIZE);
    const endless = chained(SIZE).map((one) => ({ ...one, flags: NEXT }));
    expect(outcomeOf({ list: endless })).toBe('CHAIN_TOO_LONG');
  });

  test('make descriptors available again that were not used → ring broken', () => {
    const setup = packedSetup({ size: SIZE });
    taken(setup, 4);
    setup.driver.rawChain([...chained(2), READABLE].map((one) => ({ ...one, flags: NEXT })));
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('RING_OVERRUN');
    expect(setup.vring.inFlightCount).toBe(1);
  });

  test('use an id twice, or one beyond the ring → ring broken', () => {
    const setup = packedSetup({ size: SIZE });
    setup.driver.rawChain([{ ...READABLE, id: 2 }]);
    setup.driver.rawChain([{ ...READABLE, id: 2 }]);
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('HEAD_IN_FLIGHT');
    expect(outcomeOf({ list: [{ ...READABLE, id: SIZE }] })).toBe('HEAD_OUT_OF_RANGE');
    expect(outcomeOf({ list: [{ ...READABLE, id: 0xffff }] })).toBe('HEAD_OUT_OF_RANGE');
  });
});

describe('virtio 1.3 §2.8.8 in-order use: VIRTIO_F_IN_ORDER', () => {
  test('used descriptors come in the order of the available ones, whatever ends first', () => {
    const setup = packedSetup({ size: SIZE, inOrder: true });
    const [first, second, third] = taken(setup, 2, 1, 2);
    setup.vring.push(third!, 3);
    expect(setup.vring.publish()).toBe(false);
    setup.vring.push(first!, 1);
    setup.vring.push(second!, 2);
    setup.vring.publish();
    expect(setup.driver.collect()).toEqual([
      { head: first, lengthBytes: 1 },
      { head: second, lengthBytes: 2 },
      { head: third, lengthBytes: 3 },
    ]);
  });
});

describe('virtio 1.3 §2.8.10 the driver event suppression structure', () => {
  test.each([false, true])('ENABLE and DISABLE are obeyed (EVENT_IDX: %s)', (eventIdx) => {
    const setup = packedSetup({ size: SIZE, eventIdx });
    setup.driver.rawDriverEvent(0, DISABLE);
    expect(callFor(setup)).toBe(false);
    setup.driver.rawDriverEvent(0, ENABLE);
    expect(callFor(setup)).toBe(true);
  });

  test.each([
    ['DESC without EVENT_IDX', false, 3 | WRAP, DESC],
    ['the reserved 3', true, 0, 3],
    ['an offset beyond the ring', true, SIZE, DESC],
    ['an offset far beyond the ring', true, 0x7fff | WRAP, DESC],
  ])('%s means nothing → a call', (_, eventIdx, offWrap, flags) => {
    const setup = packedSetup({ size: SIZE, eventIdx });
    setup.driver.rawDriverEvent(offWrap, flags);
    expect([callFor(setup), callFor(setup)]).toEqual([true, true]);
  });

  test('DESC calls when that descriptor in that lap is used, and only then', () => {
    const setup = packedSetup({ size: 3, eventIdx: true });
    setup.driver.rawDriverEvent(1, DESC);
    const called = Array.from({ length: 12 }, () => callFor(setup));
    expect(called.flatMap((wanted, i) => (wanted ? [i] : []))).toEqual([4, 10]);
  });

  test('a batch that passes the descriptor calls, one that only reaches it does not', () => {
    const setup = packedSetup({ size: SIZE, eventIdx: true });
    const batch = (...lengths: number[]) => {
      for (const id of taken(setup, ...lengths)) setup.vring.push(id, 1);
      const called = setup.vring.publish();
      setup.driver.collect();
      return called;
    };
    setup.driver.rawDriverEvent(3 | WRAP, DESC);
    expect([batch(2, 1), batch(1), batch(1)]).toEqual([false, true, false]);
    // Over the end of the ring, in the middle of a list.
    setup.driver.rawDriverEvent(2, DESC);
    expect([batch(3), batch(1, 3)]).toEqual([false, true]);
  });
});

describe('virtio 1.3 §2.8.10, §2.8.14 the device event suppression structure', () => {
  test.each([false, true])('is DISABLE while the ring is served (EVENT_IDX: %s)', (eventIdx) => {
    const setup = packedSetup({ size: SIZE, eventIdx });
    setup.vring.suppressKicks();
    expect(setup.driver.deviceEvent.flags).toBe(DISABLE);
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(false);
  });

  test('without EVENT_IDX → ENABLE when armed', () => {
    const setup = packedSetup({ size: SIZE });
    setup.vring.suppressKicks();
    expect(setup.vring.armKicks()).toBe(false);
    expect(setup.driver.deviceEvent).toEqual({ spot: { index: 0, wrap: false }, flags: ENABLE });
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(true);
    expect(setup.vring.armKicks()).toBe(true);
  });

  test('with EVENT_IDX → DESC names the next descriptor and its lap, and one kick comes', () => {
    const setup = packedSetup({ size: 3, eventIdx: true });
    for (let i = 0; i < 5; i++) callFor(setup);
    setup.vring.armKicks();
    expect(setup.driver.deviceEvent).toEqual({ spot: { index: 2, wrap: false }, flags: DESC });
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(true);
    setup.driver.addChain(BUFFER);
    expect(setup.driver.publish()).toBe(false);
  });
});

describe('virtio 1.3 §2.8.15 device', () => {
  test('MUST NOT use a descriptor whose AVAIL has not changed → not in a new ring, not when used', () => {
    const setup = packedSetup({ size: 2 });
    expect(setup.vring.pop(setup.chain)).toBe(0);
    for (let i = 0; i < 5; i++) {
      callFor(setup);
      expect([setup.vring.availableCount(), setup.vring.pop(setup.chain)]).toEqual([0, 0]);
    }
  });

  test('MUST NOT write to a readable buffer → nor to a table, and the ring only at used places', () => {
    const setup = packedSetup({ size: SIZE });
    const placed = placeRequest(setup.ram, A, blk.write(0, new Uint8Array(512).fill(0x5a)));
    const before = placed.bytes(false);
    setup.driver.addChain(placed.buffers, { indirectAt: TABLE });
    setup.driver.addChain(placed.buffers);
    setup.driver.publish();
    const table = setup.ram.read(TABLE, 48);
    const ring = () => setup.ram.read(setup.driver.place.desc, 16 * SIZE);
    const written = ring();
    const request = new BlkRequest();
    for (let i = 0; i < 2; i++) {
      expect(setup.vring.pop(setup.chain)).toBe(1);
      expect(request.decode(setup.chain, setup.memory, LIMITS)).toBe(0);
    }
    setup.vring.armKicks();
    expect(ring()).toEqual(written);
    setup.vring.push(setup.chain.head, 1);
    setup.vring.publish();
    expect(ring().subarray(16)).toEqual(written.subarray(16));
    expect([placed.bytes(false), setup.ram.read(TABLE, 48)]).toEqual([before, table]);
  });
});

describe('vhost-user.rst: the base of a packed ring', () => {
  test('b0-14 avail, b15 its wrap counter, b16-30 used, b31 its wrap counter → where it stopped', () => {
    const setup = packedSetup({ size: SIZE });
    const [id] = taken(setup, 4, 1);
    setup.vring.push(id!, 1);
    setup.vring.publish();
    expect(setup.vring.base).toBe(0x8004_8005);
    setup.driver.collect();
    taken(setup, 2);
    expect(setup.vring.base).toBe(0x8004_0001);
  });

  test.each([0x8000_8000, 0x0003_0003, 0x8005_8005, 0x0000_0000])(
    'a ring goes on at 0x%s, and is there again after two laps',
    (base) => {
      const setup = packedSetup({ size: SIZE, base });
      for (let i = 0; i < 2 * SIZE; i++) callFor(setup);
      expect(setup.vring.base).toBe(base);
    },
  );

  test.each([
    [0x8000_8006, 'avail index=6, used index=0, expected less than 6'],
    [0x8006_8000, 'avail index=0, used index=6, expected less than 6'],
    [0xffff_ffff, 'avail index=32767, used index=32767, expected less than 6'],
    [0x8000_0001, '7 descriptors in flight, expected at most 6'],
    [0x8001_8000, '11 descriptors in flight, expected at most 6'],
  ])('0x%s is refused: %s', (base, said) => {
    const setup = packedSetup({ size: SIZE });
    const expected = `base=0x${base.toString(16)}: ${said}`;
    expect(() => setup.restart({ base })).toThrow(expected);
  });
});
