/**
 * A chain that is walked through an IOTLB against the same chain walked through the regions: where every
 * page has its translation the two agree byte for byte and violation for violation; where the regions end,
 * or a page is not translated, the chain waits and names pages that are really missing.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ACCESS_BOTH, ACCESS_READ, ACCESS_WRITE, Iotlb } from '../../src/memory/iotlb.ts';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import {
  CHAIN_ADDRESS_UNMAPPED,
  CHAIN_MISS,
  INDIRECT_UNMAPPED,
} from '../../src/virtqueue/ring-violation.ts';
import { TranslatedChain } from '../../src/virtqueue/translated-chain.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import { encodeDescriptor } from '../support/mock-driver-ring.ts';
import { holds } from '../support/property.ts';

const PAGE = 4096;
const REGION_AT = 0x10_0000;
const PAGES = 8;
const RING_SIZE = 8;
const TABLE_AT = REGION_AT + PAGE - 32;
const TABLE_ENTRIES = 12;

/** Mostly inside the region, at times past its end, at times a table. */
const descriptor = fc.record({
  address: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: REGION_AT, max: REGION_AT + PAGES * PAGE - 1 }) },
    { weight: 1, arbitrary: fc.constant(TABLE_AT) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 * REGION_AT }) },
  ),
  lengthBytes: fc.oneof(fc.nat(3 * PAGE), fc.constantFrom(0, 16, 32, 16 * TABLE_ENTRIES)),
  flags: fc.constantFrom(0, 1, 1, 1, 2, 3, 3, 4, 5),
  next: fc.nat(RING_SIZE),
});
const input = fc.record({
  ring: fc.array(descriptor, { minLength: RING_SIZE, maxLength: RING_SIZE }),
  table: fc.array(descriptor, { minLength: TABLE_ENTRIES, maxLength: TABLE_ENTRIES }),
  /** By page: what it may be used for; 0: no translation. */
  access: fc.array(fc.constantFrom(3, 3, 3, 1, 2, 0), { minLength: PAGES, maxLength: PAGES }),
});

/** Neighbours joined: a chain through the IOTLB is cut at every page. */
function ranges(chain: DescriptorChain, first: number, end: number): number[][] {
  const joined: number[][] = [];
  for (let s = first; s < end; s++) {
    const [start, length] = [chain.hostAddress[s]!, chain.lengthBytes[s]!];
    const last = joined.at(-1);
    if (last !== undefined && last[1] === start) last[1] = start + length;
    else joined.push([start, start + length]);
  }
  return joined;
}

function prepare(text: { ring: object[]; table: object[] }) {
  const ram = plainRam([REGION_AT, PAGES * PAGE]);
  text.table.forEach((entry, i) => {
    ram.write(TABLE_AT + 16 * i, encodeDescriptor(entry));
  });
  const ring = new Uint8Array(16 * RING_SIZE);
  text.ring.forEach((entry, i) => {
    ring.set(encodeDescriptor(entry), 16 * i);
  });
  const memory = ram.deviceMemory();
  return { memory, iotlb: new Iotlb(memory), ring: new DataView(ring.buffer) };
}

function map(iotlb: Iotlb, page: number, access: number): void {
  const iova = REGION_AT + page * PAGE;
  iotlb.update({ iova, sizeBytes: PAGE, slot: 0, offsetBytes: page * PAGE, access });
}

test('with every page translated it is the same walk', () => {
  holds(input, (text) => {
    const { memory, iotlb, ring } = prepare(text);
    for (let page = 0; page < PAGES; page++) map(iotlb, page, ACCESS_BOTH);
    const plain = new DescriptorChain(RING_SIZE);
    const translated = new TranslatedChain(RING_SIZE, iotlb);
    const end = plain.walk(memory, ring, RING_SIZE, 0, true);
    const unmapped = end === CHAIN_ADDRESS_UNMAPPED || end === INDIRECT_UNMAPPED;
    const through = translated.walk(iotlb, ring, RING_SIZE, 0, true);
    // A walk through a hole goes on, and may come to something worse.
    if (unmapped) expect(through).toBeLessThan(0);
    else expect(through).toBe(end);
    if (end !== 0) return;
    expect(ranges(translated, 0, translated.readableCount)).toEqual(
      ranges(plain, 0, plain.readableCount),
    );
    expect(ranges(translated, translated.readableCount, translated.segmentCount)).toEqual(
      ranges(plain, plain.readableCount, plain.segmentCount),
    );
  });
});

test('what is not allowed is asked for, and nothing else; then it is the same walk', () => {
  holds(input, (text) => {
    const { memory, iotlb, ring } = prepare(text);
    text.access.forEach((access, page) => {
      if (access !== 0) map(iotlb, page, access);
    });
    const translated = new TranslatedChain(RING_SIZE, iotlb);
    const plain = new DescriptorChain(RING_SIZE);
    const end = plain.walk(memory, ring, RING_SIZE, 0, true);
    for (let asked = 0; asked < 4 * PAGES; asked++) {
      const through = translated.walk(iotlb, ring, RING_SIZE, 0, true);
      if (through !== CHAIN_MISS) {
        if (through === 0) expect(end).toBe(0);
        for (let s = 0; through === 0 && s < translated.segmentCount; s++) {
          const needed = s < translated.readableCount ? ACCESS_READ : ACCESS_WRITE;
          expect(iotlb.accessOfSlot[translated.slot[s]!]! & needed).toBe(needed);
        }
        return;
      }
      expect(translated.missed.length).toBeGreaterThan(0);
      let granted = 0;
      for (const { iova, access } of translated.missed) {
        const page = (iova - REGION_AT) / PAGE;
        const missing = iotlb.missingPages(iova, 1, access, 1);
        expect(missing).toEqual([iova]);
        if (page < 0 || page >= PAGES) continue;
        map(iotlb, page, ACCESS_BOTH);
        granted++;
      }
      // What lies outside all regions nobody grants.
      if (granted === 0) return;
    }
    throw new Error('it asks without end');
  });
});
