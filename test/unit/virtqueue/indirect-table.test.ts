/**
 * Indirect descriptor tables: sizes one by one, nesting, loops, tables over region borders, and how
 * they mix with descriptors of the ring.
 */
import { describe, expect, test } from 'vitest';
import { INDIRECT_TABLE_MAX } from '../../../src/virtqueue/descriptor-chain.ts';
import { ringViolations } from '../../../src/virtqueue/ring-violation.ts';
import type { RawDescriptor } from '../../support/mock-driver-ring.ts';
import { DATA_AT, DATA_BYTES, ringSetup, segmentsOf } from '../../support/mock-driver-setup.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const A = DATA_AT;
const TABLE = DATA_AT + 0x8000;
const SIZE = 8;
const REGIONS: ReadonlyArray<readonly [number, number]> = [[A, DATA_BYTES]];

interface Case {
  /** Descriptors of the ring; by default one that names the table. */
  readonly ring?: readonly RawDescriptor[];
  readonly table?: readonly RawDescriptor[];
  readonly tableAt?: number;
  readonly lengthBytes?: number;
  readonly flags?: number;
  readonly indirect?: boolean;
  readonly regions?: ReadonlyArray<readonly [number, number]>;
}

const ONE: readonly RawDescriptor[] = [{ address: A, lengthBytes: 7, flags: WRITE }];

function walk({
  table = ONE,
  tableAt = TABLE,
  lengthBytes = table.length * 16,
  flags = INDIRECT,
  indirect = true,
  regions = REGIONS,
  ring = [{ address: tableAt, lengthBytes, flags }],
}: Case) {
  const setup = ringSetup({ size: SIZE, indirect, regions });
  setup.driver.rawTable(setup.driver.place.desc, ring);
  setup.driver.rawTable(tableAt, table);
  setup.driver.offer(0);
  setup.driver.publish();
  const result = setup.vring.pop(setup.chain);
  return {
    outcome: result < 0 ? ringViolations.nameOf(result) : result,
    segments: segmentsOf(setup.chain),
    setup,
  };
}

/** A table of `count` one-byte buffers in a row. */
function longTable(count: number): RawDescriptor[] {
  return Array.from({ length: count }, (_, i) => ({
    address: A + i,
    lengthBytes: 1,
    flags: i + 1 < count ? NEXT : 0,
    next: i + 1,
  }));
}

describe('a table that is right', () => {
  test('of one entry', () => {
    const { outcome, segments } = walk({});
    expect(outcome).toBe(1);
    expect(segments.map(({ lengthBytes, writable }) => [lengthBytes, writable])).toEqual([
      [7, true],
    ]);
  });

  test('whose entries do not follow one another', () => {
    const { segments } = walk({
      table: [
        { address: A, lengthBytes: 1, flags: NEXT, next: 2 },
        { address: A, lengthBytes: 3, flags: WRITE },
        { address: A, lengthBytes: 2, flags: NEXT, next: 1 },
      ],
    });
    expect(segments.map(({ lengthBytes }) => lengthBytes)).toEqual([1, 2, 3]);
  });

  test.each([SIZE, SIZE + 1, 128, INDIRECT_TABLE_MAX])('with %i entries', (count) => {
    const { outcome, segments } = walk({ table: longTable(count) });
    expect([outcome, segments.length]).toEqual([1, count]);
  });

  test('named by a descriptor with WRITE, which says nothing about its entries', () => {
    const { outcome, segments } = walk({
      flags: INDIRECT | WRITE,
      table: [{ address: A, lengthBytes: 1 }],
    });
    expect([outcome, segments[0]?.writable]).toEqual([1, false]);
  });

  test('after descriptors of the ring', () => {
    const { outcome, segments } = walk({
      ring: [
        { address: A, lengthBytes: 16, flags: NEXT, next: 3 },
        {},
        { address: TABLE, lengthBytes: 16, flags: INDIRECT },
        { address: A, lengthBytes: 17, flags: NEXT, next: 2 },
      ],
    });
    expect(outcome).toBe(1);
    expect(segments.map(({ lengthBytes }) => lengthBytes)).toEqual([16, 17, 7]);
  });

  test('over two regions that touch, cut in the middle of an entry', () => {
    const border = TABLE + 40;
    const { outcome, segments } = walk({
      table: longTable(6),
      regions: [
        [A, border - A],
        [border, 0x1000],
      ],
    });
    expect([outcome, segments.length]).toEqual([1, 6]);
  });

  test('longer than its chain: what is behind the last entry is never looked at', () => {
    const { outcome } = walk({
      table: [...ONE, { address: 2n ** 64n - 1n, lengthBytes: 1, flags: INDIRECT }],
    });
    expect(outcome).toBe(1);
  });
});

describe('a table length', () => {
  test('of 1 to 64 bytes is right when it is a multiple of 16', () => {
    for (let lengthBytes = 0; lengthBytes <= 64; lengthBytes++) {
      const right = lengthBytes > 0 && lengthBytes % 16 === 0;
      const { outcome } = walk({ lengthBytes });
      expect([lengthBytes, outcome]).toEqual([lengthBytes, right ? 1 : 'INDIRECT_LENGTH']);
    }
  });

  test.each([16 * (INDIRECT_TABLE_MAX + 1), 0x1000_0000, 0xffff_fff0, 0xffff_ffff])(
    'of %i is refused',
    (lengthBytes) => expect(walk({ lengthBytes }).outcome).toBe('INDIRECT_LENGTH'),
  );
});

describe('an abuse of indirect tables is refused', () => {
  const hole: ReadonlyArray<readonly [number, number]> = [
    [A, TABLE + 16 - A],
    [TABLE + 17, 0x1000],
  ];
  test.each<readonly [string, string, Case]>([
    ['INDIRECT_NOT_NEGOTIATED', 'without the feature', { indirect: false }],
    [
      'INDIRECT_NESTED',
      'a table in a table',
      { table: [{ address: TABLE, lengthBytes: 16, flags: INDIRECT }] },
    ],
    [
      'INDIRECT_NESTED',
      'a table in a table, later',
      {
        table: [
          { address: A, lengthBytes: 1, flags: NEXT, next: 1 },
          { address: TABLE, lengthBytes: 16, flags: INDIRECT },
        ],
      },
    ],
    ['INDIRECT_WITH_NEXT', 'NEXT beside INDIRECT', { flags: INDIRECT | NEXT }],
    ['INDIRECT_UNMAPPED', 'nowhere', { ring: [{ address: 16, lengthBytes: 16, flags: INDIRECT }] }],
    [
      'INDIRECT_UNMAPPED',
      'past the end of memory',
      { ring: [{ address: A + DATA_BYTES - 16, lengthBytes: 32, flags: INDIRECT }] },
    ],
    ['INDIRECT_UNMAPPED', 'over a hole', { regions: hole, lengthBytes: 48 }],
    [
      'CHAIN_ADDRESS_TOO_LARGE',
      'at 2^64-16',
      { ring: [{ address: 2n ** 64n - 16n, lengthBytes: 16, flags: INDIRECT }] },
    ],
    [
      'CHAIN_ADDRESS_TOO_LARGE',
      'at 2^53 + a good address',
      { ring: [{ address: 2n ** 53n + BigInt(TABLE), lengthBytes: 16, flags: INDIRECT }] },
    ],
    ['CHAIN_TOO_LONG', 'a loop', { table: [{ address: A, lengthBytes: 1, flags: NEXT, next: 0 }] }],
    [
      'CHAIN_TOO_LONG',
      'a loop of empty buffers',
      {
        table: [
          { address: 0, lengthBytes: 0, flags: NEXT, next: 1 },
          { address: 0, lengthBytes: 0, flags: NEXT, next: 0 },
        ],
      },
    ],
    [
      'CHAIN_NEXT_OUT_OF_RANGE',
      'a next behind the table',
      { table: [{ address: A, lengthBytes: 1, flags: NEXT, next: 1 }] },
    ],
    ['CHAIN_ADDRESS_UNMAPPED', 'an entry nowhere', { table: [{ address: 0, lengthBytes: 1 }] }],
    [
      'CHAIN_READABLE_AFTER_WRITABLE',
      'a readable entry after a writable descriptor',
      {
        table: [{ address: A, lengthBytes: 1 }],
        ring: [
          { address: A, lengthBytes: 1, flags: NEXT | WRITE, next: 1 },
          { address: TABLE, lengthBytes: 16, flags: INDIRECT },
        ],
      },
    ],
  ])('%s: %s', (name, _, input) => expect(walk(input).outcome).toBe(name));
});

test('buffers that straddle regions, as many as there is room for, break the ring and nothing else', () => {
  // Each buffer covers every region: pieces multiply until the private arrays are full.
  const regions = Array.from({ length: 16 }, (_, i) => [A + i * 0x1000, 0x1000] as const);
  const whole = { address: A, lengthBytes: 16 * 0x1000 };
  const table = longTable(400).map((entry) => ({ ...entry, ...whole }));
  const { outcome, setup } = walk({ table, regions, tableAt: A });
  expect(outcome).toBe('CHAIN_TOO_LONG');
  expect(setup.chain.segmentCount).toBe(setup.chain.hostAddress.length);
});
