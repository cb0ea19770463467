/**
 * What the config space promises is what a request may do: a driver that goes to each limit succeeds,
 * and the limits fit each other, the default ring and every block size.
 */
import { expect, test } from 'vitest';
import { VIRTIO_BLK_ID_BYTES } from '../../../protocol/virtio-blk.ts';
import { OP_DISCARD, OP_READ } from '../../../src/blk/blk-request.ts';
import { statusOfResult } from '../../../src/blk/blk-status.ts';
import { encodeConfigSpace } from '../../../src/blk/config-space.ts';
import { RANGE_SECTORS_MAX, RANGES_MAX, SEG_MAX } from '../../../src/blk/disk-shape.ts';
import { blk } from '../../support/mock-driver-blk.ts';
import { decodeRequest } from '../../support/mock-driver-decode.ts';

const QEMU_DEFAULT_QUEUE_SIZE = 128;
const SHAPE = {
  capacitySectors: 2 ** 30,
  blockSizeBytes: 512,
  physicalBlockBytes: 4096,
  discardGranularityBytes: 4096,
  readOnly: false,
  discard: true,
  zeroesUnmap: true,
  queueCount: 1,
  rangesMax: 16,
  serial: '',
};

function promised() {
  const view = new DataView(encodeConfigSpace(SHAPE, true).buffer);
  return {
    capacity: Number(view.getBigUint64(0, true)),
    segMax: view.getUint32(12, true),
    maxDiscardSectors: view.getUint32(36, true),
    maxDiscardSeg: view.getUint32(40, true),
  };
}

test('the longest chain promised fits the default ring of QEMU without indirect descriptors', () => {
  expect(promised().segMax + 2).toBeLessThanOrEqual(QEMU_DEFAULT_QUEUE_SIZE);
  expect(SEG_MAX).toBeGreaterThan(0);
});

test('a discard at every promised limit at once is accepted', () => {
  const { maxDiscardSectors, maxDiscardSeg, capacity } = promised();
  const ranges = Array.from({ length: maxDiscardSeg }, (_, i) => ({
    sector: i * maxDiscardSectors,
    sectors: maxDiscardSectors,
  }));
  const { request } = decodeRequest(blk.discard(...ranges), { capacitySectors: capacity });
  expect([request.op, request.rangeCount]).toEqual([OP_DISCARD, RANGES_MAX]);
});

test('a read of the last promised sector is accepted', () => {
  const { capacity } = promised();
  const { request } = decodeRequest(blk.read(capacity - 1, 512), { capacitySectors: capacity });
  expect(request.op).toBe(OP_READ);
});

test.each([512, 1024, 2048, 4096, 65536])(
  'the longest range is whole blocks of %i bytes, in a number that stays exact',
  (blockSize) => {
    expect((RANGE_SECTORS_MAX * 512) % blockSize).toBe(0);
    expect(Number.isSafeInteger(RANGE_SECTORS_MAX * 512 * RANGES_MAX)).toBe(true);
  },
);

test('a serial has at most twenty bytes', () => expect(VIRTIO_BLK_ID_BYTES).toBe(20));

test.each([
  [0, 0],
  [4096, 0],
  [-5, 1],
  [-28, 1],
  [-22, 1],
  [-125, 1],
  [-95, 2],
])('result %i is status %i', (result, status) => expect(statusOfResult(result)).toBe(status));
