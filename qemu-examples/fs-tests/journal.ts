/**
 * The results of a run while it goes on: in the order of the plan, with the conditions, written to the results folder every
 * few seconds, so that a run that is killed leaves what it had.
 */
import type { CaseResult, Side, TestCase } from './cases.ts';
import type { RunConditions } from './conditions.ts';
import { compareSides, differenceText } from './difference.ts';
import { writeResults } from './results-folder.ts';

/** Writing takes milliseconds, and no test of a guest less than a second. */
const SAVE_EVERY_MS = 5000;

/** All but what is known at the end only. */
export type KnownConditions = Omit<RunConditions, 'elapsedSeconds' | 'guestKernel'>;

const keyOf = ({ suite, fs, name }: TestCase) => `${suite} ${fs} ${name}`;

export class Journal {
  readonly #folder: string;
  readonly #known: KnownConditions;
  readonly #places: ReadonlyMap<string, number>;
  readonly #results: CaseResult[] = [];
  readonly #began = performance.now();
  #savedAt = Number.NEGATIVE_INFINITY;
  guestKernel = 'unknown';

  constructor(folder: string, known: KnownConditions, plan: readonly TestCase[]) {
    this.#folder = folder;
    this.#known = known;
    this.#places = new Map(plan.map((test, index) => [keyOf(test), index]));
  }

  get elapsedSeconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  get count(): number {
    return this.#results.length;
  }

  /** In the plan's order, vloop's side first. */
  get results(): CaseResult[] {
    const place = (result: CaseResult) => this.#places.get(keyOf(result)) ?? this.#places.size;
    const side = ({ side }: { side: Side }) => this.#known.sides.indexOf(side);
    return this.#results.toSorted((a, b) => place(a) - place(b) || side(a) - side(b));
  }

  /** What the sides differ in; null when there is one side. */
  get difference(): string | null {
    return this.#known.sides.length > 1 ? differenceText(compareSides(this.#results)) : null;
  }

  /** A later result of the same test on the same side takes the place of the one before. */
  add(result: CaseResult): void {
    const key = keyOf(result);
    const known = this.#results.findIndex(
      (other) => other.side === result.side && keyOf(other) === key,
    );
    if (known === -1) this.#results.push(result);
    else this.#results[known] = result;
    if (performance.now() - this.#savedAt > SAVE_EVERY_MS) this.save();
  }

  save(): void {
    const { elapsedSeconds, guestKernel, results } = this;
    const conditions = { ...this.#known, elapsedSeconds, guestKernel };
    writeResults(this.#folder, { conditions, results }, this.difference);
    this.#savedAt = performance.now();
  }
}
