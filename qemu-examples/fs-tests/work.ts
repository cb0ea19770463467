/**
 * The tests that no lane has taken yet, by file system, handed out in batches: one ./check of xfstests takes seconds to come
 * up, so that it gets several tests, but the fewer are left the smaller the share, and lanes end together. Pure.
 */
import type { FileSystem, Suite, TestCase } from './cases.ts';

const BATCH_MAX: Readonly<Record<Suite, number>> = {
  packaged: 1,
  checker: 1,
  xfstests: 12,
  blktests: 1,
};

export class Work {
  readonly #queues: Map<FileSystem, TestCase[]>;
  readonly #lanes: number;

  constructor(plan: readonly TestCase[], lanes: number) {
    this.#queues = Map.groupBy(plan, ({ fs }) => fs);
    this.#lanes = lanes;
  }

  /** The next tests of the file system, else of the one with the most left; all of one suite; none when none is left. */
  take(fs: FileSystem | null): TestCase[] {
    const same = fs === null ? [] : (this.#queues.get(fs) ?? []);
    if (same.length > 0) return this.#share(same);
    const [longest] = [...this.#queues.values()].sort((a, b) => b.length - a.length);
    return this.#share(longest ?? []);
  }

  #share(queue: TestCase[]): TestCase[] {
    const [first] = queue;
    if (first === undefined) return [];
    const left = [...this.#queues.values()].reduce((sum, { length }) => sum + length, 0);
    const share = Math.ceil(left / (2 * this.#lanes));
    const count = Math.min(BATCH_MAX[first.suite], share);
    const other = queue.findIndex(({ suite }) => suite !== first.suite);
    return queue.splice(0, other < 0 ? count : Math.min(count, other));
  }
}
