/**
 * The vloop processes of this user, as a command finds them: by the control sockets of the run directory. Sockets
 * that nobody listens on any more are removed on the way.
 */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
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

/** What a process answers at once, unless it hangs or is stopped. */
const LIST_LIMIT_MS = 10_000;

/** Null: it does not answer, which is said on stderr. One that ends meanwhile has no disks. */
async function disksOf(client: RpcClient, limitMs: number): Promise<FoundDisk[] | null> {
  try {
    const disks = await client.call('disk_list', {}, limitMs);
    return disks.map((status) => ({ status, client }));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (error.code === 'ENODEV') return [];
    process.stderr.write(`vloop: ${error.message}: its disks are left out\n`);
    return null;
  }
}

/**
 * Has `use` work with all disks there are, and with the number of processes that do not answer; the connections
 * end with it.
 */
export async function withDisks<T>(
  use: (disks: readonly FoundDisk[], silent: number) => Promise<T>,
  limitMs = LIST_LIMIT_MS,
): Promise<T> {
  const clients: RpcClient[] = [];
  try {
    for (const path of controlPaths(runDirectory())) {
      const client = await connectOrRemove(path);
      if (client !== null) clients.push(client);
    }
    // All at once: one that hangs costs its time once.
    const answers = await Promise.all(clients.map((client) => disksOf(client, limitMs)));
    const found = answers.flatMap((disks) => disks ?? []);
    return await use(found, answers.filter((disks) => disks === null).length);
  } finally {
    for (const client of clients) client.close();
  }
}

/** The disk that `word` means: its name, its file, its socket. Throws ControlError. */
export function pickDisk(disks: readonly FoundDisk[], word: string): FoundDisk {
  const named = disks.filter(({ status }) => status.name === word);
  const path = resolve(word);
  const at = disks.filter(({ status }) => [status.back_file, status.socket].includes(path));
  const meant = named.length > 0 ? named : at;
  if (meant.length === 1) return meant[0]!;
  if (meant.length > 1) {
    const sockets = meant.map(({ status }) => status.socket ?? `process ${status.pid}`).join(', ');
    throw new ControlError('EINVAL', `${word}: several disks are meant, at ${sockets}`);
  }
  const names = disks.map(({ status }) => status.name).join(', ') || 'none';
  throw new ControlError('ENODEV', `${word}: no such disk; there are: ${names}`);
}
