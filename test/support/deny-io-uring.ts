/**
 * The program that starts another where io_uring is forbidden (deny-io-uring.c), compiled when a test
 * needs it. Where it cannot be made the reason says so.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingCompiler } from './requires.ts';

const SOURCE = join(import.meta.dirname, 'deny-io-uring.c');
const TIMEOUT_MS = 30_000;

export class IoUringDenier {
  readonly program: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.program = join(directory, 'deny-io-uring');
  }

  /** The program, or why there is none. */
  static compile(): IoUringDenier | string {
    const missing = missingCompiler();
    if (missing !== null) return missing;
    const denier = new IoUringDenier(mkdtempSync(join(tmpdir(), 'vloop-test-')));
    try {
      const options = ['-O1', '-Wall', '-Wextra', '-Werror', '-o', denier.program, SOURCE];
      execFileSync('cc', options, { stdio: 'pipe', timeout: TIMEOUT_MS });
      execFileSync(denier.program, ['true'], { stdio: 'pipe', timeout: TIMEOUT_MS });
      return denier;
    } catch (error) {
      denier.remove();
      const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
      return `deny-io-uring.c does not work here: ${stderr.trim() || error}`;
    }
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
