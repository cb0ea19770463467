/**
 * The steps in which a disk goes from one process to its successor, as both of them know them. The old
 * process is in charge until it has said `commit`; before that it can always carry on, and the new one has
 * touched nothing. STATE_VERSION counts changes of these, too.
 *
 * old: open → new opens the files and starts its workers: ready
 * old: session (no message of the front-end is handled any more) → new maps the memory: prepared
 * old: start (nothing is in flight any more) → new sets its rings up, without serving them: taking
 * old: commit, and ends → new serves
 */
import type { ServerSocket, TakenServer } from '../vhost-user/server.ts';
import type { DiskStand, DiskState, SessionState } from '../worker/session-state.ts';
import type { AdoptedFile } from './disk.ts';

/** The environment variable that names the successor's end of the socket. */
export const TAKE_OVER_VARIABLE = 'VLOOP_TAKE_OVER_FD';

export interface OpenStep {
  readonly step: 'open';
  readonly version: number;
  readonly disks: readonly AdoptedFile[];
}

export interface ReadyStep {
  readonly step: 'ready';
  readonly version: number;
}

export interface SessionStep {
  readonly step: 'session';
  readonly disks: ReadonlyArray<{
    readonly socket: ServerSocket;
    readonly server: TakenServer;
    readonly disk: DiskState;
    /** Null: no front-end is connected. */
    readonly session: SessionState | null;
  }>;
}

export interface StartStep {
  readonly step: 'start';
  /** CLOCK_MONOTONIC, which all processes share. */
  readonly pausedAtNs: number;
  readonly drainedAtNs: number;
  readonly disks: readonly DiskStand[];
}

export interface PlainStep {
  readonly step: 'prepared' | 'taking' | 'commit';
}

export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}
