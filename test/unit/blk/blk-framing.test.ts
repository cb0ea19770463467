/**
 * Message framing, exhaustively for small requests: every way to cut 16 + n + 1 bytes into
 * descriptors decodes to the same request (bug class 21).
 */
import { describe, expect, test } from 'vitest';
import { OP_GET_ID, OP_READ, OP_WRITE } from '../../../src/blk/blk-request.ts';
import { blk, placeRequest } from '../../support/mock-driver-blk.ts';
import { decodeBuffers, decodeRequest } from '../../support/mock-driver-decode.ts';
import { DATA_AT, ringSetup } from '../../support/mock-driver-setup.ts';

const SECTOR = 0x123;
const FEW = { capacitySectors: 2 ** 40 };

/** All ascending pairs of cut positions of a part, each possibly at its ends (an empty descriptor). */
function cutPairs(partBytes: number): number[][] {
  const pairs: number[][] = [];
  for (let a = 0; a <= partBytes; a++) for (let b = a; b <= partBytes; b++) pairs.push([a, b]);
  return pairs;
}

describe('a header', () => {
  test('in 16 descriptors of one byte', () => {
    const cuts = Array.from({ length: 16 }, (_, i) => i + 1);
    const text = blk.write(SECTOR, new Uint8Array(512), { readableCuts: cuts, gapBytes: 9 });
    const { request, data, placed } = decodeRequest(text, FEW);
    expect([request.op, request.offsetBytes]).toEqual([OP_WRITE, SECTOR * 512]);
    expect(data).toEqual([[placed.buffers[16]!.address, 512]]);
  });

  test.each([
    ['together', 0],
    ['apart', 7],
  ])('and data cut at every pair of places, pieces %s', (_, gapBytes) => {
    for (const readableCuts of cutPairs(16 + 24)) {
      const text = blk.write(SECTOR, new Uint8Array(512), { readableCuts, gapBytes });
      const { request, data, setup } = decodeRequest(text, FEW);
      expect([readableCuts, request.op, request.offsetBytes, request.lengthBytes]).toEqual([
        readableCuts,
        OP_WRITE,
        SECTOR * 512,
        512,
      ]);
      const total = data.reduce((sum, [, lengthBytes]) => sum + lengthBytes, 0);
      expect(total).toBe(512);
      expect(setup.chain.readableCount).toBe(request.endSegment);
    }
  });
});

describe('a status byte', () => {
  test.each([
    ['together', 0],
    ['apart', 7],
  ])('is the last byte however the writable part is cut, pieces %s', (_, gapBytes) => {
    for (const writableCuts of cutPairs(20 + 1)) {
      const { request, data, statusAddress, placed } = decodeRequest({
        ...blk.getId(20),
        writableCuts,
        gapBytes,
      });
      expect([writableCuts, request.op, statusAddress]).toEqual([
        writableCuts,
        OP_GET_ID,
        placed.statusAddress,
      ]);
      const total = data.reduce((sum, [, lengthBytes]) => sum + lengthBytes, 0);
      expect(total).toBe(20);
      const covered = data.some(([at, size]) => statusAddress >= at && statusAddress < at + size);
      expect(covered).toBe(false);
    }
  });

  test('in one descriptor with the data', () => {
    const { request, data, statusAddress } = decodeRequest(
      blk.read(SECTOR, 1024, { writableCuts: [] }),
      FEW,
    );
    expect([request.op, request.lengthBytes]).toEqual([OP_READ, 1024]);
    expect(data).toEqual([[DATA_AT + 16, 1024]]);
    expect(statusAddress).toBe(DATA_AT + 16 + 1024);
  });

  test('followed by empty descriptors', () => {
    const text = blk.read(SECTOR, 512, { writableCuts: [512, 513, 513] });
    const { statusAddress, placed } = decodeRequest(text, FEW);
    expect(statusAddress).toBe(placed.statusAddress);
  });
});

describe('a request over the border of two regions', () => {
  const border = DATA_AT + 0x1000;
  const regions = [
    [DATA_AT, 0x1000],
    [border, 0x4000],
  ] as const;

  test('decodes wherever the border falls: in the header, in the data, before the status', () => {
    const whole = 16 + 512 + 1;
    for (let before = 0; before <= whole; before++) {
      const setup = ringSetup({ size: 128, regions });
      const text = blk.read(SECTOR, 512, { writableCuts: [] });
      const placed = placeRequest(setup.ram, border - before, text);
      const { request, data, statusAddress } = decodeBuffers(placed.buffers, FEW, setup);
      expect([before, request.op, request.offsetBytes, request.lengthBytes]).toEqual([
        before,
        OP_READ,
        SECTOR * 512,
        512,
      ]);
      expect(data).toEqual([[border - before + 16, 512]]);
      expect(statusAddress).toBe(placed.statusAddress);
    }
  });
});
