/**
 * The kernel that a user names with --kernel, and its modules with --modules: checked as far as files can be, and made into
 * what QEMU boots. What does not fit together is a UsageError with one line.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from '../../test/support/bounded-process.ts';
import { EnvironmentError, UsageError } from './cases.ts';
import { readNamedFile } from './named-file.ts';

/** Hundreds of modules are copied, unpacked and put into an image, maybe on a busy machine. */
const BUILD_TIMEOUT_MS = 600_000;
const EXIT_USAGE = 2;

export interface UserKernel {
  readonly image: string;
  /** Null: it is booted without modules, its drivers are built in. */
  readonly modules: { readonly initramfs: string; readonly image: string } | null;
}

/** The release in a bzImage (Linux, Documentation/arch/x86/boot.rst, kernel_version); null when it is none. */
export function bzImageRelease(bytes: Buffer): string | null {
  if (bytes.length < 0x210 || bytes.toString('latin1', 0x202, 0x206) !== 'HdrS') return null;
  const start = bytes.readUInt16LE(0x20e) + 0x200;
  const end = bytes.indexOf(0, start);
  return bytes.toString('latin1', start, end).split(' ')[0]!;
}

/** Where the modules of that release are, as make modules_install, /lib/modules and an unpacked package have them. */
function modulesFolder(given: string, release: string): string {
  if (!existsSync(given)) throw new UsageError(`--modules=${given}: no such directory`);
  const places = ['', release, join('lib/modules', release), join('usr/lib/modules', release)];
  const folder = places
    .map((place) => resolve(given, place))
    .find((path) => existsSync(join(path, 'kernel')) && path.endsWith(`/${release}`));
  if (folder !== undefined) return folder;
  throw new UsageError(
    `--modules=${given}: the kernel is ${release}, and there is no lib/modules/${release} in it`,
  );
}

export async function openUserKernel(
  path: string | null,
  modules: string | null,
  signal: AbortSignal,
): Promise<UserKernel | null> {
  if (path === null) return null;
  const release = bzImageRelease(readNamedFile('kernel', path));
  if (release === null)
    throw new UsageError(`--kernel=${path}: no bzImage (its header is not one)`);
  const image = resolve(path);
  if (modules === null) return { image, modules: null };
  const folder = modulesFolder(modules, release);
  const script = join(import.meta.dirname, 'kernel-modules.sh');
  const built = await run(['bash', script, folder, release], BUILD_TIMEOUT_MS, signal);
  const said = built.stderr.trim().split('\n').at(-1) ?? '';
  if (built.status === EXIT_USAGE) throw new UsageError(`--modules=${modules}: ${said}`);
  if (built.status !== 0) throw new EnvironmentError(`the modules of ${release}: ${said}`);
  const ready = built.stdout.trim();
  return {
    image,
    modules: { initramfs: join(ready, 'initramfs.cpio'), image: join(ready, 'modules.img') },
  };
}
