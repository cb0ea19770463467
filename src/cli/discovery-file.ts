/**
 * The file by which management programs find vhost-user back-ends: docs/interop/vhost-user.json of QEMU,
 * VhostUserBackend. libvirt reads these files and starts gpu and fs back-ends by them; of disks it wants the socket. Pure:
 * facts in, text and verdicts out.
 */
import { join } from 'node:path';

export const DISCOVERY_NAME = '50-vloop.json';
const DESCRIPTION = 'vloop vhost-user-blk back-end';

/** The directory below `prefix`, or that of one user. */
export function discoveryDirectory(
  environment: Readonly<Record<string, string | undefined>>,
  { user, prefix }: { readonly user: boolean; readonly prefix: string },
): string {
  if (!user) return join(prefix, 'share/qemu/vhost-user');
  const config = environment['XDG_CONFIG_HOME'] || join(environment['HOME'] ?? '/', '.config');
  return join(config, 'qemu/vhost-user');
}

export function discoveryText(binary: string): string {
  return `${JSON.stringify({ description: DESCRIPTION, type: 'block', binary, tags: ['vloop'] }, null, 2)}\n`;
}

/** Whether a file that is there may be replaced: it is ours, whatever binary it names, or empty (which hides one). */
export function isOurs(text: string): boolean {
  if (text === '') return false;
  try {
    const found: unknown = JSON.parse(text);
    return (
      typeof found === 'object' &&
      found !== null &&
      'description' in found &&
      found.description === DESCRIPTION
    );
  } catch {
    return false;
  }
}
