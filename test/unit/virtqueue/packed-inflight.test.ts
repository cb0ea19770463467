/**
 * The packed in-flight region: what is written at each step of the protocol's text, what a ring that starts
 * on it takes up, and what it refuses. That no store can be missed is conformance/inflight-kill-points.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import {
  descStatePacked,
  queueRegionPacked,
  queueRegionStride,
} from '../../../protocol/inflight.ts';
import { viewInflight } from '../../../src/virtqueue/inflight-region.ts';
import type { PackedInflight } from '../../../src/virtqueue/packed-inflight.ts';
import { openPackedInflight } from '../../../src/virtqueue/packed-recovery.ts';

const SIZE = 5;
/** Index 3 in the lap whose wrap counter is 1, for both indices. */
const BASE = 0x8003_8003;
const AVAIL = 1 << 7;
const USED = 1 << 15;
const { at: HEADER } = queueRegionPacked;
const { at: ENTRY } = descStatePacked;

let region: Uint8Array;
let view: DataView;
/** The ring, of which only flags are of interest. */
let ring16: Uint16Array;

beforeEach(() => {
  region = new Uint8Array(queueRegionStride(true, SIZE));
  view = new DataView(region.buffer);
  ring16 = new Uint16Array(8 * SIZE);
  for (let index = 0; index < SIZE; index++) ring16[8 * index + 7] = AVAIL;
});

const at = (entry: number, field: keyof typeof ENTRY) =>
  queueRegionPacked.sizeBytes + entry * descStatePacked.sizeBytes + ENTRY[field];
const u16 = (offset: number) => view.getUint16(offset, true);
const usedState = () => [
  u16(HEADER.used_idx),
  region[HEADER.used_wrap_counter],
  u16(HEADER.old_used_idx),
  region[HEADER.old_used_wrap_counter],
];

function open({ ringSize = SIZE, recover = true, base = BASE } = {}): PackedInflight | string {
  const views = viewInflight(region.buffer, 0, region.length);
  return openPackedInflight({ views, entryCount: SIZE, recover }, ringSize, ring16, base);
}

function opened(): PackedInflight {
  const inflight = open();
  if (typeof inflight === 'string') throw new Error(inflight);
  return inflight;
}

/** A chain of descriptors as a DescriptorChain's list has them. */
function list(id: number, count: number): Uint32Array {
  return Uint32Array.from({ length: 4 * count }, (_, word) => {
    const n = Math.floor(word / 4);
    const flags = AVAIL | (n + 1 < count ? 1 : 0);
    return [0x1000 * id + n, 7, 512, id + flags * 0x1_0000][word % 4]!;
  });
}

test('a fresh region stands where the ring stands', () => {
  region.fill(0xff);
  view.setUint16(HEADER.version, 0, true);
  expect(opened().recovered).toBe(false);
  expect([u16(HEADER.version), u16(HEADER.desc_num)]).toEqual([1, SIZE]);
  expect([u16(HEADER.free_head), u16(HEADER.old_free_head)]).toEqual([0, 0]);
  expect(usedState()).toEqual([3, 1, 3, 1]);
  expect([0, 1, 2, 3, 4].map((entry) => u16(at(entry, 'next')))).toEqual([1, 2, 3, 4, 0xffff]);
});

test('get, used, clear: the fields are those of the text', () => {
  const inflight = opened();
  inflight.take(list(4, 2), 2, 4);
  inflight.take(list(1, 1), 1, 1);
  expect([u16(HEADER.free_head), u16(HEADER.old_free_head)]).toEqual([3, 3]);
  expect([0, 2].map((entry) => region[at(entry, 'inflight')])).toEqual([1, 1]);
  expect([u16(at(0, 'num')), u16(at(0, 'last')), u16(at(2, 'num')), u16(at(2, 'last'))]).toEqual([
    2, 1, 1, 2,
  ]);
  expect(view.getBigUint64(at(2, 'counter'), true)).toBe(1n);
  expect(view.getBigUint64(at(1, 'addr'), true)).toBe(0x7_0000_4001n);
  expect([u16(at(1, 'id')), u16(at(1, 'flags')), view.getUint32(at(1, 'len'), true)]).toEqual([
    4,
    AVAIL,
    512,
  ]);

  inflight.answer(4);
  expect(u16(HEADER.free_head)).toBe(3);
  inflight.beginPublish(0);
  expect([u16(HEADER.free_head), u16(HEADER.old_free_head), u16(at(1, 'next'))]).toEqual([0, 3, 3]);
  expect(usedState()).toEqual([0, 0, 3, 1]);
  expect(region[at(0, 'inflight')]).toBe(1);
  inflight.endPublish();
  expect([u16(HEADER.old_free_head), region[at(0, 'inflight')]]).toEqual([0, 0]);
  expect(usedState()).toEqual([0, 0, 0, 0]);
});

test('a full region has no free entry, and a chain more is not recorded', () => {
  const inflight = opened();
  inflight.take(list(0, 5), 5, 0);
  expect(u16(HEADER.free_head)).toBe(0xffff);
  expect(inflight.hasRoom(1)).toBe(false);
  expect(opened().recorded).toMatchObject([{ id: 0, count: 5, first: 0, last: 4 }]);
});

describe('a batch that was being published', () => {
  /** Killed between the two halves of a publish that ends at `used`. */
  function killedPublishing(answered: readonly number[], used: number): void {
    const inflight = opened();
    for (const id of [2, 0]) inflight.take(list(id, 1), 1, id);
    inflight.take(list(4, 3), 3, 4);
    for (const id of answered) inflight.answer(id);
    inflight.beginPublish(used);
  }

  test('is rolled back when the driver has not been shown it', () => {
    killedPublishing([0, 2], 0);
    // The second one's flags were written, as of a descriptor that nobody looks at yet.
    ring16[8 * 4 + 7] = AVAIL | USED;
    const inflight = opened();
    expect(inflight.recorded.map(({ id }) => id)).toEqual([2, 0, 4]);
    expect(inflight.used).toBe(0x8003);
    expect(ring16[8 * 4 + 7]).toBe(AVAIL);
    expect(usedState()).toEqual([3, 1, 3, 1]);
  });

  test('is committed when it has', () => {
    killedPublishing([0, 2], 0);
    ring16[8 * 3 + 7] = AVAIL | USED;
    const inflight = opened();
    expect(inflight.recorded.map(({ id }) => id)).toEqual([4]);
    expect(inflight.used).toBe(0);
    expect(usedState()).toEqual([0, 0, 0, 0]);
  });

  test('also one as long as the ring, which ends at the index where it began', () => {
    killedPublishing([0, 2, 4], 3);
    expect(usedState()).toEqual([3, 0, 3, 1]);
    ring16[8 * 3 + 7] = AVAIL | USED;
    const inflight = opened();
    expect(inflight.recorded).toEqual([]);
    expect(inflight.used).toBe(3);
  });
});

describe('bug class 19: a region that lies is refused', () => {
  beforeEach(() => {
    const inflight = opened();
    inflight.take(list(4, 2), 2, 4);
    inflight.take(list(1, 1), 1, 1);
  });

  test.each<[string, () => void, RegExp]>([
    ['a used index', () => view.setUint16(HEADER.old_used_idx, 5, true), /old_used_idx=5/],
    ['a wrap counter', () => view.setUint8(HEADER.used_wrap_counter, 2), /wrap counter=2/],
    [
      'a free list that leads outside',
      () => view.setUint16(at(4, 'next'), 5, true),
      /free list names entry 5/,
    ],
    [
      'a free list in a circle',
      () => view.setUint16(at(4, 'next'), 3, true),
      /free list names entry 3 twice/,
    ],
    ['no descriptors', () => view.setUint16(at(0, 'num'), 0, true), /num=0, expected 1 to 5/],
    ['more than the ring', () => view.setUint16(at(0, 'num'), 6, true), /num=6/],
    [
      'a chain that leads outside',
      () => view.setUint16(at(0, 'next'), 0x8000, true),
      /next=32768, expected less than 5/,
    ],
    [
      'a chain in another',
      () => view.setUint16(at(0, 'next'), 3, true),
      /entry 3 is in two places/,
    ],
    ['another last entry', () => view.setUint16(at(0, 'last'), 0, true), /last is not its last/],
    ['an id of no buffer', () => view.setUint16(at(2, 'id'), 5, true), /id=5 is in flight twice/],
    ['an id twice', () => view.setUint16(at(2, 'id'), 4, true), /id=4 is in flight twice/],
    [
      'an entry that is nowhere',
      () => view.setUint16(at(3, 'next'), 0xffff, true),
      /1 entries are neither free nor in flight/,
    ],
    ['version 3', () => view.setUint16(HEADER.version, 3, true), /version=3/],
  ])('%s', (_, spoil, reason) => {
    spoil();
    expect(open()).toMatch(reason);
  });

  test('a ring that cannot hold what is in flight', () => {
    expect(open({ ringSize: 2 })).toMatch(/old_used_idx=3|used_idx=3/);
  });

  test('every byte of it, one by one: an error in words or a region that holds together', () => {
    const right = region.slice();
    for (let byte = 0; byte < right.length; byte++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        region.set(right);
        region[byte] = value;
        const inflight = open();
        if (typeof inflight === 'string') expect(inflight).toMatch(/^in-flight region: /);
        else expect(inflight.recorded.length).toBeLessThanOrEqual(SIZE);
      }
    }
  });
});

test('a base that is none does not make a region', () => {
  expect(open({ base: 0x8005_8005 })).toMatch(/used index=5, expected less than 5/);
  expect(u16(HEADER.version)).toBe(0);
});
