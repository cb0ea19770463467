/**
 * The files of the memory regions that are mapped, kept open: a process that takes the session over maps
 * them again. One descriptor a region; the front-end's own is closed with its message.
 */
import { closeSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import type { MappedRegion } from '../memory/region-table.ts';
import { duplicateFd } from '../sys/descriptor.ts';
import type { RegionState } from './session-state.ts';

export class KeptFiles {
  readonly #states = new Map<MappedRegion, RegionState>();

  get regions(): RegionState[] {
    return [...this.#states.values()];
  }

  /** Duplicates the fd, which stays the caller's. null, or why not. */
  keep(mapped: MappedRegion, { region, fd }: RegionState): string | null {
    const kept = duplicateFd(fd);
    if (kept < 0) return `cannot keep its file open (${errnoName(kept)})`;
    this.#states.set(mapped, { region, fd: kept });
    return null;
  }

  drop(mapped: MappedRegion): void {
    const state = this.#states.get(mapped);
    if (state === undefined) return;
    this.#states.delete(mapped);
    closeSync(state.fd);
  }
}
