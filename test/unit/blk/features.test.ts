/**
 * The features that are offered, and the table that says when a write must be durable before it
 * completes.
 */
import { describe, expect, test } from 'vitest';
import { bitsToWord, namesOfBits } from '../../../protocol/layout.ts';
import { virtioBlkFeatures } from '../../../protocol/virtio-blk.ts';
import { ringFeatures } from '../../../protocol/virtio-ring.ts';
import { hasFeature, isWriteThrough, offeredFeatures } from '../../../src/blk/features.ts';

const SHAPE = {
  capacitySectors: 8,
  blockSizeBytes: 512,
  physicalBlockBytes: 512,
  discardGranularityBytes: 512,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 1,
  rangesMax: 16,
  serial: '',
};
const FLUSH = 9;
const CONFIG_WCE = 11;

describe('offered', () => {
  const blkNames = (readOnly: boolean) =>
    namesOfBits(virtioBlkFeatures, offeredFeatures({ ...SHAPE, readOnly }) & 0xff_ffffn).map(
      (name) => name.replace('VIRTIO_BLK_F_', ''),
    );

  test('by a disk that can be written', () => {
    expect(blkNames(false)).toEqual([
      'SEG_MAX',
      'BLK_SIZE',
      'FLUSH',
      'TOPOLOGY',
      'CONFIG_WCE',
      'MQ',
      'DISCARD',
      'WRITE_ZEROES',
    ]);
  });

  test('by a read-only disk: RO, and nothing that would write', () => {
    const names = blkNames(true);
    expect(names).toContain('RO');
    expect(names).not.toContain('DISCARD');
    expect(names).not.toContain('WRITE_ZEROES');
  });

  test('of the ring and the transport', () => {
    const word = offeredFeatures(SHAPE) & ~0xff_ffffn;
    const names = namesOfBits(ringFeatures, word).map((name) => name.replace(/^.*_F_/, ''));
    expect(names).toEqual([
      'LOG_ALL',
      'INDIRECT_DESC',
      'EVENT_IDX',
      'PROTOCOL_FEATURES',
      'VERSION_1',
      'ACCESS_PLATFORM',
      'RING_PACKED',
      'IN_ORDER',
      'NOTIFICATION_DATA',
      'RING_RESET',
    ]);
  });
});

test.each([
  // [FLUSH acked, CONFIG_WCE acked, writeback] → write-through
  [false, false, false, true],
  [false, false, true, true],
  [false, true, false, true],
  [false, true, true, true],
  [true, false, false, false],
  [true, false, true, false],
  [true, true, false, true],
  [true, true, true, false],
])('FLUSH %s, CONFIG_WCE %s, writeback %s: write-through %s', (flush, wce, writeback, expected) => {
  const acked = (flush ? bitsToWord(FLUSH) : 0n) | (wce ? bitsToWord(CONFIG_WCE) : 0n);
  expect(isWriteThrough(acked, writeback)).toBe(expected);
});

test('a feature bit is found at both ends of the word', () => {
  const word = bitsToWord(0, 63);
  expect([hasFeature(word, 0), hasFeature(word, 1), hasFeature(word, 63)]).toEqual([
    true,
    false,
    true,
  ]);
});
