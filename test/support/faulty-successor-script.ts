/**
 * Programs for --successor: scripts that start faulty-successor.ts, or anything else.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SCRIPT = join(import.meta.dirname, 'faulty-successor.ts');

/** A program in `folder` that runs one line of shell. */
export function shellProgram(folder: string, line: string): string {
  const path = join(folder, 'successor');
  writeFileSync(path, `#!/bin/sh\n${line}\n`);
  chmodSync(path, 0o755);
  return path;
}

export type Fault = 'dies' | 'hangs' | 'refuses';

/** A vloop that fails before it says `step`. */
export function faultySuccessor(folder: string, fault: Fault, step: string): string {
  return shellProgram(folder, `exec '${process.execPath}' '${SCRIPT}' ${fault} ${step} "$@"`);
}
