/**
 * The device side of a split ring: taking heads, giving them back, index wraps, notification
 * suppression in both modes, and what breaks a ring.
 */
import { describe, expect, test } from 'vitest';
import {
  AVAIL_IDX_JUMP,
  HEAD_IN_FLIGHT,
  HEAD_OUT_OF_RANGE,
  REQUEST_NO_STATUS_BYTE,
} from '../../../src/virtqueue/ring-violation.ts';
import { DATA_AT, type RingSetup, ringSetup } from '../../support/mock-driver-setup.ts';

const SIZE = 8;
const BUFFER = [{ address: DATA_AT, lengthBytes: 1, writable: true }];

/** Makes `count` one-buffer chains available and visible. */
function offer({ driver }: RingSetup, count = 1): boolean {
  for (let i = 0; i < count; i++) driver.addChain(BUFFER);
  return driver.publish();
}

/** Takes everything there is and gives it back, one publish in the end. */
function serve({ vring, chain }: RingSetup, writtenBytes = 1): { taken: number; call: boolean } {
  let taken = 0;
  while (vring.pop(chain) === 1) {
    vring.push(chain.head, writtenBytes);
    taken++;
  }
  return { taken, call: vring.publish() };
}

describe('taking and giving back', () => {
  test('an empty ring gives nothing', () => {
    const { vring, chain } = ringSetup({ size: SIZE });
    expect(vring.availableCount()).toBe(0);
    expect(vring.pop(chain)).toBe(0);
    expect(vring.publish()).toBe(false);
  });

  test('a chain that is offered but not published is not seen', () => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.addChain(BUFFER);
    expect(setup.vring.pop(setup.chain)).toBe(0);
  });

  test('heads come in the order they were made available', () => {
    const setup = ringSetup({ size: SIZE });
    const heads = [3, 0, 5].map((head) => {
      setup.driver.rawDescriptor(head, { address: DATA_AT, lengthBytes: 1 });
      setup.driver.offer(head);
      return head;
    });
    setup.driver.publish();
    const taken = heads.map(() => {
      setup.vring.pop(setup.chain);
      return setup.chain.head;
    });
    expect(taken).toEqual(heads);
  });

  test('a pushed element is visible after publish and not before', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup);
    setup.vring.pop(setup.chain);
    setup.vring.push(setup.chain.head, 513);
    expect(setup.driver.nextUsed()).toBe(false);
    setup.vring.publish();
    expect(setup.driver.collect()).toEqual([{ head: setup.chain.head, lengthBytes: 513 }]);
  });

  test('a full ring is served and served again, across the wrap of the indices at 65536', () => {
    const setup = ringSetup({ size: SIZE, base: 65530 });
    for (let round = 0; round < 5; round++) {
      offer(setup, SIZE);
      expect(serve(setup).taken).toBe(SIZE);
      expect(setup.driver.collect()).toHaveLength(SIZE);
      expect(setup.driver.freeCount).toBe(SIZE);
    }
    expect(setup.vring.base).toBe((65530 + 5 * SIZE) & 0xffff);
    expect(setup.driver.usedIdx).toBe(setup.vring.base);
  });

  test('a ring of one entry works', () => {
    const setup = ringSetup({ size: 1, base: 65535 });
    for (let round = 0; round < 3; round++) {
      offer(setup);
      expect(serve(setup).taken).toBe(1);
      expect(setup.driver.collect()).toHaveLength(1);
    }
  });

  test('the largest ring takes its last head', () => {
    const setup = ringSetup({ size: 32768 });
    setup.driver.rawDescriptor(32767, { address: DATA_AT, lengthBytes: 1 });
    setup.driver.offer(32767);
    setup.driver.publish();
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(setup.chain.head).toBe(32767);
  });

  test('heads in flight are counted', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup, 2);
    setup.vring.pop(setup.chain);
    setup.vring.pop(setup.chain);
    expect(setup.vring.inFlightCount).toBe(2);
    setup.vring.push(setup.chain.head, 1);
    expect(setup.vring.inFlightCount).toBe(1);
  });
});

describe('base', () => {
  test('says which entry comes next, whatever is in flight', () => {
    const setup = ringSetup({ size: SIZE, base: 100 });
    expect(setup.vring.base).toBe(100);
    offer(setup, 3);
    setup.vring.pop(setup.chain);
    expect(setup.vring.base).toBe(101);
  });

  test('a ring started again at its base goes on, used index included', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup, 3);
    serve(setup);
    setup.driver.collect();
    const again = { ...setup, vring: setup.restart({ base: setup.vring.base }) };
    offer(again, 2);
    expect(serve(again).taken).toBe(2);
    expect(setup.driver.collect()).toHaveLength(2);
    expect(setup.driver.usedIdx).toBe(5);
  });

  test('a ring that starts with a used index behind its base goes on at the used index', () => {
    // An earlier device took heads and never gave them back: the two indices differ.
    const setup = ringSetup({ size: SIZE, base: 5 });
    offer(setup, 2);
    setup.vring.pop(setup.chain);
    const again = { ...setup, vring: setup.restart({ base: 6 }) };
    expect(serve(again).taken).toBe(1);
    expect([setup.driver.usedIdx, again.vring.base]).toEqual([6, 7]);
    expect(setup.driver.collect()).toHaveLength(1);
  });

  test('entries made available before the ring started are found without a kick', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup, 2);
    const vring = setup.restart({ base: 0 });
    expect(vring.availableCount()).toBe(2);
    expect(serve({ ...setup, vring }).taken).toBe(2);
  });
});

describe('a violation breaks the ring', () => {
  test('avail.idx more than a ring ahead', () => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.rawAvailIdx(SIZE + 1);
    expect(setup.vring.pop(setup.chain)).toBe(AVAIL_IDX_JUMP);
  });

  test('avail.idx that goes back', () => {
    const setup = ringSetup({ size: SIZE, base: 10 });
    setup.driver.rawAvailIdx(9);
    expect(setup.vring.pop(setup.chain)).toBe(AVAIL_IDX_JUMP);
  });

  test('avail.idx exactly a ring ahead is right, across the wrap too', () => {
    const setup = ringSetup({ size: SIZE, base: 65535 });
    offer(setup, SIZE);
    expect(serve(setup).taken).toBe(SIZE);
  });

  test.each([SIZE, SIZE + 1, 0xffff])('head %i', (head) => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.offer(head);
    setup.driver.publish();
    expect(setup.vring.pop(setup.chain)).toBe(HEAD_OUT_OF_RANGE);
  });

  test('a head that is still in flight', () => {
    const setup = ringSetup({ size: SIZE });
    const head = setup.driver.addChain(BUFFER);
    setup.driver.offer(head);
    setup.driver.publish();
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(setup.vring.pop(setup.chain)).toBe(HEAD_IN_FLIGHT);
    expect(setup.vring.inFlightCount).toBe(1);
  });

  test('and the same head given back before is no violation', () => {
    const setup = ringSetup({ size: SIZE });
    const head = setup.driver.addChain(BUFFER);
    setup.driver.offer(head);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    setup.vring.push(head, 1);
    expect(setup.vring.pop(setup.chain)).toBe(1);
  });

  test('which then gives nothing, wants nothing, and lets what is in flight complete', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup);
    setup.driver.offer(SIZE);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    expect(setup.vring.pop(setup.chain)).toBe(HEAD_OUT_OF_RANGE);
    expect(setup.vring.broken).toBe(HEAD_OUT_OF_RANGE);
    expect(setup.vring.pop(setup.chain)).toBe(0);
    expect(setup.vring.availableCount()).toBe(0);
    expect(setup.vring.armKicks()).toBe(false);
    setup.vring.push(0, 1);
    setup.vring.publish();
    expect(setup.driver.collect()).toEqual([{ head: 0, lengthBytes: 1 }]);
  });

  test('the entry that broke it is not counted as taken', () => {
    const setup = ringSetup({ size: SIZE, base: 7 });
    setup.driver.offer(SIZE);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    expect(setup.vring.base).toBe(7);
    expect(setup.vring.inFlightCount).toBe(0);
  });

  test('found by the room above: the chain counts as never taken, the others complete', () => {
    const setup = ringSetup({ size: SIZE, base: 65535 });
    offer(setup, 3);
    setup.vring.pop(setup.chain);
    const kept = setup.chain.head;
    setup.vring.pop(setup.chain);
    setup.vring.refuse(setup.chain.head, REQUEST_NO_STATUS_BYTE);
    expect(setup.vring.broken).toBe(REQUEST_NO_STATUS_BYTE);
    expect([setup.vring.inFlightCount, setup.vring.base]).toEqual([1, 0]);
    expect(setup.vring.pop(setup.chain)).toBe(0);
    setup.vring.push(kept, 1);
    expect([setup.vring.inFlightCount, setup.vring.publish()]).toEqual([0, true]);
  });

  test('break() alone leaves what is in flight as it is', () => {
    const setup = ringSetup({ size: SIZE });
    offer(setup, 2);
    setup.vring.pop(setup.chain);
    setup.vring.break(REQUEST_NO_STATUS_BYTE);
    expect([setup.vring.inFlightCount, setup.vring.base]).toEqual([1, 1]);
    expect(setup.vring.pop(setup.chain)).toBe(0);
  });
});

describe.each([false, true])('notifications with EVENT_IDX %s', (eventIdx) => {
  test('an armed ring is kicked for the next chain and not for more', () => {
    const setup = ringSetup({ size: SIZE, eventIdx });
    expect(setup.vring.armKicks()).toBe(false);
    expect(offer(setup)).toBe(true);
    setup.vring.suppressKicks();
    expect(offer(setup)).toBe(false);
  });

  test('arming says that a chain slipped in, before and after one was seen', () => {
    const setup = ringSetup({ size: SIZE, eventIdx });
    offer(setup, 2);
    expect(setup.vring.armKicks()).toBe(true);
    setup.vring.pop(setup.chain);
    expect(setup.vring.armKicks()).toBe(true);
    setup.vring.pop(setup.chain);
    expect(setup.vring.armKicks()).toBe(false);
  });

  test('kicks are right across the wrap', () => {
    const setup = ringSetup({ size: SIZE, eventIdx, base: 65533 });
    for (let round = 0; round < 6; round++) {
      expect(setup.vring.armKicks()).toBe(false);
      expect(offer(setup)).toBe(true);
      setup.vring.suppressKicks();
      serve(setup);
      setup.driver.collect();
    }
  });

  test('a driver that wants calls gets one for a batch', () => {
    const setup = ringSetup({ size: SIZE, eventIdx });
    setup.driver.armCalls();
    offer(setup, 3);
    expect(serve(setup)).toEqual({ taken: 3, call: true });
    expect(setup.vring.publish()).toBe(false);
  });

  test('a driver that wants none gets none', () => {
    const setup = ringSetup({ size: SIZE, eventIdx });
    offer(setup, 2);
    serve(setup);
    setup.driver.collect();
    setup.driver.suppressCalls();
    offer(setup, 3);
    expect(serve(setup)).toEqual({ taken: 3, call: false });
  });

  test('calls are right across the wrap', () => {
    const setup = ringSetup({ size: SIZE, eventIdx, base: 65533 });
    for (let round = 0; round < 6; round++) {
      setup.driver.armCalls();
      offer(setup);
      expect(serve(setup)).toEqual({ taken: 1, call: true });
      setup.driver.collect();
    }
  });
});

describe('EVENT_IDX', () => {
  test('a call comes when used_event is passed, not before', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true });
    setup.driver.rawUsedEvent(3);
    const calls = [0, 1, 2, 3, 4].map(() => {
      offer(setup);
      return serve(setup).call;
    });
    expect(calls).toEqual([false, false, false, true, false]);
  });

  test('decides about everything since the last publish, not the last push', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true });
    setup.driver.rawUsedEvent(0);
    offer(setup, 4);
    expect(serve(setup)).toEqual({ taken: 4, call: true });
  });

  test('avail_event names the next entry to take, also when more are there', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true });
    offer(setup, 3);
    setup.vring.pop(setup.chain);
    setup.vring.armKicks();
    expect(setup.driver.availEvent).toBe(1);
  });

  test('avail_event names the next entry to take, across the wrap', () => {
    const setup = ringSetup({ size: SIZE, eventIdx: true, base: 65535 });
    offer(setup, 3);
    serve(setup);
    setup.vring.armKicks();
    expect(setup.driver.availEvent).toBe(2);
  });
});
