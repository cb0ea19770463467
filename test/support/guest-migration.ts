/**
 * Moves a running guest from one QEMU to another on the same machine, as a user of QMP does: the new one
 * waits at a socket, the old one sends its memory while the guest runs on, and ends.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestLab } from './guest-lab.ts';
import type { Guest, GuestOptions } from './guest-vm.ts';
import { eventually } from './waiting.ts';

const MIGRATE_TIMEOUT_MS = 60_000;
/** So that the guest runs on for a second or two, and the log has something to tell. */
const BYTES_PER_SECOND = 96 * 2 ** 20;

interface MigrationInfo {
  readonly status?: string;
  readonly 'error-desc'?: string;
  readonly 'total-time'?: number;
  readonly downtime?: number;
  readonly ram?: { readonly 'dirty-sync-count': number };
}

export interface Moved {
  readonly guest: Guest;
  readonly totalMs: number;
  readonly downtimeMs: number;
  /** How often the dirty log was read. */
  readonly syncs: number;
}

/** `options`: those that the guest was started with, but for its disks, which are served elsewhere now. */
export async function migrate(lab: GuestLab, from: Guest, options: GuestOptions): Promise<Moved> {
  const incoming = join(lab.folder, 'migrate.sock');
  rmSync(incoming, { force: true });
  const guest = lab.start({ ...options, incoming });
  await eventually(
    () => 'socket of the machine that waits',
    MIGRATE_TIMEOUT_MS,
    () => existsSync(incoming) || undefined,
  );
  await from.qmp('migrate-set-parameters', { 'max-bandwidth': BYTES_PER_SECOND });
  // The socket is there a moment before QEMU listens at it.
  await guest.qmp('query-status');
  await from.qmp('migrate', { uri: `unix:${incoming}` });
  let info: MigrationInfo = {};
  const deadline = performance.now() + MIGRATE_TIMEOUT_MS;
  while (info.status !== 'completed') {
    info = (await from.qmp('query-migrate')) as MigrationInfo;
    const late = performance.now() > deadline;
    if (late || info.status === 'failed' || info.status === 'cancelled') {
      throw new Error(`migration: ${JSON.stringify(info)}\n${(await guest.evidence()).text}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await from.kill();
  return {
    guest,
    totalMs: info['total-time'] ?? -1,
    downtimeMs: info.downtime ?? -1,
    syncs: info.ram?.['dirty-sync-count'] ?? -1,
  };
}

/** Waits until the guest says `count` more lines that begin with `text`. */
export async function saysMore(guest: Guest, text: string, count: number): Promise<void> {
  const lines = () => guest.serial.split('\n').filter((line) => line.startsWith(text)).length;
  const before = lines();
  await eventually(
    () => `${count} lines "${text}"; the guest said: ${guest.serial.slice(-500)}`,
    MIGRATE_TIMEOUT_MS,
    () => {
      if (guest.ended) throw new Error(`the guest has ended: ${guest.serial.slice(-500)}`);
      return lines() >= before + count || undefined;
    },
  );
}
