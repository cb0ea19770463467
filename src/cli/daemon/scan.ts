/**
 * The disks of a run directory, asked for all at once. A process that does not answer in time is left out: one that
 * hangs, or is stopped, must not keep anybody from the others.
 */
import { basename } from 'node:path';
import { RpcClient } from '../../control/rpc-client.ts';
import type { DiskStatus } from '../../control/schema/disk-status.ts';
import { controlPaths } from '../run-directory.ts';

const ANSWER_LIMIT_MS = 3000;

/** A disk, and the connection to its process, which the caller closes. */
export interface ScannedDisk {
  readonly status: DiskStatus;
  readonly client: RpcClient;
}

async function disksAt(path: string): Promise<ScannedDisk[]> {
  const client = await RpcClient.connect(path);
  const timer = setTimeout(() => client.close(), ANSWER_LIMIT_MS);
  try {
    const statuses = await client.call('disk_list', {});
    if (statuses.length === 0) client.close();
    return statuses.map((status) => ({ status, client }));
  } catch (error) {
    client.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Every disk whose process answers. */
export async function scanDisks(directory: string): Promise<ScannedDisk[]> {
  const answers = await Promise.allSettled(controlPaths(directory).map(disksAt));
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
}

export function closeAll(disks: readonly ScannedDisk[]): void {
  for (const { client } of disks) client.close();
}

/** Whether `word` means the disk. */
export function isMeant({ name, back_file, socket }: DiskStatus, word: string): boolean {
  return [name, back_file, socket].includes(word);
}

/** A name for a disk of this file that none of `taken` has. */
export function freeName(file: string | null, taken: ReadonlySet<string>): string {
  const word = basename(file ?? 'memory').replace(/[^A-Za-z0-9._+@-]/g, '_');
  const wish = word.replace(/^[^A-Za-z0-9]+/, '').slice(0, 60) || 'disk';
  let name = wish;
  for (let n = 2; taken.has(name); n++) name = `${wish}-${n}`;
  return name;
}
