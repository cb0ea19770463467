/**
 * A file system of its own, mounted at a scratch directory: a tmpfs of a few MiB to fill up, or a ramfs,
 * whose files have no direct I/O. Needs root; without it the reason says so.
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
  static mount(sizeBytes: number, type: 'tmpfs' | 'ramfs' = 'tmpfs'): SmallFilesystem | string {
    if (process.getuid?.() !== 0) return `mounting a small ${type} needs root`;
    const directory = mkdtempSync(join(tmpdir(), 'vloop-test-small-'));
    try {
      // ramfs knows no size and ignores the option.
      const options = ['-t', type, '-o', `size=${sizeBytes}`, 'vloop-test', directory];
      execFileSync('mount', options, { stdio: 'pipe' });
      return new SmallFilesystem(directory);
    } catch (error) {
      rmdirSync(directory);
      return `a small ${type} cannot be mounted: ${error instanceof Error ? error.message : error}`;
    }
  }

  unmount(): void {
    // Lazy: a process that was just killed may still hold its file for a moment.
    execFileSync('umount', ['-l', this.directory], { stdio: 'pipe' });
    rmdirSync(this.directory);
  }
}
