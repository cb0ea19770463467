/**
 * The board between a loop worker and its I/O threads: by one thread that plays all parts, over the wrap
 * of its counters, and by real threads that fight for the jobs.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { JOB_BOARD_BYTES, JOB_SLOTS, JobBoard } from '../../../src/backing/job-board.ts';
import { eventually } from '../../support/waiting.ts';
import { type ConsumerBirth, END_OPERATION, resultOf } from './job-board-consumer.ts';

/** The free-running counters are the first words of the memory. */
const COUNTERS = 3;

function newBoard(start = 0): { board: JobBoard; memory: SharedArrayBuffer } {
  const memory = new SharedArrayBuffer(JOB_BOARD_BYTES);
  // The worker's own count starts at 0: a start that is a multiple of the ring is the same place.
  new Int32Array(memory, 0, COUNTERS).fill(start);
  return { board: new JobBoard(memory), memory };
}

describe('one thread in all parts', () => {
  test('there is no result before a job is finished', () => {
    const { board } = newBoard();
    expect(board.collect()).toBe(-1);
    board.offer(5);
    expect(board.collect()).toBe(-1);
    expect(board.take()).toBe(5);
    expect(board.collect()).toBe(-1);
    board.finish(5);
    expect(board.collect()).toBe(5);
    expect(board.collect()).toBe(-1);
  });

  test('jobs are taken in the order of the offers, results in the order of their ends', () => {
    const { board } = newBoard();
    for (const slot of [3, 1, 2]) board.offer(slot);
    expect([board.take(), board.take(), board.take()]).toEqual([3, 1, 2]);
    for (const slot of [2, 3, 1]) board.finish(slot);
    expect([board.collect(), board.collect(), board.collect()]).toEqual([2, 3, 1]);
  });

  test('what one part writes the other reads: six fields and a result, each its own', () => {
    const { board, memory } = newBoard();
    const other = new JobBoard(memory);
    for (const slot of [0, JOB_SLOTS - 1]) {
      board.operation[slot] = 6;
      board.tag[slot] = 2 ** 32 - 1 - slot;
      board.flags[slot] = 3;
      board.offsetBytes[slot] = 2 ** 53 - 1;
      board.address[slot] = 2 ** 47 - 4096;
      board.length[slot] = 2 ** 40;
      other.result[slot] = -5;
      expect([
        other.operation[slot],
        other.tag[slot],
        other.flags[slot],
        other.offsetBytes[slot],
        other.address[slot],
        other.length[slot],
        board.result[slot],
      ]).toEqual([6, 2 ** 32 - 1 - slot, 3, 2 ** 53 - 1, 2 ** 47 - 4096, 2 ** 40, -5]);
    }
    // Nothing of it is a counter or a place in a ring.
    expect(board.collect()).toBe(-1);
    expect([...new Int32Array(memory, 0, COUNTERS)]).toEqual([0, 0, 0]);
  });

  test('it holds as many jobs as there are slots', () => {
    const { board } = newBoard();
    const slots = Array.from({ length: JOB_SLOTS }, (_, slot) => slot);
    for (const slot of slots) board.offer(slot);
    expect(slots.map(() => board.take())).toEqual(slots);
    for (const slot of slots) board.finish(slot);
    expect(slots.map(() => board.collect())).toEqual(slots);
    expect(board.collect()).toBe(-1);
  });

  test('a thread that has reserved its place and not filled it holds the later ones back', () => {
    const { board, memory } = newBoard();
    board.offer(1);
    board.offer(2);
    board.take();
    board.take();
    // What `finish` does first, by a thread that is then interrupted.
    Atomics.add(new Int32Array(memory, 0, COUNTERS), 2, 1);
    board.finish(2);
    expect(board.collect()).toBe(-1);
  });
});

describe.each([
  ['2^31, where counters become negative', 2 ** 31 - JOB_SLOTS],
  ['2^32, where counters become 0', -JOB_SLOTS],
])('over %s', (_, start) => {
  test('jobs and results keep their order', () => {
    const { board, memory } = newBoard(start | 0);
    for (let round = 0; round < 3 * JOB_SLOTS; round++) {
      const slots = [(3 * round) % JOB_SLOTS, (3 * round + 1) % JOB_SLOTS];
      for (const slot of slots) board.offer(slot);
      for (const slot of slots) expect(board.take()).toBe(slot);
      for (const slot of slots) board.finish(slot);
      for (const slot of slots) expect(board.collect()).toBe(slot);
    }
    const end = (start + 6 * JOB_SLOTS) | 0;
    expect([...new Int32Array(memory, 0, COUNTERS)]).toEqual([end, end, end]);
    expect(board.collect()).toBe(-1);
  });
});

describe('real threads', () => {
  const threads: Worker[] = [];

  afterEach(async () => {
    await Promise.all(threads.splice(0).map((thread) => thread.terminate()));
  });

  function startConsumers(count: number, birth: ConsumerBirth): void {
    const script = new URL('./job-board-consumer.ts', import.meta.url);
    for (let i = 0; i < count; i++) {
      const thread = new Worker(script, { workerData: birth, execArgv: [] });
      threads.push(thread);
    }
  }

  /** Offers `jobs` jobs through `slots` slots; the results by tag. */
  async function produce(board: JobBoard, jobs: number, slots: number): Promise<Int32Array> {
    const results = new Int32Array(jobs).fill(-1);
    const free = Array.from({ length: slots }, (_, slot) => slot);
    let offered = 0;
    let collected = 0;
    const what = () => `result: ${collected} of ${jobs} jobs, ${offered} offered`;
    while (collected < jobs) {
      while (offered < jobs && free.length > 0) {
        const slot = free.pop()!;
        board.operation[slot] = 1;
        board.tag[slot] = offered;
        board.offsetBytes[slot] = offered * 3;
        offered++;
        board.offer(slot);
      }
      for (const slot of await eventually(what, 5000, () => collectAll(board))) {
        const tag = board.tag[slot]!;
        expect(results[tag], `job ${tag} has one result`).toBe(-1);
        results[tag] = board.result[slot]!;
        free.push(slot);
        collected++;
      }
    }
    return results;
  }

  function collectAll(board: JobBoard): number[] | undefined {
    const slots = [];
    for (let slot = board.collect(); slot >= 0; slot = board.collect()) {
      slots.push(slot);
      if (slots.length > JOB_SLOTS) throw new Error('more results than slots');
    }
    return slots.length > 0 ? slots : undefined;
  }

  test.each([
    ['few slots, so that threads sleep and wake', 4, 3, 20_000, 0],
    ['all slots, so that threads collide', 4, JOB_SLOTS, 60_000, 0],
    ['one slot: every job wakes a thread', 4, 1, 3000, 0],
    ['all slots over the wrap of the counters', 3, JOB_SLOTS, 20_000, 2 ** 31 - JOB_SLOTS],
  ])('every job is done once: %s', async (_, consumers, slots, jobs, start) => {
    const { board, memory } = newBoard(start);
    const takenOf = new SharedArrayBuffer(4 * jobs);
    const alive = new SharedArrayBuffer(8);
    startConsumers(consumers, { board: memory, takenOf, alive });
    const state = new Int32Array(alive);
    await eventually('start of all consumers', 10_000, () => state[0] === consumers || undefined);

    const results = await produce(board, jobs, slots);

    for (let i = 0; i < consumers; i++) {
      board.operation[i] = END_OPERATION;
      board.offer(i);
    }
    const ended = () => Atomics.load(state, 1) === consumers || undefined;
    await eventually(() => `end of ${consumers} consumers, ${state[1]} have`, 5000, ended);
    await nextTurn();
    const taken = new Int32Array(takenOf);
    expect(
      taken.findIndex((count) => count !== 1),
      'a job not taken once',
    ).toBe(-1);
    expect(results.findIndex((result, tag) => result !== resultOf(tag, tag * 3))).toBe(-1);
  });
});
