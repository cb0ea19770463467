/**
 * BlkRequest against a naive model, for requests right and wrong under any framing; and the same
 * request decodes to the same thing however it is cut.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  OP_DISCARD,
  OP_FLUSH,
  OP_GET_ID,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  type RequestLimits,
} from '../../src/blk/blk-request.ts';
import { type BlkRequestText, blkRanges, placeRequest } from '../support/mock-driver-blk.ts';
import { type DecodedRequest, decodeBuffers } from '../support/mock-driver-decode.ts';
import { DATA_AT, ringSetup } from '../support/mock-driver-setup.ts';
import { type NaiveRequest, naiveDecode } from '../support/naive-blk.ts';
import { holds } from '../support/property.ts';

const CAPACITY = 64;
/** Regions that touch, so that requests straddle borders; one hole at the end. */
const REGIONS = [
  [DATA_AT, 100],
  [DATA_AT + 100, 1000],
  [DATA_AT + 1100, 8192],
] as const;

const sector = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: CAPACITY + 2 }) },
  { weight: 1, arbitrary: fc.bigInt(0n, 2n ** 64n - 1n) },
  { weight: 1, arbitrary: fc.constantFrom(2n ** 55n, 2n ** 64n - 1n, 2n ** 53n) },
);
const dataBytes = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 8 }).map((count) => count * 512) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 1500 }) },
);
const range = fc.record({
  sector,
  sectors: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: CAPACITY }) },
    { weight: 1, arbitrary: fc.constantFrom(2 ** 21, 2 ** 21 + 1, 0xffff_ffff) },
  ),
  flags: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.constantFrom(1, 2, 0x8000_0001)),
});
const cuts = (bytes: number) =>
  fc
    .array(fc.integer({ min: 0, max: bytes }), { maxLength: 6 })
    .map((at) => at.sort((a, b) => a - b));

/** A request and its framing apart, so that a framing can be exchanged. */
const text = fc.oneof(
  fc.record({ type: fc.constantFrom(0, 4, 5, 8, 2, 0x8000_0000), sector, dataInBytes: dataBytes }),
  fc.record({
    type: fc.constantFrom(1, 1, 1, 4, 99, 0x8000_0001),
    sector,
    dataOut: dataBytes.map((bytes) => new Uint8Array(bytes).fill(0x5a)),
  }),
  fc.record({
    type: fc.constantFrom(11, 13),
    dataOut: fc.array(range, { maxLength: 18 }).map((ranges) => blkRanges(...ranges)),
  }),
);
const framed = text.chain((request: BlkRequestText) => {
  const readable = 16 + (request.dataOut?.length ?? 0);
  const writable = 1 + (request.dataInBytes ?? 0);
  const framing = fc.record({
    readableCuts: cuts(readable),
    writableCuts: cuts(writable),
    gapBytes: fc.integer({ min: 0, max: 40 }),
    start: fc.integer({ min: 0, max: 200 }),
  });
  return fc.record({ request: fc.constant(request), one: framing, other: framing });
});
const limits: fc.Arbitrary<RequestLimits> = fc.record({
  capacitySectors: fc.constantFrom(CAPACITY, CAPACITY, 1, 2 ** 43),
  blockSizeBytes: fc.constantFrom(512, 512, 4096),
  readOnly: fc.constantFrom(false, false, true),
  rangesMax: fc.constantFrom(16, 16, 1),
  discard: fc.constantFrom(true, true, false),
  writeZeroes: fc.constantFrom(true, true, false),
});

type Framing = { readonly start: number } & Omit<BlkRequestText, 'type'>;

function decodeFramed(
  request: BlkRequestText,
  { start, ...framing }: Framing,
  rules: RequestLimits,
) {
  const setup = ringSetup({ size: 32, regions: REGIONS });
  const placed = placeRequest(setup.ram, DATA_AT + start, { ...request, ...framing });
  return { placed, setup, decoded: decodeBuffers(placed.buffers, rules, setup) };
}

const KINDS: ReadonlyMap<number, NaiveRequest['kind']> = new Map([
  [OP_READ, 'read'],
  [OP_WRITE, 'write'],
  [OP_FLUSH, 'flush'],
  [OP_GET_ID, 'id'],
  [OP_DISCARD, 'discard'],
  [OP_WRITE_ZEROES, 'writeZeroes'],
]);

/** What was decoded, in the words of the model. */
function inModelWords({ outcome, request, data, statusAddress }: DecodedRequest): NaiveRequest {
  if (outcome !== 0) return { kind: 'no status byte' };
  const statusAt = statusAddress;
  const kind = KINDS.get(request.op);
  const addresses = data.flatMap(([at, bytes]) => Array.from({ length: bytes }, (_, i) => at + i));
  switch (kind) {
    case 'read':
    case 'write':
      expect(addresses).toHaveLength(request.lengthBytes);
      return { kind, statusAt, offset: BigInt(request.offsetBytes), data: addresses };
    case 'id':
      return { kind, statusAt, data: addresses };
    case 'flush':
      return { kind, statusAt };
    case 'discard':
    case 'writeZeroes':
      return {
        kind,
        statusAt,
        ranges: Array.from({ length: request.rangeCount }, (_, i) => [
          BigInt(request.rangeOffsetBytes[i]!),
          BigInt(request.rangeLengthBytes[i]!),
          request.rangeUnmap[i] === 1,
        ]),
      };
    default:
      return { kind: 'status', status: request.status, statusAt };
  }
}

test('a request decodes as the naive model decodes it', () => {
  holds(
    fc.tuple(framed, limits),
    ([{ request, one }, rules]) => {
      const { placed, setup, decoded } = decodeFramed(request, one, rules);
      expect(inModelWords(decoded)).toEqual(naiveDecode(setup.ram, placed.buffers, rules));
    },
    2000,
  );
});

test('a chain of any buffers decodes as the naive model decodes it', () => {
  const buffer = fc.record({
    address: fc.integer({ min: DATA_AT, max: DATA_AT + 1200 }),
    lengthBytes: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(16, 512, 1024)),
  });
  const chain = fc.tuple(fc.array(buffer, { maxLength: 5 }), fc.array(buffer, { maxLength: 5 }));
  const header = fc.record({ type: fc.constantFrom(0, 1, 4, 8, 11, 13, 99), sector });
  holds(
    fc.tuple(chain, header, limits),
    ([[readable, writable], fields, rules]) => {
      const buffers = [...readable, ...writable.map((fields) => ({ ...fields, writable: true }))];
      if (buffers.length === 0) return;
      const setup = ringSetup({ size: 16, regions: REGIONS });
      // A header where the first readable buffer is, so that some chains get past it.
      if (readable[0] !== undefined) placeRequest(setup.ram, readable[0].address, fields);
      const expected = naiveDecode(setup.ram, buffers, rules);
      expect(inModelWords(decodeBuffers(buffers, rules, setup))).toEqual(expected);
    },
    2000,
  );
});

test('decoding is equal under every framing of the same request', () => {
  holds(
    fc.tuple(framed, limits),
    ([{ request, one, other }, rules]) => {
      const [a, b] = [one, other].map((framing) => {
        const { decoded } = decodeFramed(request, framing, rules);
        const { op, status, type, offsetBytes, lengthBytes, rangeCount } = decoded.request;
        const transferred = decoded.data.reduce((sum, [, bytes]) => sum + bytes, 0);
        return {
          op,
          type,
          rangeCount,
          transferred,
          done: op === 0 ? status : [offsetBytes, lengthBytes],
        };
      });
      expect(a).toEqual(b);
    },
    1000,
  );
});

test('the data a request yields holds the bytes the driver put there, in order', () => {
  holds(framed, ({ request, one }) => {
    if (request.type !== 1 || request.dataOut === undefined) return;
    const dataOut = request.dataOut.map((_, i) => (i * 7) & 0xff);
    const rules = {
      capacitySectors: 2 ** 52,
      blockSizeBytes: 512,
      readOnly: false,
      rangesMax: 16,
      discard: true,
      writeZeroes: true,
    };
    const { decoded, setup } = decodeFramed({ ...request, dataOut, sector: 0 }, one, rules);
    if (decoded.request.op !== OP_WRITE) return;
    const bytes = decoded.data.flatMap(([at, length]) => [...setup.ram.read(at, length)]);
    expect(bytes).toEqual([...dataOut]);
  });
});
