/**
 * What a guest is made of, built by the same scripts as the examples use and cached outside the tree.
 * Where that cannot be done (no Debian, no network on the first run, no root to install QEMU) the guest
 * tests are skipped, and the reason is printed.
 */
import { join } from 'node:path';
import { run } from './bounded-process.ts';

const LIB = join(import.meta.dirname, '../../qemu-examples/lib');
/** Packages may have to come over a slow line; a second run takes milliseconds. */
const BUILD_TIMEOUT_MS = 600_000;

export interface GuestAssets {
  /** vmlinuz and guest.cpio. */
  readonly base: string;
  /** fio.cpio. */
  readonly fio: string;
  /** kexec.cpio. */
  readonly kexec: string;
  /** boot.img and OVMF.fd. */
  readonly boot: string;
  readonly accelerator: 'kvm' | 'tcg';
}

export type GuestAssetsOrReason = { ok: true; assets: GuestAssets } | { ok: false; reason: string };

async function scriptOutput(script: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(
    ['bash', join(LIB, script), ...args],
    BUILD_TIMEOUT_MS,
  );
  if (status !== 0) throw new Error(stderr.trim().split('\n').slice(-3).join('; '));
  return stdout.trim();
}

async function openGuestAssets(): Promise<GuestAssetsOrReason> {
  try {
    const accelerator = (await scriptOutput('accel.sh')) === 'kvm' ? 'kvm' : 'tcg';
    const base = await scriptOutput('assets.sh', 'base');
    const fio = await scriptOutput('assets.sh', 'fio');
    const kexec = await scriptOutput('assets.sh', 'kexec');
    const boot = await scriptOutput('assets.sh', 'boot');
    return { ok: true, assets: { base, fio, kexec, boot, accelerator } };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The archive with cryptsetup, or the reason why there is none, said once. */
export async function requireCryptsetup(what: string): Promise<string | null> {
  try {
    return join(await scriptOutput('assets.sh', 'crypt'), 'crypt.cpio');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`skipped: ${what}: ${reason}\n`);
    return null;
  }
}

/** The assets, or the reason why there are none, said once per test file. */
export async function requireGuestAssets(what: string): Promise<GuestAssetsOrReason> {
  const opened = await openGuestAssets();
  if (!opened.ok) process.stderr.write(`skipped: ${what}: ${opened.reason}\n`);
  return opened;
}
