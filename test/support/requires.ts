/**
 * What a test needs from the machine, asked once. A test that cannot run says why: vitest shows the
 * reason beside the skipped test, and a whole part skipped is visible in its summary.
 */
import { execFileSync } from 'node:child_process';

/** Why a C compiler with the kernel's UAPI headers is not there, or null. */
export function missingCompiler(): string | null {
  const source = '#include <linux/virtio_ring.h>\n#include <linux/io_uring.h>\n';
  try {
    execFileSync('cc', ['-E', '-x', 'c', '-'], {
      input: source,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
      ? 'no C compiler (cc)'
      : 'the kernel UAPI headers are not installed (linux-libc-dev)';
  }
}
