/**
 * A file that an option names: its bytes, or a UsageError with one line that says which option, which file and why not.
 */
import { readFileSync, statSync } from 'node:fs';
import { UsageError } from './cases.ts';

export function readNamedFile(option: string, path: string): Buffer {
  const refuse = (why: string) => new UsageError(`--${option}=${path}: ${why}`);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw refuse('no such file');
  if (!stat.isFile()) throw refuse('expected a file');
  try {
    return readFileSync(path);
  } catch (error) {
    throw refuse(`it cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
