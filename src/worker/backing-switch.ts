/**
 * A worker's side of a change of the backing file or of how it is used: the kernel's loop_change_fd and
 * __loop_update_dio after blk_mq_freeze_queue. Carried out at once, and only while the disk stands still: no
 * operation sees two settings.
 */

import { errnoName } from '../../protocol/errno.ts';
import type { LoopState } from '../loop/loop-state.ts';
import type { LoopWorker } from './loop-worker.ts';
import type { BackingUse, WorkerAnswer } from './messages.ts';
import type { WorkerEngine } from './worker-engine.ts';

export interface BackingSwitch {
  readonly state: LoopState;
  readonly worker: LoopWorker;
  readonly engine: WorkerEngine;
}

/** null, or why not; then nothing has changed. `anew`: the descriptor stands for another file. */
export function switchBacking(
  { state, worker, engine }: BackingSwitch,
  use: BackingUse,
  anew: boolean,
): WorkerAnswer {
  const taken = anew ? engine.takeFileAnew() : 0;
  if (taken < 0) return `the engine cannot take the file (${errnoName(taken)})`;
  const backing = engine.alongPath(use.path);
  state.backing = backing;
  worker.backing = backing;
  state.fileOffsetBytes = use.fileOffsetBytes;
  state.direct = use.direct;
  state.memoryAlignBytes = use.memoryAlignBytes;
  state.offsetAlignBytes = use.offsetAlignBytes;
  return null;
}
