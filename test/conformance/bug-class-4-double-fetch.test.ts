/**
 * Bug class 4 (double fetch): each byte of a descriptor, an indirect table, a header and a range is
 * read at most once, and a guest that changes every byte right after it was read gets the request
 * it made first.
 */
import { describe, expect, test } from 'vitest';
import { BlkRequest, OP_DISCARD, OP_WRITE } from '../../src/blk/blk-request.ts';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import { blk, placeRequest } from '../support/mock-driver-blk.ts';
import { LIMITS } from '../support/mock-driver-decode.ts';
import { CountedView, countReads } from '../support/mock-driver-flipper.ts';
import { DATA_AT, ringSetup, segmentsOf } from '../support/mock-driver-setup.ts';

const TABLE = DATA_AT + 0x8000;
const SIZE = 16;
const DATA_SLOT = 1;

const REQUESTS = {
  write: blk.write(9, new Uint8Array(1024), { readableCuts: [5, 16, 528] }),
  discard: blk.discard({ sector: 3, sectors: 4 }, { sector: 100, sectors: 8 }),
};

/** One request walked and decoded by a device whose every view counts, or flips, what it reads. */
function serve(name: keyof typeof REQUESTS, indirect: boolean, flip: boolean) {
  const { ram, driver, memory } = ringSetup({ size: SIZE });
  const placed = placeRequest(ram, DATA_AT, REQUESTS[name]);
  const head = driver.writeChain(placed.buffers, indirect ? { indirectAt: TABLE } : {});
  const table = new CountedView(ram.regions[0]!.bytes, flip);
  const reads = countReads(memory, DATA_SLOT, flip);
  const chain = new DescriptorChain(SIZE);
  const walked = chain.walk(memory, table, SIZE, head, true);
  const segments = segmentsOf(chain);
  const request = new BlkRequest();
  const decoded = walked === 0 ? request.decode(chain, memory, LIMITS) : walked;
  const { op, offsetBytes, lengthBytes, rangeCount } = request;
  const ranges = [...request.rangeOffsetBytes, ...request.rangeLengthBytes];
  const outcome = { decoded, segments, op, offsetBytes, lengthBytes, rangeCount, ranges };
  return { outcome, table: table.reads, reads, placed, rest: segmentsOf(chain) };
}

const cases = [
  ['write', false],
  ['write', true],
  ['discard', false],
  ['discard', true],
] as const;

describe.each(cases)('bug class 4 (double fetch): %s, indirect %s', (name, indirect) => {
  test('no byte of a descriptor, header or range is read twice', () => {
    const { table, reads, outcome } = serve(name, indirect, false);
    expect(outcome.op).toBe(name === 'write' ? OP_WRITE : OP_DISCARD);
    expect([table.repeated, reads.repeated]).toEqual([[], []]);
    // The counting works at all: the ring, and the header, were read.
    expect(table.total).toBeGreaterThanOrEqual(8);
    expect(reads.total).toBeGreaterThanOrEqual(16);
  });

  test('bytes that change after they were read change nothing', () => {
    const calm = serve(name, indirect, false);
    const flipped = serve(name, indirect, true);
    expect(flipped.outcome).toEqual(calm.outcome);
    expect(flipped.rest).toEqual(calm.rest);
    expect(flipped.placed.bytes(false)).not.toEqual(calm.placed.bytes(false));
  });
});

test('bug class 4 (double fetch): data bytes of a write are not read at all', () => {
  const { reads, outcome } = serve('write', false, false);
  const [, , ...data] = outcome.segments.filter(({ writable }) => !writable);
  const headerBytes = 16;
  expect(data.length).toBeGreaterThan(0);
  expect(reads.total).toBe(headerBytes);
});

test('bug class 4 (double fetch): a table over two regions is read once too', () => {
  const border = DATA_AT + 40;
  const { ram, driver, memory } = ringSetup({
    size: SIZE,
    regions: [[DATA_AT, 40] as const, [border, 0x1000] as const],
  });
  const buffers = [0, 1, 2, 3].map((i) => ({ address: border + 0x100 + i, lengthBytes: 1 }));
  const head = driver.writeChain(buffers, { indirectAt: DATA_AT });
  const table = new CountedView(ram.regions[0]!.bytes, true);
  const counts = [1, 2].map((slot) => countReads(memory, slot, true));
  const chain = new DescriptorChain(SIZE);
  expect(chain.walk(memory, table, SIZE, head, true)).toBe(0);
  expect(chain.segmentCount).toBe(4);
  expect(counts.map(({ repeated }) => repeated)).toEqual([[], []]);
});
