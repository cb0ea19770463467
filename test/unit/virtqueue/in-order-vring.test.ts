/**
 * A ring that gives its chains back in the order in which it took them, over both layouts.
 */
import { describe, expect, test } from 'vitest';
import { REQUEST_NO_STATUS_BYTE } from '../../../src/virtqueue/ring-violation.ts';
import { DATA_AT, packedSetup, ringSetup } from '../../support/mock-driver-setup.ts';

const SIZE = 8;
const BUFFER = [{ address: DATA_AT, lengthBytes: 1, writable: true }];

describe.each([
  ['split', ringSetup],
  ['packed', packedSetup],
] as const)('%s', (_, setupOf) => {
  function setUp(count: number) {
    const setup = setupOf({ size: SIZE, inOrder: true });
    const take = (chains: number) => {
      for (let i = 0; i < chains; i++) setup.driver.addChain(BUFFER);
      setup.driver.publish();
      return Array.from({ length: chains }, () => {
        expect(setup.vring.pop(setup.chain)).toBe(1);
        return setup.chain.head;
      });
    };
    return { ...setup, take, heads: take(count) };
  }

  test('every order of ending four chains gives the order of taking them', () => {
    const orders = (rest: number[]): number[][] =>
      rest.length === 0
        ? [[]]
        : rest.flatMap((one) =>
            orders(rest.filter((other) => other !== one)).map((o) => [one, ...o]),
          );
    const { driver, vring, take, heads } = setUp(0);
    expect(heads).toEqual([]);
    for (const order of orders([0, 1, 2, 3])) {
      const taken = take(4);
      for (const [i, which] of order.entries()) {
        vring.push(taken[which]!, which);
        vring.publish();
        const ended = new Set(order.slice(0, i + 1));
        const waitedFor = [0, 1, 2, 3].findIndex((one) => !ended.has(one));
        expect(vring.inFlightCount).toBe(waitedFor < 0 ? 0 : 4 - waitedFor);
      }
      expect(driver.collect()).toEqual(taken.map((head, which) => ({ head, lengthBytes: which })));
    }
  });

  test('what is held back counts as in flight, and brings no call', () => {
    const { vring, heads } = setUp(2);
    vring.push(heads[1]!, 1);
    expect([vring.publish(), vring.inFlightCount]).toEqual([false, 2]);
    vring.push(heads[0]!, 1);
    expect([vring.publish(), vring.inFlightCount]).toEqual([true, 0]);
  });

  test('a full ring turns over many times', () => {
    const { driver, vring, take, heads } = setUp(SIZE);
    let taken = heads;
    for (let turn = 0; turn < 100; turn++) {
      for (const head of [...taken].reverse()) vring.push(head, 1);
      vring.publish();
      expect(driver.collect().map(({ head }) => head)).toEqual(taken);
      taken = take(SIZE);
    }
  });

  test('a chain that is refused is waited for no longer', () => {
    const { driver, vring, heads } = setUp(2);
    const before = vring.base;
    vring.refuse(heads[1]!, REQUEST_NO_STATUS_BYTE);
    expect([vring.broken, vring.inFlightCount]).toEqual([REQUEST_NO_STATUS_BYTE, 1]);
    expect(vring.base).not.toBe(before);
    vring.push(heads[0]!, 1);
    vring.publish();
    expect(driver.collect()).toHaveLength(1);
    expect(vring.inFlightCount).toBe(0);
  });
});
