/**
 * The dirty log bit by bit: which bit a page is, ranges over bytes and regions, what lies outside, and
 * that a mark of another process is never lost.
 */
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { DirtyLog, logCoversBelow } from '../../../src/memory/dirty-log.ts';
import { plainRam } from '../../support/mock-driver-memory.ts';

const PAGE = 4096;

function logOver(bitmap: Uint8Array, ...regions: ReadonlyArray<readonly [number, number]>) {
  const ram = plainRam(...regions);
  const outside: number[] = [];
  let marked = 0;
  const log = new DirtyLog(bitmap, ram.deviceMemory(), {
    onMarked: () => marked++,
    onOutside: (guestAddress) => outside.push(guestAddress),
  });
  return { log, ram, outside, marked: () => marked };
}

describe('mark', () => {
  test.each([
    [0, 1, [0b1, 0, 0]],
    [PAGE - 1, 1, [0b1, 0, 0]],
    [PAGE, 1, [0b10, 0, 0]],
    [PAGE - 1, 2, [0b11, 0, 0]],
    [7 * PAGE, PAGE, [0b1000_0000, 0, 0]],
    [8 * PAGE, 1, [0, 0b1, 0]],
    [7 * PAGE + 5, PAGE, [0b1000_0000, 0b1, 0]],
    [2 * PAGE, 18 * PAGE, [0b1111_1100, 0xff, 0b1111]],
  ])('address %i, %i bytes: page %% 8 of byte page / 8', (address, length, expected) => {
    const bitmap = new Uint8Array(3);
    const { log, outside } = logOver(bitmap, [0, PAGE]);
    log.mark(address, length);
    expect([...bitmap]).toEqual(expected);
    expect(outside).toEqual([]);
  });

  test('bits that are set stay set, and setting nothing new is not told of', () => {
    const bitmap = Uint8Array.of(0b1000);
    const { log, marked } = logOver(bitmap, [0, PAGE]);
    log.mark(0, 1);
    log.mark(0, 1);
    log.mark(3 * PAGE, 1);
    expect(bitmap[0]).toBe(0b1001);
    expect(marked()).toBe(1);
  });

  test('an address beyond 2^44 has its bit, if the log is that long', () => {
    expect(logCoversBelow(2 ** 32)).toBe(2 ** 47);
    const { log, outside } = logOver(new Uint8Array(16), [0, PAGE]);
    log.mark(2 ** 45, 1);
    expect(outside).toEqual([2 ** 45]);
  });

  test('what lies outside is not written anywhere, and told of once', () => {
    const memory = new Uint8Array(4);
    const bitmap = memory.subarray(0, 2);
    const { log, outside } = logOver(bitmap, [0, PAGE]);
    log.mark(15 * PAGE, 3 * PAGE);
    log.mark(2 ** 52, 1);
    expect([...memory]).toEqual([0, 0b1000_0000, 0, 0]);
    expect(outside).toEqual([16 * PAGE]);
  });
});

describe('markHost', () => {
  test('finds the guest address of each piece, over the border of two regions', () => {
    const bitmap = new Uint8Array(8);
    const { log, ram } = logOver(bitmap, [8 * PAGE, 2 * PAGE], [10 * PAGE, 2 * PAGE]);
    log.markHost(ram.hostAddress(9 * PAGE + 100), PAGE);
    log.markHost(ram.hostAddress(11 * PAGE), 1);
    expect([...bitmap]).toEqual([0, 0b1110, 0, 0, 0, 0, 0, 0]);
  });

  test('leaves out what is no guest memory', () => {
    const bitmap = new Uint8Array(8);
    const { log, ram } = logOver(bitmap, [8 * PAGE, 2 * PAGE]);
    log.markHost(ram.hostAddress(8 * PAGE) - PAGE, PAGE);
    log.markHost(ram.hostAddress(8 * PAGE) + 2 * PAGE, PAGE);
    log.markHost(0, PAGE);
    expect([...bitmap]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

/** Sets bit 7 of byte 4, looks whether it stays, clears it; counts bits that went by themselves. */
const otherSide = `
const { workerData } = require('node:worker_threads');
const words = new Int32Array(workerData);
const bytes = new Uint8Array(workerData);
while (Atomics.load(words, 0) === 0) {
  Atomics.or(bytes, 4, 128);
  for (let i = 0; i < 20; i++) if ((Atomics.load(bytes, 4) & 128) === 0) { Atomics.add(words, 3, 1); break; }
  Atomics.and(bytes, 4, 127);
  Atomics.add(words, 2, 1);
}`;

test('a bit that somebody else sets in the same byte meanwhile is never lost', async () => {
  const shared = new SharedArrayBuffer(16);
  const words = new Int32Array(shared);
  const bytes = new Uint8Array(shared);
  const { log } = logOver(bytes.subarray(4, 5), [0, PAGE]);
  const other = new Worker(otherSide, { eval: true, workerData: shared });
  const gone = new Promise((resolve) => other.once('exit', resolve));
  while (Atomics.load(words, 2) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const start = performance.now();
  const enough = () => performance.now() > start + 300 && Atomics.load(words, 2) > 1000;
  // On one busy CPU the two only take turns: then it takes longer to meet often enough.
  while (!enough() && performance.now() < start + 20_000) {
    for (let i = 0; i < 1000; i++) {
      log.mark(0, 1);
      Atomics.and(bytes, 4, 0b1111_1110);
    }
  }
  Atomics.store(words, 0, 1);
  await gone;
  expect(Atomics.load(words, 2)).toBeGreaterThan(1000);
  expect(Atomics.load(words, 3)).toBe(0);
});
