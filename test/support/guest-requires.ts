/**
 * Whether this machine lets a test look into an image with its own kernel. Mounts happen in a private
 * mount namespace, so that nothing stays mounted however the test ends.
 */
import { run } from './bounded-process.ts';

/** Null when this machine mounts images of the file system through a loop device, else the reason. */
export async function missingLoopMount(fileSystem: string): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'loop mounts need root';
  const probe = await run(
    [
      'sh',
      '-c',
      'set -e; dir=$(mktemp -d); trap \'rm -rf "$dir"\' EXIT; truncate -s 512M "$dir/image"; ' +
        `mkfs.${fileSystem} -q "$dir/image"; mkdir "$dir/mnt"; ` +
        'unshare -m mount -o loop,ro "$dir/image" "$dir/mnt"',
    ],
    30_000,
  );
  if (probe.status === 0) return null;
  return `a loop mount of ${fileSystem} is refused: ${probe.stderr.trim().split('\n').at(-1)}`;
}

/** Prints why a test is skipped; true when it is. For `test.skipIf`. */
export function skipWith(what: string, reason: string | null): boolean {
  if (reason !== null) process.stderr.write(`skipped: ${what}: ${reason}\n`);
  return reason !== null;
}
