/**
 * The worker's side of the I/O threads, with the test as the threads: each operation reaches the board
 * as it was submitted, each result its tag, and what the board has no room for waits its turn.
 */
import { describe, expect, test } from 'vitest';
import { JOB_BOARD_BYTES, JOB_SLOTS, JobBoard } from '../../../src/backing/job-board.ts';
import { ThreadsFile } from '../../../src/backing/threads-file.ts';
import { IO_READ, IO_WRITEV, ioPlace } from '../../../src/loop/backing-port.ts';

/** The board as a thread sees it: but to take from an empty one, which would sleep for ever, throws. */
class AwakeThread extends JobBoard {
  readonly #counters: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    super(memory);
    this.#counters = new Int32Array(memory, 0, 2);
  }

  override take(): number {
    if (this.#counters[0] === this.#counters[1]) throw new Error('there is no job on the board');
    return super.take();
  }
}

function newFile(): { file: ThreadsFile; thread: JobBoard } {
  const memory = new SharedArrayBuffer(JOB_BOARD_BYTES);
  return { file: new ThreadsFile(new JobBoard(memory)), thread: new AwakeThread(memory) };
}

/** Does `count` jobs; the result of each is its tag plus one. The tags in the order of the board. */
function work(thread: JobBoard, count: number): number[] {
  return Array.from({ length: count }, () => {
    const slot = thread.take();
    const tag = thread.tag[slot]!;
    thread.result[slot] = tag + 1;
    thread.finish(slot);
    return tag;
  });
}

function submit(file: ThreadsFile, from: number, to: number): void {
  for (let tag = from; tag < to; tag++)
    file.submit(IO_READ, tag, ioPlace(tag * 512, tag + 7), 512, 0);
}

/** Reaps once; the tags, whose results must be theirs. */
function reapTags(file: ThreadsFile, onTag: (tag: number) => void = () => {}): number[] {
  const tags: number[] = [];
  const count = file.reap({
    onResult(tag, result) {
      expect(result).toBe(tag + 1);
      tags.push(tag);
      onTag(tag);
    },
  });
  expect(count).toBe(tags.length);
  return tags;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('a file behind I/O threads', () => {
  test('puts an operation on the board as it was submitted', () => {
    const { file, thread } = newFile();
    file.submit(IO_WRITEV, 0xfffffff0, ioPlace(2 ** 43 + 512, 2 ** 46 + 8), 1024, 1);
    const slot = thread.take();
    expect([
      thread.operation[slot],
      thread.tag[slot],
      thread.offsetBytes[slot],
      thread.address[slot],
      thread.length[slot],
      thread.flags[slot],
    ]).toEqual([IO_WRITEV, 0xfffffff0, 2 ** 43 + 512, 2 ** 46 + 8, 1024, 1]);
  });

  test('delivers no result inside submit, and each once', () => {
    const { file, thread } = newFile();
    submit(file, 0, 3);
    expect(reapTags(file)).toEqual([]);
    work(thread, 2);
    expect(reapTags(file)).toEqual([0, 1]);
    expect(reapTags(file)).toEqual([]);
    work(thread, 1);
    expect(reapTags(file)).toEqual([2]);
  });

  test('uses its slots again and again', () => {
    const { file, thread } = newFile();
    for (let round = 0; round < 5 * JOB_SLOTS; round++) {
      submit(file, round, round + 1);
      work(thread, 1);
      expect(reapTags(file)).toEqual([round]);
    }
  });

  test('a result may bring the next operation', () => {
    const { file, thread } = newFile();
    submit(file, 0, 1);
    for (let tag = 0; tag < 100; tag++) {
      work(thread, 1);
      expect(reapTags(file, () => submit(file, tag + 1, tag + 2))).toEqual([tag]);
    }
  });
});

describe('more operations than the board has slots', () => {
  test('wait, and come in the order of their submission', () => {
    const { file, thread } = newFile();
    const total = 3 * JOB_SLOTS + 5;
    submit(file, 0, total);
    const seen: number[] = [];
    for (let left = total; left > 0; left -= JOB_SLOTS) {
      const tags = work(thread, Math.min(left, JOB_SLOTS));
      seen.push(...tags);
      expect(reapTags(file)).toEqual(tags);
    }
    expect(seen).toEqual(range(0, total));
    expect(reapTags(file)).toEqual([]);
  });

  test('one slot that becomes free takes one that waits', () => {
    const { file, thread } = newFile();
    submit(file, 0, JOB_SLOTS + 2);
    work(thread, 1);
    expect(reapTags(file)).toEqual([0]);
    // The board is full again: the rest of the first lot, then the one that had waited longest.
    expect(work(thread, JOB_SLOTS)).toEqual(range(1, JOB_SLOTS + 1));
    expect(reapTags(file)).toHaveLength(JOB_SLOTS);
    expect(work(thread, 1)).toEqual([JOB_SLOTS + 1]);
    expect(reapTags(file)).toEqual([JOB_SLOTS + 1]);
  });

  test('all of them keep their fields', () => {
    const { file, thread } = newFile();
    submit(file, 0, JOB_SLOTS);
    file.submit(IO_WRITEV, 4000, ioPlace(2 ** 42, 2 ** 46 + 16), 3, 1);
    work(thread, JOB_SLOTS);
    reapTags(file);
    const slot = thread.take();
    expect([
      thread.operation[slot],
      thread.tag[slot],
      thread.offsetBytes[slot],
      thread.address[slot],
      thread.length[slot],
      thread.flags[slot],
    ]).toEqual([IO_WRITEV, 4000, 2 ** 42, 2 ** 46 + 16, 3, 1]);
  });

  test('operations that results bring while others wait are done once, too', () => {
    const { file, thread } = newFile();
    const first = JOB_SLOTS + 106;
    submit(file, 0, first);
    const done: number[] = [];
    let next = first;
    while (done.length < first + 500) {
      work(thread, 10);
      done.push(...reapTags(file, () => next < first + 500 && submit(file, next, ++next)));
    }
    expect(done.sort((a, b) => a - b)).toEqual(range(0, first + 500));
  });

  test('cost the same each, however many wait', () => {
    /** Microseconds for an operation while `count` are under way. */
    const costUs = (count: number) => {
      const { file, thread } = newFile();
      submit(file, 0, count);
      const start = performance.now();
      let done = 0;
      while (done < 2000) {
        work(thread, 4);
        done += file.reap({ onResult() {} });
      }
      return ((performance.now() - start) * 1000) / done;
    };
    let [few, many] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    // The least of many, in turns: what else the machine does only adds. A busy one gets more of them; a cost that
    // grows stays too high in all.
    for (let round = 0; round < 20 || (many / few >= 8 && round < 400); round++) {
      few = Math.min(few, costUs(4 * JOB_SLOTS));
      many = Math.min(many, costUs(64 * JOB_SLOTS));
    }
    // Sixteen times as many wait; a cost that grows with them would be about as many times higher.
    expect(many / few, `${few} µs with few, ${many} µs with many`).toBeLessThan(8);
  });
});
