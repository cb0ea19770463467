/**
 * What the C headers of this machine say about the names of protocol/: sizes, offsets and values, by
 * compiling layout-dump.c. Only facts that the headers know come back; the names they lack come back
 * as a list, because a header older than a name is normal and a misspelt name is not.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface UapiFacts {
  /** `name` → size or value, `struct.field` → `offset+bytes`, all as text. */
  readonly known: ReadonlyMap<string, string>;
  /** What the headers do not name, as it was asked. */
  readonly absent: readonly string[];
}

const SOURCE = join(import.meta.dirname, 'layout-dump.c');

/** Asks for facts written as calls of the macros of layout-dump.c, e.g. `VALUE(O_DIRECT)`. */
export function uapiFacts(asked: readonly string[]): UapiFacts {
  const folder = mkdtempSync(join(tmpdir(), 'vloop-uapi-'));
  const factsFile = join(folder, 'facts.inc');
  const program = join(folder, 'dump');
  try {
    // The compiler names the lines it cannot make sense of; the second pass goes without them.
    writeFileSync(factsFile, `${asked.join('\n')}\n`);
    const bad = badLines(compile(factsFile, program), factsFile);
    const kept = asked.filter((_, index) => !bad.has(index + 1));
    writeFileSync(factsFile, `${kept.join('\n')}\n`);
    const errors = compile(factsFile, program);
    if (errors !== '') throw new Error(`layout-dump.c does not compile:\n${errors}`);
    const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
    return {
      known: new Map(lines.map((line) => line.split(' ') as [string, string])),
      absent: asked.filter((_, index) => bad.has(index + 1)),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The compiler's errors, empty when there are none. */
function compile(factsFile: string, program: string): string {
  const define = `-DFACTS_FILE="${factsFile}"`;
  const options = ['-w', '-fmax-errors=0', '-fno-diagnostics-show-caret', define, '-o', program];
  try {
    execFileSync('cc', [...options, SOURCE], { encoding: 'utf8', stdio: 'pipe' });
    return '';
  } catch (error) {
    if (error instanceof Error && 'stderr' in error) return String(error.stderr);
    throw error;
  }
}

function badLines(errors: string, factsFile: string): Set<number> {
  const lines = errors.split('\n').filter((line) => line.startsWith(factsFile));
  return new Set(lines.map((line) => Number(line.slice(factsFile.length + 1).split(':')[0])));
}
