/**
 * The checker of the examples, built by the same script as they use. Where that cannot be done (no compiler, no
 * static C library, no root to install them) its tests are skipped, and the reason is printed.
 */
import { join } from 'node:path';
import { run } from './bounded-process.ts';

const SCRIPT = join(import.meta.dirname, '../../qemu-examples/lib/disk-checker.sh');
const BUILD_TIMEOUT_MS = 300_000;

export interface DiskChecker {
  /** Runs on this machine and in a guest. */
  readonly program: string;
  /** Puts it into a guest as /bin/disk-checker. */
  readonly archive: string;
}

export type DiskCheckerOrReason =
  | { ok: true; checker: DiskChecker }
  | { ok: false; reason: string };

export async function requireDiskChecker(what: string): Promise<DiskCheckerOrReason> {
  const { status, stdout, stderr } = await run(['bash', SCRIPT], BUILD_TIMEOUT_MS);
  if (status === 0) {
    const folder = stdout.trim();
    const program = join(folder, 'disk-checker');
    return { ok: true, checker: { program, archive: `${program}.cpio` } };
  }
  // Its compiler is there then: no reason to skip what it cannot read.
  if (stderr.includes('does not compile')) throw new Error(stderr);
  const reason = stderr.trim().split('\n').slice(-3).join('; ');
  process.stderr.write(`skipped: ${what}: ${reason}\n`);
  return { ok: false, reason };
}
