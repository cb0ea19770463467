/**
 * A block device over a file: a kernel loop device. Needs root and a free loop device; without them the
 * reason says so.
 */
import { execFileSync } from 'node:child_process';

export class LoopBlockDevice {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** The device over `file`, or why there is none. */
  static attach(file: string): LoopBlockDevice | string {
    if (process.getuid?.() !== 0) return 'a loop device needs root';
    try {
      const path = execFileSync('losetup', ['--find', '--show', file], { stdio: 'pipe' });
      return new LoopBlockDevice(path.toString().trim());
    } catch (error) {
      const said = error instanceof Error ? error.message.trim().split('\n').at(-1) : error;
      return `no loop device can be attached: ${said}`;
    }
  }

  detach(): void {
    execFileSync('losetup', ['--detach', this.path], { stdio: 'pipe' });
  }
}
