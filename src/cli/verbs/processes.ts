/**
 * The vloop processes of this user, as a command finds them: by the control sockets of the run directory. Sockets
 * that nobody listens on any more are removed on the way.
 */
import { rmSync } from 'node:fs';
import { ControlError } from '../../control/controlled-disk.ts';
import { RpcClient } from '../../control/rpc-client.ts';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import { controlPaths, runDirectory } from '../run-directory.ts';

/** A disk, and the connection to the process that has it. */
export interface FoundDisk {
  readonly status: DiskStatus;
  readonly client: RpcClient;
}

/** Null: nobody listens there any more, or not yet. */
async function connectOrRemove(path: string): Promise<RpcClient | null> {
  try {
    return await RpcClient.connect(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') rmSync(path, { force: true });
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return null;
    throw new ControlError('EACCES', `control socket ${path}: cannot connect (${code})`);
  }
}

/** Has `use` work with all disks there are; the connections end with it. */
export async function withDisks<T>(use: (disks: readonly FoundDisk[]) => Promise<T>): Promise<T> {
  const clients: RpcClient[] = [];
  try {
    const found: FoundDisk[] = [];
    for (const path of controlPaths(runDirectory())) {
      const client = await connectOrRemove(path);
      if (client === null) continue;
      clients.push(client);
      for (const status of await client.call('disk_list', {})) found.push({ status, client });
    }
    return await use(found);
  } finally {
    for (const client of clients) client.close();
  }
}

/** The disk that `word` means: its name, its file, its socket. Throws ControlError. */
export function pickDisk(disks: readonly FoundDisk[], word: string): FoundDisk {
  const meant = disks.filter(({ status }) =>
    [status.name, status.back_file, status.socket].includes(word),
  );
  if (meant.length === 1) return meant[0]!;
  if (meant.length > 1) {
    const sockets = meant.map(({ status }) => status.socket ?? `process ${status.pid}`).join(', ');
    throw new ControlError('EINVAL', `${word}: several disks are meant, at ${sockets}`);
  }
  const names = disks.map(({ status }) => status.name).join(', ') || 'none';
  throw new ControlError('ENODEV', `${word}: no such disk; there are: ${names}`);
}
