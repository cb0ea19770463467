/**
 * What a daemon has to know when it comes back: the disks that were attached through it. A file in the run directory,
 * replaced as a whole; of no use to another boot of the machine.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskConfig } from '../../control/schema/disk-config.ts';

interface DaemonState {
  readonly version: 1;
  readonly boot_id: string;
  readonly disks: readonly DiskConfig[];
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

function statePath(directory: string): string {
  return join(directory, 'daemon.json');
}

export function saveState(directory: string, disks: readonly DiskConfig[]): void {
  const state: DaemonState = { version: 1, boot_id: bootId(), disks };
  const path = statePath(directory);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** None when there is no state, or one that is of no use. */
export function loadState(directory: string): readonly DiskConfig[] {
  try {
    const state = JSON.parse(readFileSync(statePath(directory), 'utf8')) as DaemonState;
    return state.version === 1 && state.boot_id === bootId() ? state.disks : [];
  } catch {
    return [];
  }
}
