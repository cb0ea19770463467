/**
 * The file on Linux AIO, with a kernel that the test plays: batches that are taken in part, a context
 * that is full, operations that are refused, and what is called because AIO does not have it.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  EAGAIN,
  EBADF,
  EINVAL,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  IOCB_CMD_FDSYNC,
  IOCB_CMD_PREAD,
  IOCB_CMD_PREADV,
  IOCB_CMD_PWRITE,
  IOCB_CMD_PWRITEV,
  RWF_DSYNC,
} from '../../../protocol/linux.ts';
import { AioFile } from '../../../src/backing/aio-file.ts';
import {
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  ioPlace,
  NO_PLACE,
} from '../../../src/loop/backing-port.ts';
import type { AioContext } from '../../../src/sys/aio.ts';

interface Prepared {
  readonly opcode: number;
  readonly fd: number;
  readonly offset: number;
  readonly address: number;
  readonly length: number;
  readonly rwFlags: number;
  readonly tag: number;
}

/** What of AioContext the file uses; `answers` are those of io_submit, then everything is taken. */
class PlayedContext implements Pick<AioContext, keyof AioContext> {
  batch: Prepared[] = [];
  readonly taken: Prepared[] = [];
  readonly events: Array<[number, number]> = [];
  answers: number[] = [];
  submits = 0;

  close(): void {}

  get pending(): number {
    return this.batch.length;
  }

  prepare(
    opcode: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    rwFlags: number,
    tag: number,
  ): void {
    this.batch.push({ opcode, fd, offset, address, length, rwFlags, tag });
  }

  submit(): number {
    this.submits++;
    const answer = this.answers.shift() ?? this.batch.length;
    this.taken.push(...this.batch.slice(0, Math.max(answer, 0)));
    return answer;
  }

  tagAt(index: number): number {
    return this.batch[index]!.tag;
  }

  isSync(index: number): boolean {
    return this.batch[index]!.opcode === IOCB_CMD_FDSYNC;
  }

  drop(count: number): void {
    this.batch = this.batch.slice(count);
  }

  collect(deliver: (tag: number, result: number) => void): number {
    const events = this.events.splice(0);
    for (const [tag, result] of events) deliver(tag, result);
    return events.length;
  }

  get takenTags(): number[] {
    return this.taken.map(({ tag }) => tag);
  }
}

const BYTES = 64 * 1024;
let directory: string;
let path: string;
let fd: number;
let context: PlayedContext;
let file: AioFile;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  path = join(directory, 'file');
  writeFileSync(path, Buffer.alloc(BYTES, 'a'));
  fd = openSync(path, 'r+');
  context = new PlayedContext();
  // The class has private fields, which no other object can have.
  file = new AioFile(context as unknown as AioContext, fd);
});

afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

function reaped(): Array<[number, number]> {
  const results: Array<[number, number]> = [];
  const count = file.reap({ onResult: (tag, result) => results.push([tag, result]) });
  expect(count).toBe(results.length);
  return results;
}

function read(...tags: number[]): void {
  for (const tag of tags) file.submit(IO_READ, tag, ioPlace(tag * 512, 4096), 512, 0);
}

describe('operations', () => {
  test.each([
    ['read', IO_READ, 0, IOCB_CMD_PREAD, 0],
    ['write', IO_WRITE, 0, IOCB_CMD_PWRITE, 0],
    ['durable write', IO_WRITE, IO_FLAG_DSYNC, IOCB_CMD_PWRITE, RWF_DSYNC],
    ['readv', IO_READV, 0, IOCB_CMD_PREADV, 0],
    ['writev', IO_WRITEV, 0, IOCB_CMD_PWRITEV, 0],
    ['durable writev', IO_WRITEV, IO_FLAG_DSYNC, IOCB_CMD_PWRITEV, RWF_DSYNC],
    ['fdatasync', IO_FDATASYNC, 0, IOCB_CMD_FDSYNC, 0],
  ])('%s is submitted with its fields', (_, operation, flags, opcode, rwFlags) => {
    file.submit(operation, 77, ioPlace(2 ** 40 + 512, 2 ** 46), 8192, flags);
    expect(reaped()).toEqual([]);
    expect(context.taken).toEqual([
      { opcode, fd, offset: 2 ** 40 + 512, address: 2 ** 46, length: 8192, rwFlags, tag: 77 },
    ]);
  });

  test('fallocate is called at once, and its result waits for the reap', () => {
    const hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
    file.submit(IO_FALLOCATE, 5, ioPlace(4096, 0), 8192, hole);
    const content = readFileSync(path);
    expect(content.subarray(4096, 12288).every((byte) => byte === 0)).toBe(true);
    expect([content[4095], content[12288], content.length]).toEqual([97, 97, BYTES]);
    expect(context.pending).toBe(0);
    expect(reaped()).toEqual([[5, 0]]);
  });

  test('one io_submit takes a batch, and none is made without one', () => {
    read(1, 2, 3);
    reaped();
    reaped();
    expect([context.submits, context.takenTags]).toEqual([1, [1, 2, 3]]);
  });

  test('results come from the ring, with calls and events in one reap', () => {
    read(1, 2);
    reaped();
    context.events.push([2, 512], [1, -5]);
    file.submit(IO_FALLOCATE, 3, ioPlace(0, 0), 0, 0);
    // fallocate of no bytes: EINVAL.
    expect(reaped()).toEqual([
      [3, -EINVAL],
      [2, 512],
      [1, -5],
    ]);
  });

  test('what a result brings is submitted with the next reap', () => {
    read(1);
    reaped();
    context.events.push([1, 100]);
    file.reap({ onResult: () => read(2) });
    expect(context.takenTags).toEqual([1]);
    reaped();
    expect(context.takenTags).toEqual([1, 2]);
  });
});

describe('a batch that is taken in part', () => {
  test('is submitted on from where the kernel stopped', () => {
    context.answers = [2, 1];
    read(1, 2, 3, 4, 5);
    expect(reaped()).toEqual([]);
    expect([context.submits, context.takenTags]).toEqual([3, [1, 2, 3, 4, 5]]);
  });

  test('waits while the context is full, in order, and goes on later', () => {
    context.answers = [1, -EAGAIN, -EAGAIN];
    read(1, 2);
    expect(reaped()).toEqual([]);
    read(3);
    expect(reaped()).toEqual([]);
    expect([context.pending, context.takenTags]).toEqual([2, [1]]);
    context.events.push([1, 512]);
    expect(reaped()).toEqual([[1, 512]]);
    expect([context.pending, context.takenTags]).toEqual([0, [1, 2, 3]]);
  });

  test('has refused operations answered with the refusal, the others submitted', () => {
    context.answers = [1, -EBADF, -EINVAL];
    read(1, 2, 3, 4);
    expect(reaped()).toEqual([
      [2, -EBADF],
      [3, -EINVAL],
    ]);
    expect(context.takenTags).toEqual([1, 4]);
  });
});

describe('a kernel without asynchronous fdatasync', () => {
  test('has it called', () => {
    context.answers = [1, -EINVAL];
    read(1);
    file.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
    read(3);
    expect(reaped()).toEqual([[2, 0]]);
    expect(context.takenTags).toEqual([1, 3]);
  });

  test('and its failure is the result', () => {
    const closed = new AioFile(context as unknown as AioContext, 1_000_000);
    context.answers = [-EINVAL];
    closed.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
    const results: number[][] = [];
    closed.reap({ onResult: (...result) => results.push(result) });
    expect(results).toEqual([[2, -EBADF]]);
  });

  test('any other failure of a sync is a failure', () => {
    context.answers = [-EBADF];
    file.submit(IO_FDATASYNC, 2, NO_PLACE, 0, 0);
    expect(reaped()).toEqual([[2, -EBADF]]);
  });
});
