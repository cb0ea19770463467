/**
 * fast-check with one rule on top: a failure always says how to see it again. The seed is new on each
 * run, comes from SEED=n when set, and stands in the failure's message; RUNS=n multiplies nothing but
 * replaces the number of runs, for long sessions.
 */
import fc from 'fast-check';

const FIXED_SEED = process.env['SEED'];
const FIXED_RUNS = process.env['RUNS'];

export const RUNS_DEFAULT = 500;

function chosenSeed(): number {
  if (FIXED_SEED === undefined) return (Date.now() ^ (process.pid << 8)) | 0;
  const seed = Number(FIXED_SEED);
  if (!Number.isInteger(seed)) throw new Error(`SEED=${FIXED_SEED}, expected a whole number`);
  return seed;
}

function settings(runs: number): { seed: number; numRuns: number } {
  return {
    seed: chosenSeed(),
    numRuns: FIXED_RUNS === undefined ? runs : Number(FIXED_RUNS),
  };
}

function throwIfFailed<T>(details: fc.RunDetails<[T]>): void {
  if (!details.failed) return;
  const { seed, errorInstance: cause } = details;
  throw new Error(
    [
      `seed=${seed}: run again with SEED=${seed}`,
      `after ${details.numRuns} runs and ${details.numShrinks} shrinks`,
      `counterexample: ${fc.stringify(details.counterexample?.[0])}`,
      `because: ${cause instanceof Error ? cause.message : String(cause ?? 'it answered false')}`,
    ].join('\n'),
    { cause },
  );
}

/** Checks that `predicate` holds (does not throw, does not answer false) for random inputs. */
export function holds<T>(
  arbitrary: fc.Arbitrary<T>,
  predicate: (input: T) => unknown,
  runs = RUNS_DEFAULT,
): void {
  const property = fc.property(arbitrary, (input) => predicate(input) !== false);
  throwIfFailed(fc.check(property, settings(runs)));
}

/** The same for a predicate that has to wait. */
export async function holdsAsync<T>(
  arbitrary: fc.Arbitrary<T>,
  predicate: (input: T) => Promise<unknown>,
  runs = RUNS_DEFAULT,
): Promise<void> {
  const property = fc.asyncProperty(arbitrary, async (input) => (await predicate(input)) !== false);
  throwIfFailed(await fc.check(property, settings(runs)));
}
