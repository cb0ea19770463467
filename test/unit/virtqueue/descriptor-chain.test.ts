/**
 * Walking a descriptor chain in the ring's own table: what it yields, and every violation by name.
 * Indirect tables have their own file.
 */
import { describe, expect, test } from 'vitest';
import { ringViolations } from '../../../src/virtqueue/ring-violation.ts';
import type { RawDescriptor } from '../../support/mock-driver-ring.ts';
import { DATA_AT, ringSetup, segmentsOf } from '../../support/mock-driver-setup.ts';

const NEXT = 1;
const WRITE = 2;
const SIZE = 8;
const A = DATA_AT;
const PAGE = 0x1000;
const HOLE = 0x8000_0000;

type Regions = ReadonlyArray<readonly [number, number]>;

/** Writes descriptors 0, 1, … as given, offers head 0, and pops; a violation comes back by name. */
function walk(descriptors: readonly RawDescriptor[], regions: Regions = [[A, PAGE]]) {
  const setup = ringSetup({ size: SIZE, regions });
  setup.driver.rawTable(setup.driver.place.desc, descriptors);
  setup.driver.offer(0);
  setup.driver.publish();
  const result = setup.vring.pop(setup.chain);
  return {
    outcome: result < 0 ? ringViolations.nameOf(result) : result,
    segments: segmentsOf(setup.chain),
    host: (address: number) => setup.ram.hostAddress(address),
    setup,
  };
}

describe('a chain that is right', () => {
  test('yields its buffers in order, readable ones first', () => {
    const { outcome, segments, host } = walk([
      { address: A, lengthBytes: 16, flags: NEXT, next: 2 },
      {},
      { address: A + 64, lengthBytes: 512, flags: WRITE, next: 1 },
    ]);
    expect(outcome).toBe(1);
    expect(segments).toEqual([
      { hostAddress: host(A), lengthBytes: 16, slot: 1, writable: false },
      { hostAddress: host(A + 64), lengthBytes: 512, slot: 1, writable: true },
    ]);
  });

  test('may use every descriptor of the ring', () => {
    const { outcome, segments } = walk(
      Array.from({ length: SIZE }, (_, i) => ({
        address: A + i,
        lengthBytes: 1,
        flags: i + 1 < SIZE ? NEXT : 0,
        next: i + 1,
      })),
    );
    expect(outcome).toBe(1);
    expect(segments).toHaveLength(SIZE);
  });

  test('may be writable only', () => {
    const { segments } = walk([{ address: A, lengthBytes: 1, flags: WRITE }]);
    expect(segments.map(({ writable }) => writable)).toEqual([true]);
  });

  test('a next without the NEXT flag means nothing', () => {
    const { outcome, segments } = walk([{ address: A, lengthBytes: 1, next: 0xffff }]);
    expect([outcome, segments.length]).toEqual([1, 1]);
  });

  test('a buffer may end with the last byte of a region', () => {
    expect(walk([{ address: A + PAGE - 1, lengthBytes: 1 }]).outcome).toBe(1);
  });

  test('nothing of an earlier chain is left in the next', () => {
    const { setup } = walk([
      { address: A, lengthBytes: 8, flags: NEXT, next: 1 },
      { address: A + 8, lengthBytes: 8, flags: WRITE },
    ]);
    setup.driver.rawDescriptor(2, { address: A + 99, lengthBytes: 1 });
    setup.driver.offer(2);
    setup.driver.publish();
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(setup.chain.head).toBe(2);
    expect(segmentsOf(setup.chain)).toHaveLength(1);
    expect(setup.chain.readableCount).toBe(1);
  });
});

describe('a buffer over two regions', () => {
  const touching = [
    [A, PAGE],
    [A + PAGE, PAGE],
  ] as const;
  const apart = [
    [A, PAGE],
    [A + PAGE + 1, PAGE],
  ] as const;

  test('is split at the border when the regions touch', () => {
    const { outcome, segments, host } = walk(
      [{ address: A + PAGE - 10, lengthBytes: 30, flags: WRITE }],
      touching,
    );
    expect(outcome).toBe(1);
    expect(segments).toEqual([
      { hostAddress: host(A + PAGE - 10), lengthBytes: 10, slot: 1, writable: true },
      { hostAddress: host(A + PAGE), lengthBytes: 20, slot: 2, writable: true },
    ]);
  });

  test('is refused when there is a hole of one byte between them', () => {
    const { outcome } = walk([{ address: A + PAGE - 10, lengthBytes: 30 }], apart);
    expect(outcome).toBe('CHAIN_ADDRESS_UNMAPPED');
  });

  test('is refused when its end is past the second', () => {
    const { outcome } = walk([{ address: A + PAGE - 1, lengthBytes: PAGE + 2 }], touching);
    expect(outcome).toBe('CHAIN_ADDRESS_UNMAPPED');
  });
});

describe('a loop is refused, and takes no more steps than the ring has descriptors', () => {
  test.each([
    ['a descriptor that names itself', [{ address: A, lengthBytes: 1, flags: NEXT, next: 0 }]],
    [
      'two that name each other',
      [
        { address: A, lengthBytes: 1, flags: NEXT, next: 1 },
        { address: A, lengthBytes: 1, flags: NEXT, next: 0 },
      ],
    ],
    [
      'a loop that the head is not part of',
      [
        { address: A, lengthBytes: 1, flags: NEXT, next: 1 },
        { address: A, lengthBytes: 1, flags: NEXT, next: 2 },
        { address: A, lengthBytes: 1, flags: NEXT, next: 1 },
      ],
    ],
    ['a loop of empty buffers', [{ address: A, lengthBytes: 0, flags: NEXT, next: 0 }]],
    [
      'a loop of empty writable buffers nowhere',
      [
        { address: HOLE, lengthBytes: 0, flags: NEXT | WRITE, next: 1 },
        { address: HOLE, lengthBytes: 0, flags: NEXT | WRITE, next: 0 },
      ],
    ],
  ])('%s', (_, descriptors) => {
    const { outcome, setup } = walk(descriptors);
    expect(outcome).toBe('CHAIN_TOO_LONG');
    expect(setup.chain.segmentCount).toBeLessThanOrEqual(SIZE);
  });
});

describe('a wrong descriptor is refused', () => {
  const one = (address: number | bigint, lengthBytes = 1) => [{ address, lengthBytes }];
  const nextTo = (next: number) => [{ address: A, lengthBytes: 1, flags: NEXT, next }];
  const writableThenReadable = (writableBytes: number, readableBytes: number) => [
    { address: A, lengthBytes: writableBytes, flags: NEXT | WRITE, next: 1 },
    { address: A, lengthBytes: readableBytes },
  ];
  test.each([
    ['CHAIN_NEXT_OUT_OF_RANGE', 'next = ring size', nextTo(SIZE)],
    ['CHAIN_NEXT_OUT_OF_RANGE', 'next = 65535', nextTo(0xffff)],
    ['CHAIN_ADDRESS_UNMAPPED', 'address 0', one(0)],
    ['CHAIN_ADDRESS_UNMAPPED', 'one byte before a region', one(A - 1, 2)],
    ['CHAIN_ADDRESS_UNMAPPED', 'first byte after a region', one(A + PAGE)],
    ['CHAIN_ADDRESS_UNMAPPED', 'the longest length', one(A, 0xffff_ffff)],
    ['CHAIN_ADDRESS_UNMAPPED', 'a good address + 2^32', one(2 ** 32 + A)],
    ['CHAIN_ADDRESS_UNMAPPED', 'the largest address taken', one(2n ** 53n - 2n ** 32n - 1n)],
    ['CHAIN_ADDRESS_TOO_LARGE', '2^53 - 2^32', one(2n ** 53n - 2n ** 32n, 0xffff_ffff)],
    ['CHAIN_ADDRESS_TOO_LARGE', '2^53 + 1', one(2n ** 53n + 1n)],
    ['CHAIN_ADDRESS_TOO_LARGE', 'a good address + 2^53', one(2n ** 53n + BigInt(A))],
    ['CHAIN_ADDRESS_TOO_LARGE', '2^64 - 1', one(2n ** 64n - 1n)],
    ['CHAIN_ADDRESS_TOO_LARGE', '2^64 - 1 and two bytes', one(2n ** 64n - 1n, 2)],
    ['CHAIN_READABLE_AFTER_WRITABLE', 'of one byte each', writableThenReadable(1, 1)],
    // Order is a matter of flags, not of bytes.
    ['CHAIN_READABLE_AFTER_WRITABLE', 'an empty writable one', writableThenReadable(0, 1)],
    ['CHAIN_READABLE_AFTER_WRITABLE', 'an empty readable one', writableThenReadable(1, 0)],
  ])('%s: %s', (name, _, descriptors) => expect(walk(descriptors).outcome).toBe(name));
});

describe('an empty buffer', () => {
  test.each([0n, BigInt(HOLE), 2n ** 64n - 1n])('touches nothing at address %i', (address) => {
    const { outcome, segments } = walk([
      { address, lengthBytes: 0, flags: NEXT, next: 1 },
      { address: A, lengthBytes: 1, flags: WRITE },
    ]);
    expect(outcome).toBe(1);
    expect(segments.map(({ lengthBytes }) => lengthBytes)).toEqual([1]);
  });

  test('a chain of nothing else yields no segment', () => {
    const { outcome, segments } = walk([{ address: A, lengthBytes: 0 }]);
    expect([outcome, segments.length]).toEqual([1, 0]);
  });
});

test('every violation has a name of its own', () => {
  const codes = Object.values(ringViolations.values);
  expect(new Set(codes).size).toBe(codes.length);
  expect(codes.every((code) => code < 0)).toBe(true);
});
