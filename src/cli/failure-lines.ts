/**
 * What the log says of a backing file that fails: a line with the first failure of a kind, another one every half
 * minute while it goes on (workers tell of no more), and a last one that says how often it was in all.
 */

import { errnoName } from '../../protocol/errno.ts';
import { opName } from '../blk/op-names.ts';
import type { GuestLines } from '../log/guest-lines.ts';
import { failureCounts } from '../loop/disk-figures.ts';

/** After the last line of a kind. */
const LAST_WORD_MS = 30_000;
const WORDS = 'the backing file failed';

export class FailureLines {
  readonly #lines: GuestLines;
  readonly #failures: () => Int32Array | null;
  /** By operation and errno: what ends a wait for the end. */
  readonly #waits = new Map<string, NodeJS.Timeout>();

  /** `failures`: what workers count (disk-figures.ts), once it is there. */
  constructor(lines: GuestLines, failures: () => Int32Array | null) {
    this.#lines = lines;
    this.#failures = failures;
  }

  /** A worker has told of one. Whether there was a line. */
  say(operation: string, errno: number, offsetBytes: number): boolean {
    const error = errnoName(errno);
    const failures = this.#count(operation, errno);
    const said = this.#lines.say('error', { operation, error, offsetBytes, failures }, WORDS);
    const kind = `${operation} ${error}`;
    clearTimeout(this.#waits.get(kind));
    const wait = setTimeout(() => {
      this.#waits.delete(kind);
      const inAll = this.#count(operation, errno);
      if (inAll > failures) {
        this.#lines.say('error', { operation, error, failures: inAll }, WORDS);
      }
    }, LAST_WORD_MS);
    this.#waits.set(kind, wait.unref());
    return said;
  }

  /** How often that was so far. */
  #count(operation: string, errno: number): number {
    const memory = this.#failures();
    if (memory === null) return 1;
    const same = failureCounts(memory).filter(
      (failure) => opName(failure.op) === operation && failure.errno === errno,
    );
    return same.reduce((sum, { count }) => sum + count, 0);
  }
}
