/**
 * Hostile descriptor tables: whatever 16-byte records a guest writes, the walk ends, agrees with the
 * naive walk, and never yields a byte outside the memory regions.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import { encodeDescriptor } from '../support/mock-driver-ring.ts';
import { segmentsOf } from '../support/mock-driver-setup.ts';
import { type NaiveRun, naiveWalk } from '../support/naive-chain.ts';
import { holds } from '../support/property.ts';
import { joined } from './virtqueue-twins.ts';

const AT = 0x1000;
/** Ring table at the start, then room for indirect tables and buffers, cut into regions at random. */
const SPAN = 0x400;
/** As `next`: the index of the record that follows. */
const NEIGHBOUR = -1;

const address = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: AT, max: AT + SPAN - 80 }) },
  { weight: 1, arbitrary: fc.integer({ min: AT - 2, max: AT + SPAN + 2 }) },
  { weight: 1, arbitrary: fc.constantFrom(0n, 2n ** 64n - 1n, 2n ** 53n + 1n, 2n ** 53n - 1n) },
  { weight: 1, arbitrary: fc.bigInt(0n, 2n ** 64n - 1n) },
);
const descriptor = fc.record({
  address,
  lengthBytes: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 80 }) },
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 8 }).map((count) => count * 16) },
    { weight: 1, arbitrary: fc.constantFrom(0x4000, 0x4010, 0x800) },
  ),
  // NEXT to the neighbour often, INDIRECT seldom: long chains are where the mistakes are.
  flags: fc.oneof(
    { weight: 6, arbitrary: fc.constant(1) },
    { weight: 4, arbitrary: fc.constantFrom(0, 2, 3, 3) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 7 }) },
  ),
  next: fc.oneof(
    { weight: 5, arbitrary: fc.constant(NEIGHBOUR) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 9 }) },
  ),
});

const memory = fc.record({
  entries: fc.constantFrom(1, 4, 8, 8),
  head: fc.integer({ min: 0, max: 7 }),
  indirect: fc.boolean(),
  table: fc.array(descriptor, { minLength: 8, maxLength: 8 }),
  tables: fc.array(descriptor, { minLength: 24, maxLength: 24 }),
  // Where the span behind the table is cut, and whether a byte is missing at the cut.
  cuts: fc.uniqueArray(fc.tuple(fc.integer({ min: 0x90, max: SPAN - 1 }), fc.boolean()), {
    selector: ([at]) => at >> 2,
    maxLength: 4,
  }),
});

type Input = typeof memory extends fc.Arbitrary<infer T> ? T : never;

function regionsOf({ cuts }: Input): Array<readonly [number, number]> {
  const edges = cuts.toSorted(([a], [b]) => a - b);
  const regions: Array<readonly [number, number]> = [];
  let start = 0;
  for (const [at, hole] of edges) {
    regions.push([AT + start, at - start]);
    start = hole ? at + 1 : at;
  }
  regions.push([AT + start, SPAN - start]);
  return regions.filter(([, size]) => size > 0);
}

function walkBoth(input: Input) {
  const ram = plainRam(...regionsOf(input));
  for (const [at, records] of [
    [AT, input.table],
    [AT + 8 * 16, input.tables],
  ] as const) {
    for (const [index, record] of records.entries()) {
      // A record may lie over a hole: its bytes are written where there is memory.
      const next = record.next === NEIGHBOUR ? index + 1 : record.next;
      for (const [i, byte] of encodeDescriptor({ ...record, next }).entries()) {
        const where = at + 16 * index + i;
        const isThere = ram.regions.some(
          ({ guestAddress, bytes }) => where >= guestAddress && where < guestAddress + bytes.length,
        );
        if (isThere) ram.write(where, Uint8Array.of(byte));
      }
    }
  }
  const chain = new DescriptorChain(input.entries);
  const first = ram.regions[0]!.bytes;
  const table = new DataView(first.buffer, 0, 16 * input.entries);
  const head = input.head % input.entries;
  const { entries, indirect } = input;
  const result = chain.walk(ram.deviceMemory(), table, entries, head, indirect);
  const expected = naiveWalk(ram, BigInt(AT), BigInt(entries), BigInt(head), indirect);
  return { ram, chain, result, expected };
}

test('a walk answers what the naive walk answers', () => {
  holds(
    memory,
    (input) => {
      const { ram, chain, result, expected } = walkBoth(input);
      expect(result < 0).toBe(expected === null);
      if (expected === null) return;
      const runs = segmentsOf(chain).map(
        ({ hostAddress, lengthBytes, slot, writable }): NaiveRun => {
          const region = ram.regions[slot]!;
          const guest = hostAddress - region.hostAddress + region.guestAddress;
          return [BigInt(guest), BigInt(lengthBytes), writable];
        },
      );
      expect(joined(runs)).toEqual(joined(expected));
    },
    5000,
  );
});

test('no segment of any walk, refused or not, leaves its region or is empty', () => {
  holds(
    memory,
    (input) => {
      const { ram, chain } = walkBoth(input);
      for (const { hostAddress, lengthBytes, slot } of segmentsOf(chain)) {
        const region = ram.regions[slot]!;
        expect(lengthBytes).toBeGreaterThan(0);
        expect(hostAddress).toBeGreaterThanOrEqual(region.hostAddress);
        expect(hostAddress + lengthBytes).toBeLessThanOrEqual(
          region.hostAddress + region.bytes.length,
        );
      }
    },
    3000,
  );
});

test('the inputs are worth it: chains accepted and refused, long and indirect', () => {
  let [accepted, refused, long] = [0, 0, 0];
  for (const input of fc.sample(memory, { numRuns: 2000, seed: 1 })) {
    const { chain, result } = walkBoth(input);
    if (result < 0) refused++;
    else accepted++;
    if (result === 0 && chain.segmentCount >= 3) long++;
  }
  expect(accepted).toBeGreaterThan(200);
  expect(refused).toBeGreaterThan(200);
  expect(long).toBeGreaterThan(20);
});
