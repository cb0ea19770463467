/**
 * What the log says of a backing file that fails: the first failure, and in the end how many there were.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OP_WRITE } from '../../../src/blk/blk-request.ts';
import { FailureLines } from '../../../src/cli/failure-lines.ts';
import { GuestLines } from '../../../src/log/guest-lines.ts';
import { DiskFigures, FAILURE_BYTES } from '../../../src/loop/disk-figures.ts';

const [ENOSPC, EIO] = [28, 5];
/** More than any of the waits. */
const LONG_MS = 10 * 60_000;

let said: object[];
let memory: SharedArrayBuffer;
let figures: DiskFigures;
let failures: FailureLines;

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  const take = (fields: unknown) => said.push(fields as object);
  const log = { debug: take, info: take, warn: take, error: take, isLevelEnabled: () => true };
  memory = new SharedArrayBuffer(FAILURE_BYTES);
  figures = new DiskFigures(() => {}, 2 ** 20, undefined, memory);
  failures = new FailureLines(new GuestLines(log), () => new Int32Array(memory));
});

afterEach(() => {
  vi.useRealTimers();
});

function fail(errno: number, times: number): void {
  for (let i = 0; i < times; i++) figures.countFailure(OP_WRITE, errno);
}

test('one failure is one line, and nothing follows', () => {
  fail(ENOSPC, 1);
  expect(failures.say('write', ENOSPC, 4096)).toBe(true);
  vi.advanceTimersByTime(LONG_MS);
  expect(said).toEqual([{ operation: 'write', error: 'ENOSPC', offsetBytes: 4096, failures: 1 }]);
});

test('a flood is told at its begin and, with its number, at its end', () => {
  fail(ENOSPC, 1);
  failures.say('write', ENOSPC, 4096);
  fail(ENOSPC, 100_000);
  vi.advanceTimersByTime(LONG_MS);
  expect(said.slice(1)).toEqual([{ operation: 'write', error: 'ENOSPC', failures: 100_001 }]);
});

test('kinds are told apart, and lines that go on put off the last one', () => {
  fail(ENOSPC, 2);
  fail(EIO, 1);
  failures.say('write', ENOSPC, 0);
  failures.say('write', EIO, 0);
  for (let i = 0; i < 3; i++) {
    vi.advanceTimersByTime(20_000);
    fail(ENOSPC, 10);
    failures.say('write', ENOSPC, 0);
  }
  expect(said.map((fields) => (fields as { failures: number }).failures)).toEqual([
    2, 1, 12, 22, 32,
  ]);
  fail(ENOSPC, 1);
  vi.advanceTimersByTime(LONG_MS);
  expect(said.slice(5)).toEqual([{ operation: 'write', error: 'ENOSPC', failures: 33 }]);
});
