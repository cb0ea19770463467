/**
 * The model of the host-side checker, rule by rule: what a sector may hold while requests overlap, and what it
 * may not.
 */
import { describe, expect, test } from 'vitest';
import { DiskModel } from '../support/checker-model.ts';
import { type CheckedOperation, contentOf, drawOperations } from '../support/checker-operations.ts';

const RUN = 7;
const RANGE = { sector: 3, sectors: 1 };
const ZEROES = new Uint8Array(512);
const NONE = new Uint8Array(0);

let next = 1;

function operation(kind: CheckedOperation['kind']): CheckedOperation {
  const ranges = kind === 'flush' ? [] : [RANGE];
  return { number: next++, kind, queue: 0, ranges, unmap: false, depth: 1, layout: 0 };
}

const dataOf = ({ number }: CheckedOperation) => contentOf(number, RANGE, RUN);

/** A model, and operations on it that start and end when told, or at once. */
function newModel() {
  const model = new DiskModel(8, RUN);
  const begin = (kind: CheckedOperation['kind']) => {
    const begun = operation(kind);
    model.begin(begun);
    return begun;
  };
  const done = (kind: CheckedOperation['kind']) => {
    const begun = begin(kind);
    model.end(begun, NONE);
    return begun;
  };
  /** Whether a read from here to now may bring these bytes. */
  const allows = (data: Uint8Array, read = begin('read')) => model.end(read, data) === null;
  return { model, begin, done, allows };
}

describe('one after the other', () => {
  test('a read brings what was written last, and nothing else', () => {
    const { done, allows } = newModel();
    expect(allows(ZEROES)).toBe(true);
    const [first, second] = [done('write'), done('write')];
    expect(allows(dataOf(second))).toBe(true);
    expect(allows(dataOf(first))).toBe(false);
    expect(allows(ZEROES)).toBe(false);
  });

  test('the mismatch says where, what was expected, and what came instead', () => {
    const { model, begin, done } = newModel();
    const [old, written] = [done('write'), done('write')];
    expect(model.end(begin('read'), dataOf(old))).toEqual({
      sector: 3,
      text: `sector 3: expected the data of #${written.number}, got sector 3 as written by #${old.number}`,
    });
  });

  test('zeroes replace, a discard leaves what was there or zeroes, and it stays what was seen', () => {
    const { done, allows } = newModel();
    const written = done('write');
    done('zeroes');
    expect(allows(dataOf(written))).toBe(false);
    const again = done('write');
    done('discard');
    expect(allows(dataOf(written))).toBe(false);
    expect(allows(dataOf(again))).toBe(true);
    expect(allows(ZEROES)).toBe(false);
    done('discard');
    expect(allows(ZEROES)).toBe(true);
    expect(allows(dataOf(again))).toBe(false);
  });

  test('a torn sector is never right', () => {
    const { done, allows } = newModel();
    const torn = Uint8Array.from(dataOf(done('write')));
    torn.set(dataOf(done('write')).subarray(0, 256));
    expect(allows(torn)).toBe(false);
  });
});

describe('in flight together', () => {
  test('a read beside a write brings the old, the new, or parts of both', () => {
    const { begin, done, allows } = newModel();
    const old = done('write');
    const write = begin('write');
    const mixed = Uint8Array.from(dataOf(old));
    mixed.set(dataOf(write).subarray(0, 100));
    expect(allows(dataOf(old))).toBe(true);
    expect(allows(dataOf(write))).toBe(true);
    expect(allows(mixed)).toBe(true);
    expect(allows(ZEROES)).toBe(false);
  });

  test('a read that began before a write completed may bring what the write replaced, a later one not', () => {
    const { model, begin, done, allows } = newModel();
    const old = done('write');
    const read = begin('read');
    const write = begin('write');
    model.end(write, NONE);
    expect(allows(dataOf(old), read)).toBe(true);
    expect(allows(dataOf(old))).toBe(false);
  });

  test('of two writes either may stay, and the one that was seen does', () => {
    const { model, begin, allows } = newModel();
    const [first, second] = [begin('write'), begin('write')];
    model.end(second, NONE);
    model.end(first, NONE);
    expect(allows(ZEROES)).toBe(false);
    expect(allows(dataOf(second))).toBe(true);
    expect(allows(dataOf(first))).toBe(false);
  });
});

describe('an image', () => {
  const imageWith = (data: Uint8Array) => {
    const image = new Uint8Array(8 * 512);
    image.set(data, RANGE.sector * 512);
    return image;
  };

  test('holds what completed; what is in flight may be there or not', () => {
    const { model, begin, done } = newModel();
    const old = done('write');
    expect(model.difference(imageWith(ZEROES), 'completed')).not.toBeNull();
    const write = begin('write');
    for (const { number } of [old, write]) {
      expect(model.difference(imageWith(contentOf(number, RANGE, RUN)), 'completed')).toBeNull();
    }
  });

  test('after a loss of power it holds what was flushed, or anything later', () => {
    const { model, begin, done } = newModel();
    const lost = () => model.difference(imageWith(ZEROES), 'flushed');
    const early = begin('flush');
    const first = done('write');
    model.end(early, NONE);
    expect(lost()).toBeNull();
    done('flush');
    expect(lost()?.text).toBe(`sector 3: expected the data of #${first.number}, got zeroes`);
    const second = done('write');
    expect(model.difference(imageWith(dataOf(first)), 'flushed')).toBeNull();
    expect(model.difference(imageWith(dataOf(second)), 'flushed')).toBeNull();
    done('flush');
    expect(model.difference(imageWith(dataOf(first)), 'flushed')).not.toBeNull();
  });
});

test('a seed repeats a plan, another gives another, and every kind is in it', () => {
  const shape = { count: 200, diskSectors: 4096, queueCount: 2 };
  const drawn = drawOperations({ seed: 1, ...shape });
  expect(drawOperations({ seed: 1, ...shape })).toEqual(drawn);
  expect(drawOperations({ seed: 2, ...shape })).not.toEqual(drawn);
  expect(new Set(drawn.map(({ kind }) => kind)).size).toBe(5);
  for (const { ranges } of drawn) {
    for (const { sector, sectors } of ranges) expect(sector + sectors).toBeLessThanOrEqual(4096);
  }
});
