/**
 * The split in-flight region, entry by entry: what is written at each step of the protocol's text, what a
 * ring that starts on it takes up, and what it refuses.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { descStateSplit, queueRegionSplit, queueRegionStride } from '../../../protocol/inflight.ts';
import type { DescriptorChain } from '../../../src/virtqueue/descriptor-chain.ts';
import { viewInflight } from '../../../src/virtqueue/inflight-region.ts';
import { CHAIN_ADDRESS_UNMAPPED } from '../../../src/virtqueue/ring-violation.ts';
import { SplitInflight } from '../../../src/virtqueue/split-inflight.ts';
import { activateVring } from '../../../src/virtqueue/vring-config.ts';
import { DATA_AT, type RingSetup, ringSetup } from '../../support/mock-driver-setup.ts';

const SIZE = 8;
const { at: HEADER } = queueRegionSplit;
const { at: ENTRY } = descStateSplit;

let region: Uint8Array;
let view: DataView;

beforeEach(() => {
  region = new Uint8Array(queueRegionStride(false, SIZE));
  view = new DataView(region.buffer);
});

const entryAt = (head: number) => queueRegionSplit.sizeBytes + head * descStateSplit.sizeBytes;
const inFlight = () =>
  Array.from({ length: SIZE }, (_, head) => head).filter(
    (head) => region[entryAt(head) + ENTRY.inflight] !== 0,
  );

interface OpenOptions {
  readonly usedIdx?: number;
  readonly ringSize?: number;
  readonly entryCount?: number;
  readonly recover?: boolean;
}

function open(options: OpenOptions = {}): SplitInflight | string {
  const { usedIdx = 0, ringSize = SIZE, entryCount = SIZE, recover = true } = options;
  const views = viewInflight(region.buffer, 0, region.length);
  return SplitInflight.open({ views, entryCount, recover }, ringSize, usedIdx);
}

function opened(options: OpenOptions = {}): SplitInflight {
  const inflight = open(options);
  if (typeof inflight === 'string') throw new Error(inflight);
  return inflight;
}

describe('a region that is not initialised', () => {
  test('is made anew with the used index of the ring (SPDK issue 3766: not with 0)', () => {
    region.fill(0xff);
    view.setUint16(HEADER.version, 0, true);
    const inflight = opened({ usedIdx: 0xfffe });
    expect(inflight.recovered).toBe(false);
    expect(view.getBigUint64(HEADER.features, true)).toBe(0n);
    expect(view.getUint16(HEADER.version, true)).toBe(1);
    expect(view.getUint16(HEADER.desc_num, true)).toBe(SIZE);
    expect(view.getUint16(HEADER.used_idx, true)).toBe(0xfffe);
    expect(inFlight()).toEqual([]);
  });

  test('so is one of a ring that was drained and starts anew', () => {
    opened({ usedIdx: 5 }).take(3);
    expect(opened({ usedIdx: 0, recover: false }).recorded).toEqual([]);
    expect(view.getUint16(HEADER.used_idx, true)).toBe(0);
    expect(inFlight()).toEqual([]);
  });
});

test('get, used, clear: the fields are those of the text', () => {
  const inflight = opened({ usedIdx: 7 });
  for (const head of [4, 1, 6]) inflight.take(head);
  expect(inFlight()).toEqual([1, 4, 6]);
  const counters = [4, 1, 6].map((head) => view.getBigUint64(entryAt(head) + ENTRY.counter, true));
  expect(counters).toEqual([0n, 1n, 2n]);

  inflight.answer(1);
  inflight.answer(4);
  expect(view.getUint16(HEADER.last_batch_head, true)).toBe(4);
  expect(view.getUint16(entryAt(4) + ENTRY.next, true)).toBe(1);
  expect(inFlight()).toEqual([1, 4, 6]);

  inflight.settle(9);
  expect(inFlight()).toEqual([6]);
  expect(view.getUint16(HEADER.used_idx, true)).toBe(9);
  inflight.untake(6);
  expect(inFlight()).toEqual([]);
});

describe('a region that says something', () => {
  test('heads are taken up in the order of their counters, all 64 bits of them', () => {
    opened();
    [
      [2, 0x1_0000_0000n],
      [5, 7n],
      [0, 0xffff_ffffn],
    ].forEach(([head, counter]) => {
      view.setBigUint64(entryAt(Number(head)) + ENTRY.counter, BigInt(counter!), true);
      region[entryAt(Number(head)) + ENTRY.inflight] = 1;
    });
    const inflight = opened();
    expect(inflight.recovered).toBe(true);
    expect(inflight.recorded).toEqual([5, 0, 2]);
    inflight.take(7);
    expect(view.getBigUint64(entryAt(7) + ENTRY.counter, true)).toBe(0x1_0000_0001n);
  });

  test('a batch that was published and not cleared is completed, more than one head of it', () => {
    const inflight = opened({ usedIdx: 0xffff });
    for (const head of [0, 1, 2, 3]) inflight.take(head);
    for (const head of [3, 0]) inflight.answer(head);
    // Killed here, after used.idx went from 0xffff to 1.
    expect(opened({ usedIdx: 1 }).recorded).toEqual([1, 2]);
    expect(inFlight()).toEqual([1, 2]);
    expect(view.getUint16(HEADER.used_idx, true)).toBe(1);
  });

  test('one with nothing in flight follows the ring, however far', () => {
    opened({ usedIdx: 60_000 });
    expect(opened({ usedIdx: 0 }).recorded).toEqual([]);
    expect(view.getUint16(HEADER.used_idx, true)).toBe(0);
  });
});

describe('bug class 19: a region that lies is refused', () => {
  beforeEach(() => {
    const inflight = opened();
    inflight.take(0);
    inflight.take(1);
    inflight.answer(0);
  });

  test.each<[string, () => void, OpenOptions, RegExp]>([
    ['version 2', () => view.setUint16(HEADER.version, 2, true), {}, /version=2, expected 1/],
    ['features', () => view.setUint8(HEADER.features + 7, 1), {}, /it has features/],
    ['desc_num', () => view.setUint16(HEADER.desc_num, 9, true), {}, /desc_num=9, expected 8/],
    ['a ring that is larger', () => {}, { ringSize: 16 }, /8 entries a queue, the ring 16/],
    ['a region that is shorter', () => {}, { entryCount: 64 }, /192 bytes a queue, expected/],
    [
      'a head beyond the ring',
      () => region.fill(1, entryAt(6), entryAt(6) + 1),
      { ringSize: 4 },
      /head 6 is in flight, the ring has 4/,
    ],
    ['a batch larger than the ring', () => {}, { usedIdx: 9 }, /used_idx is 9 behind/],
    [
      'a batch that starts outside',
      () => view.setUint16(HEADER.last_batch_head, 8, true),
      { usedIdx: 1 },
      /names head 8/,
    ],
    [
      'a batch that leads outside',
      () => view.setUint16(entryAt(0) + ENTRY.next, 0xffff, true),
      { usedIdx: 2 },
      /names head 65535/,
    ],
    ['a batch in a circle', () => {}, { usedIdx: 2 }, /names head 0 twice/],
  ])('%s', (_, spoil, options, reason) => {
    spoil();
    expect(open(options)).toMatch(reason);
  });
});

describe('a ring that takes heads up', () => {
  let it: RingSetup;

  beforeEach(() => {
    it = ringSetup({ size: SIZE });
  });

  function start() {
    const views = viewInflight(region.buffer, 0, region.length);
    const inflight = { views, entryCount: SIZE, recover: true };
    const geometry = { size: SIZE, addresses: it.driver.userPlace };
    const vring = activateVring(it.memory, geometry, {
      packed: false,
      inOrder: false,
      eventIdx: false,
      indirect: true,
      // What front-ends say after a crash is no more than a guess.
      base: 0x1234,
      inflight,
    });
    if (typeof vring === 'string') throw new Error(vring);
    return vring;
  }

  function offer(count: number): number[] {
    const heads = Array.from({ length: count }, (_, i) =>
      it.driver.addChain([{ address: DATA_AT + i, lengthBytes: 1, writable: true }]),
    );
    it.driver.publish();
    return heads;
  }

  const takenUp = (vring: { popRecorded(chain: DescriptorChain): number }) => {
    const heads = [];
    while (vring.popRecorded(it.chain) === 1) heads.push(it.chain.head);
    return heads;
  };

  test('repeats them, then goes on behind them', () => {
    const [first, second, third, fourth] = offer(4) as [number, number, number, number];
    opened();
    const before = start();
    for (let i = 0; i < 3; i++) expect(before.pop(it.chain)).toBe(1);
    before.push(second, 1);
    before.publish();

    const vring = start();
    expect(vring.base).toBe(3);
    expect(takenUp(vring)).toEqual([first, third]);
    expect(vring.inFlightCount).toBe(2);
    expect(vring.pop(it.chain)).toBe(1);
    expect(it.chain.head).toBe(fourth);
    for (const head of [third, first, fourth]) vring.push(head, 1);
    vring.publish();
    expect(it.driver.collect().map(({ head }) => head)).toEqual([second, third, first, fourth]);
    expect(inFlight()).toEqual([]);
    expect(vring.base).toBe(4);
  });

  test('breaks at a chain that is none any more, which stays recorded and is not waited for', () => {
    const [head] = offer(1) as [number];
    opened();
    expect(start().pop(it.chain)).toBe(1);
    it.driver.rawDescriptor(head, { address: 0x9999_0000, lengthBytes: 8 });
    const vring = start();
    expect(vring.popRecorded(it.chain)).toBe(CHAIN_ADDRESS_UNMAPPED);
    expect(vring.broken).toBe(CHAIN_ADDRESS_UNMAPPED);
    expect(vring.inFlightCount).toBe(0);
    expect(vring.popRecorded(it.chain)).toBe(0);
    expect(inFlight()).toEqual([head]);
  });

  test('a chain that is refused when it is taken is not recorded', () => {
    const [head] = offer(1) as [number];
    opened();
    const vring = start();
    expect(vring.pop(it.chain)).toBe(1);
    expect(inFlight()).toEqual([head]);
    vring.refuse(head, CHAIN_ADDRESS_UNMAPPED);
    expect(inFlight()).toEqual([]);
  });
});
