/**
 * What is wrong with a configuration, all of it, in sentences. Loads the validator, so it is loaded when there is a
 * configuration to look at.
 */
import { explainErrors } from './explain-errors.ts';
import { config } from './schema/disk-config.ts';
import { failuresOf } from './validate.ts';

/** None: it is as it should be. */
export function explainConfig(value: unknown): string[] {
  const failures = failuresOf(config, value);
  return failures.length === 0 ? [] : explainErrors(config, value, failures);
}
