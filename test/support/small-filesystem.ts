/**
 * A file system of a few MiB to fill up: a tmpfs, mounted at a scratch directory. Needs root; without it
 * the reason says so.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class SmallFilesystem {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** The file system, or why there is none. */
  static mount(sizeBytes: number): SmallFilesystem | string {
    if (process.getuid?.() !== 0) return 'mounting a small tmpfs needs root';
    const directory = mkdtempSync(join(tmpdir(), 'vloop-test-small-'));
    try {
      const options = ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'vloop-test', directory];
      execFileSync('mount', options, { stdio: 'pipe' });
      return new SmallFilesystem(directory);
    } catch (error) {
      rmdirSync(directory);
      return `a small tmpfs cannot be mounted: ${error instanceof Error ? error.message : error}`;
    }
  }

  unmount(): void {
    // Lazy: a process that was just killed may still hold its file for a moment.
    execFileSync('umount', ['-l', this.directory], { stdio: 'pipe' });
    rmdirSync(this.directory);
  }
}
