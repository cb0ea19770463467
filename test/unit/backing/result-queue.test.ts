/**
 * Results that wait until they may be delivered: each once, in order, however many and whenever pushed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ResultQueue } from '../../../src/backing/result-queue.ts';
import { holds } from '../../support/property.ts';

function deliverInto(queue: ResultQueue, into: Array<[number, number]>): number {
  return queue.deliver({ onResult: (tag, result) => into.push([tag, result]) });
}

const numbered = (from: number, to: number): Array<[number, number]> =>
  Array.from({ length: to - from }, (_, i) => [from + i, -1 - from - i]);

describe('a result queue', () => {
  test('delivers nothing when there is nothing', () => {
    const found: Array<[number, number]> = [];
    expect(deliverInto(new ResultQueue(), found)).toBe(0);
    expect(found).toEqual([]);
  });

  test('delivers in the order of the pushes, each once', () => {
    const queue = new ResultQueue();
    const found: Array<[number, number]> = [];
    for (const [tag, result] of numbered(0, 5)) queue.push(tag, result);
    expect(deliverInto(queue, found)).toBe(5);
    expect(found).toEqual(numbered(0, 5));
    expect(deliverInto(queue, found)).toBe(0);
  });

  test('keeps the largest tag and the extremes of results', () => {
    const queue = new ResultQueue();
    const found: Array<[number, number]> = [];
    queue.push(2 ** 32 - 1, -(2 ** 31));
    queue.push(0, 2 ** 31 - 1);
    deliverInto(queue, found);
    expect(found).toEqual([
      [2 ** 32 - 1, -(2 ** 31)],
      [0, 2 ** 31 - 1],
    ]);
  });

  test.each([255, 256, 257, 512, 513, 5000])('holds %i at once', (count) => {
    const queue = new ResultQueue();
    const found: Array<[number, number]> = [];
    for (const [tag, result] of numbered(0, count)) queue.push(tag, result);
    expect(deliverInto(queue, found)).toBe(count);
    expect(found).toEqual(numbered(0, count));
  });

  test('keeps the order when it grows in the middle of its ring', () => {
    const queue = new ResultQueue();
    const found: Array<[number, number]> = [];
    for (const [tag, result] of numbered(0, 200)) queue.push(tag, result);
    deliverInto(queue, []);
    // The head is at 200 of 256: these wrap around, then do not fit.
    for (const [tag, result] of numbered(0, 300)) queue.push(tag, result);
    expect(deliverInto(queue, found)).toBe(300);
    expect(found).toEqual(numbered(0, 300));
  });

  test('what is pushed during a delivery waits for the next', () => {
    const queue = new ResultQueue();
    queue.push(1, 10);
    queue.push(2, 20);
    const found: number[] = [];
    const sink = {
      onResult(tag: number) {
        found.push(tag);
        if (tag < 100) queue.push(tag + 100, 0);
      },
    };
    expect(queue.deliver(sink)).toBe(2);
    expect(found).toEqual([1, 2]);
    expect(queue.deliver(sink)).toBe(2);
    expect(found).toEqual([1, 2, 101, 102]);
    expect(queue.deliver(sink)).toBe(0);
  });

  test('grows during a delivery without losing its place', () => {
    const queue = new ResultQueue();
    for (let tag = 0; tag < 256; tag++) queue.push(tag, tag);
    const found: number[] = [];
    const sink = {
      onResult(tag: number, result: number) {
        expect(result).toBe(tag);
        found.push(tag);
        if (tag >= 1000) return;
        for (const more of [1000 + 2 * tag, 1001 + 2 * tag]) queue.push(more, more);
      },
    };
    expect(queue.deliver(sink)).toBe(256);
    expect(found).toEqual(Array.from({ length: 256 }, (_, i) => i));
    expect(queue.deliver(sink)).toBe(512);
    expect(found.slice(256)).toEqual(Array.from({ length: 512 }, (_, i) => 1000 + i));
  });

  test('a sink that throws loses no more than the result it was told', () => {
    const queue = new ResultQueue();
    for (const [tag, result] of numbered(0, 3)) queue.push(tag, result);
    const failing = {
      onResult() {
        throw new Error('the sink');
      },
    };
    expect(() => queue.deliver(failing)).toThrow('the sink');
    const found: Array<[number, number]> = [];
    expect(deliverInto(queue, found)).toBe(2);
    expect(found).toEqual(numbered(1, 3));
  });

  test('is a list of pairs, whatever is pushed and delivered when', () => {
    // A number pushes so many results, null delivers.
    const steps = fc.array(fc.oneof(fc.integer({ min: 1, max: 700 }), fc.constant(null)), {
      maxLength: 12,
    });
    holds(
      steps,
      (script) => {
        const queue = new ResultQueue();
        const model: Array<[number, number]> = [];
        const found: Array<[number, number]> = [];
        let next = 0;
        for (const step of script) {
          if (step === null) {
            deliverInto(queue, found);
            continue;
          }
          for (const pair of numbered(next, next + step)) {
            queue.push(...pair);
            model.push(pair);
          }
          next += step;
        }
        deliverInto(queue, found);
        expect(found).toEqual(model);
      },
      100,
    );
  });
});
