/**
 * Which operations become calls and which go to the engine, on a real file with an engine that only
 * takes notes; and what a slow call changes, by a clock that the test moves.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  EBADF,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  iovec,
} from '../../../protocol/linux.ts';
import { CalledFile } from '../../../src/backing/called-file.ts';
import {
  type BackingPort,
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  type IoPlace,
  ioPlace,
  NO_PLACE,
  PLACE_ADDRESS,
  type ResultSink,
} from '../../../src/loop/backing-port.ts';
import { CLOCK_US_MASK } from '../../../src/loop/clock.ts';
import { FixedBytes } from '../../../src/sys/libc.ts';

const BLOCK = 4096;
const SLOW_US = 1500;
const PAUSE_US = 100_000;

class NotingEngine implements BackingPort {
  readonly submitted: number[][] = [];
  readonly ready: Array<[number, number]> = [];

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    this.submitted.push([operation, tag, ...place, length, flags]);
  }

  reap(sink: ResultSink): number {
    const ready = this.ready.splice(0);
    for (const [tag, result] of ready) sink.onResult(tag, result);
    return ready.length;
  }
}

let directory: string;
let path: string;
let fd: number;
let engine: NotingEngine;
let nowUs: number;
/** What the clock moves by each time it is read: a call lasts that long. */
let tickUs: number;
const memory = new FixedBytes(BLOCK);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  path = join(directory, 'file');
  writeFileSync(path, Buffer.alloc(2 * BLOCK, 'a'));
  fd = openSync(path, 'r+');
  engine = new NotingEngine();
  nowUs = 5_000_000;
  tickUs = 0;
  memory.bytes.fill('w'.charCodeAt(0));
});

afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

/** By address, of the iovec arrays that the tests have made. */
const iovecLengths = new Map<number, number>();

function iovecBytes(place: IoPlace, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += iovecLengths.get(place[PLACE_ADDRESS]! + i * iovec.sizeBytes) ?? 0;
  }
  return sum;
}

function newFile(reads: boolean): CalledFile {
  const now = () => {
    nowUs = (nowUs + tickUs) & CLOCK_US_MASK;
    return nowUs;
  };
  return new CalledFile({ fd, engine, reads, iovecBytes, now });
}

function reaped(file: CalledFile): Array<[number, number]> {
  const results: Array<[number, number]> = [];
  const count = file.reap({ onResult: (tag, result) => results.push([tag, result]) });
  expect(count).toBe(results.length);
  return results;
}

/** An iovec array over the halves of the memory, in front of which nothing lies. */
function halves(): FixedBytes {
  const vectors = new FixedBytes(2 * iovec.sizeBytes);
  [0, 1].forEach((i) => {
    const at = i * iovec.sizeBytes;
    const base = BigInt(memory.address + (i * BLOCK) / 2);
    vectors.view.setBigUint64(at + iovec.at.iov_base, base, true);
    vectors.view.setBigUint64(at + iovec.at.iov_len, BigInt(BLOCK / 2), true);
    iovecLengths.set(vectors.address + at, BLOCK / 2);
  });
  return vectors;
}

/** Whether a write is called now (or goes to the engine). */
function writesAreCalled(file: CalledFile): boolean {
  const before = engine.submitted.length;
  file.submit(IO_WRITE, 1, ioPlace(0, memory.address), 512, 0);
  reaped(file);
  return engine.submitted.length === before;
}

function readsAreCalled(file: CalledFile): boolean {
  const before = engine.submitted.length;
  file.submit(IO_READ, 1, ioPlace(0, memory.address), 512, 0);
  reaped(file);
  return engine.submitted.length === before;
}

describe('calls', () => {
  test('a write is called at once, and its result waits for the reap', () => {
    const file = newFile(false);
    file.submit(IO_WRITE, 7, ioPlace(BLOCK, memory.address), 512, 0);
    expect(
      readFileSync(path)
        .subarray(BLOCK, BLOCK + 512)
        .toString(),
    ).toBe('w'.repeat(512));
    expect(engine.submitted).toEqual([]);
    expect(reaped(file)).toEqual([[7, 512]]);
    expect(reaped(file)).toEqual([]);
  });

  test('a write from several buffers is called', () => {
    const vectors = halves();
    const file = newFile(false);
    file.submit(IO_WRITEV, 8, ioPlace(100, vectors.address), 2, 0);
    expect(reaped(file)).toEqual([[8, BLOCK]]);
    const content = readFileSync(path).toString();
    expect(content.slice(99, 101) + content.slice(99 + BLOCK, 101 + BLOCK)).toBe('awwa');
  });

  test('reads are called where the file is in memory, into one buffer and several', () => {
    const vectors = halves();
    const file = newFile(true);
    file.submit(IO_READ, 1, ioPlace(0, memory.address), 512, 0);
    expect(Buffer.from(memory.bytes.subarray(0, 513)).toString()).toBe(`${'a'.repeat(512)}w`);
    file.submit(IO_READV, 2, ioPlace(0, vectors.address), 2, 0);
    expect(memory.bytes.every((byte) => byte === 'a'.charCodeAt(0))).toBe(true);
    expect(engine.submitted).toEqual([]);
    expect(reaped(file)).toEqual([
      [1, 512],
      [2, BLOCK],
    ]);
  });

  test('a read at the end of the file is short, one beyond it 0', () => {
    const file = newFile(true);
    file.submit(IO_READ, 1, ioPlace(2 * BLOCK - 100, memory.address), 512, 0);
    file.submit(IO_READ, 2, ioPlace(4 * BLOCK, memory.address), 512, 0);
    expect(reaped(file)).toEqual([
      [1, 100],
      [2, 0],
    ]);
  });

  test('a failure is a result', () => {
    const file = new CalledFile({ fd: 1_000_000, engine, reads: true, iovecBytes, now: () => 0 });
    file.submit(IO_WRITE, 1, ioPlace(0, memory.address), 512, 0);
    file.submit(IO_READ, 2, ioPlace(0, memory.address), 512, 0);
    expect(reaped(file)).toEqual([
      [1, -EBADF],
      [2, -EBADF],
    ]);
  });
});

describe('the engine', () => {
  const hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

  test.each([
    ['flushes', true, IO_FDATASYNC, 0],
    ['flushes', false, IO_FDATASYNC, 0],
    ['holes and zeroes', true, IO_FALLOCATE, hole],
    ['durable writes', true, IO_WRITE, IO_FLAG_DSYNC],
    ['durable writes', false, IO_WRITE, IO_FLAG_DSYNC],
    ['durable writes of several buffers', true, IO_WRITEV, IO_FLAG_DSYNC],
    ['reads of a file that is not in memory', false, IO_READ, 0],
    ['vectored reads of such a file', false, IO_READV, 0],
  ])('gets %s as they are (reads called: %s)', (_, reads, operation, flags) => {
    const file = newFile(reads);
    file.submit(operation, 0xfffffff0, ioPlace(2 ** 40, memory.address), 512, flags);
    expect(engine.submitted).toEqual([
      [operation, 0xfffffff0, 2 ** 40, memory.address, 512, flags],
    ]);
    expect(reaped(file)).toEqual([]);
    expect(readFileSync(path).toString()).toBe('a'.repeat(2 * BLOCK));
  });

  const limit = 512 * 1024;

  test.each([IO_READ, IO_WRITE])(
    'gets single buffers above 512 KiB (operation %i)',
    (operation) => {
      const file = new CalledFile({ fd: -1, engine, reads: true, iovecBytes, now: () => 0 });
      file.submit(operation, 1, ioPlace(0, memory.address), limit, 0);
      expect([engine.submitted, reaped(file)]).toEqual([[], [[1, -EBADF]]]);
      file.submit(operation, 2, ioPlace(0, memory.address), limit + 512, 0);
      expect([engine.submitted.length, reaped(file)]).toEqual([1, []]);
    },
  );

  test.each([IO_READV, IO_WRITEV])(
    'gets buffers above 512 KiB in sum (operation %i)',
    (operation) => {
      const file = new CalledFile({ fd: -1, engine, reads: true, iovecBytes, now: () => 0 });
      const vectors = halves();
      iovecLengths.set(vectors.address, limit - BLOCK / 2);
      file.submit(operation, 1, ioPlace(0, vectors.address), 2, 0);
      expect([engine.submitted, reaped(file)]).toEqual([[], [[1, -EBADF]]]);
      iovecLengths.set(vectors.address, limit);
      file.submit(operation, 2, ioPlace(0, vectors.address), 2, 0);
      expect([engine.submitted.length, reaped(file)]).toEqual([1, []]);
    },
  );

  test('has its results delivered with those of the calls', () => {
    const file = newFile(false);
    file.submit(IO_READ, 1, ioPlace(0, memory.address), 512, 0);
    file.submit(IO_WRITE, 2, ioPlace(0, memory.address), 512, 0);
    engine.ready.push([1, 512]);
    expect(reaped(file)).toEqual([
      [2, 512],
      [1, 512],
    ]);
  });

  test('a result of it may bring a call, which waits for the next reap', () => {
    const file = newFile(false);
    engine.ready.push([1, -11]);
    const tags: number[] = [];
    const sink: ResultSink = {
      onResult(tag) {
        tags.push(tag);
        if (tag === 1) file.submit(IO_WRITE, 2, ioPlace(0, memory.address), 512, 0);
      },
    };
    expect([file.reap(sink), tags]).toEqual([1, [1]]);
    expect([file.reap(sink), tags]).toEqual([1, [1, 2]]);
  });
});

describe('a write that was slow', () => {
  function slowWrite(file: CalledFile): void {
    tickUs = SLOW_US;
    expect(writesAreCalled(file)).toBe(true);
    tickUs = 0;
  }

  test('stops calls of writes for 100 ms from its end', () => {
    const file = newFile(false);
    expect(writesAreCalled(file)).toBe(true);
    slowWrite(file);
    const end = nowUs;
    for (const afterUs of [0, 1, 50_000, PAUSE_US - 1]) {
      nowUs = end + afterUs;
      expect(writesAreCalled(file), `${afterUs} µs after it`).toBe(false);
    }
    nowUs = end + PAUSE_US;
    expect(writesAreCalled(file)).toBe(true);
  });

  test('does so when the clock goes around in the call or in the pause', () => {
    for (const beforeUs of [SLOW_US - 1, PAUSE_US / 2]) {
      const file = newFile(false);
      nowUs = CLOCK_US_MASK + 1 - beforeUs - SLOW_US;
      slowWrite(file);
      nowUs += PAUSE_US - 1;
      expect(writesAreCalled(file)).toBe(false);
      nowUs += 1;
      expect(writesAreCalled(file)).toBe(true);
    }
  });

  test('is one of more than a millisecond', () => {
    const file = newFile(false);
    tickUs = 1000;
    expect(writesAreCalled(file)).toBe(true);
    expect(writesAreCalled(file)).toBe(true);
    tickUs = 1001;
    expect(writesAreCalled(file)).toBe(true);
    expect(writesAreCalled(file)).toBe(false);
  });

  test('stops them again when the first after the pause is slow', () => {
    const file = newFile(false);
    slowWrite(file);
    nowUs += PAUSE_US;
    slowWrite(file);
    expect(writesAreCalled(file)).toBe(false);
  });

  test('does not stop reads: a file in memory has nothing that they could wait for', () => {
    const file = newFile(true);
    slowWrite(file);
    expect(readsAreCalled(file), 'in the pause').toBe(true);
    nowUs += PAUSE_US;
    expect(writesAreCalled(file)).toBe(true);
    expect(readsAreCalled(file), 'after the pause').toBe(true);
  });
});

test('reads cost no look at the clock', () => {
  let looks = 0;
  const now = () => ++looks;
  const file = new CalledFile({ fd, engine, reads: true, iovecBytes, now });
  file.submit(IO_READ, 1, ioPlace(0, memory.address), 512, 0);
  file.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
  expect(looks).toBe(0);
});
