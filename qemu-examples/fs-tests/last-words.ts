/**
 * What there is to say of a guest that was lost: from its console, from its disks, in one line each. Pure.
 */
import { UsageError } from './cases.ts';
import type { UserKernel } from './user-kernel.ts';

/** Linux without a driver for the root disk or its file system, and kernel-init.sh. */
const NO_ROOT = /Unable to mount root fs|FS-TESTS-NO-ROOT.*/;

/** The first panic of a console, which is the one that matters; null when there is none. */
export function panicText(console: string): string | null {
  return /Kernel panic - not syncing: .*/.exec(console)?.[0] ?? null;
}

/** What the disks owe a guest that hangs: the first thing to know of it. */
export function debtsText(debts: readonly string[] | null): string {
  if (debts === null) return 'QEMU does not say what its disks owe it';
  return debts.length === 0 ? 'no disk owes the guest anything' : debts.join(', ');
}

/** A kernel of the user's that does not come as far as the guest's root says so on its console. */
export function refuseKernel({ image, modules }: UserKernel, console: string): void {
  const said = NO_ROOT.exec(console)?.[0];
  if (said === undefined) return;
  const why =
    modules === null
      ? 'so virtio-pci, virtio-blk or ext4 is not built in: give its modules with --modules=DIR'
      : 'in spite of its modules';
  throw new UsageError(`--kernel=${image}: it cannot mount the guest's root, ${why} (${said})`);
}

export function lastLines(text: string, count: number): string {
  return text.trim().split('\n').slice(-count).join(' | ') || '(none)';
}
